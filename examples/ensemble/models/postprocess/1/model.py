"""Names the species with the highest probability."""

import numpy as np
import triton_python_backend_utils as pb_utils

SPECIES = np.array(["setosa", "versicolor", "virginica"], dtype=np.object_)


class TritonPythonModel:
    def execute(self, requests):
        return [self.name(request) for request in requests]

    def name(self, request):
        probabilities = pb_utils.get_input_tensor_by_name(request, "probabilities").as_numpy()
        species = SPECIES[probabilities.argmax(axis=1)].reshape(-1, 1)
        return pb_utils.InferenceResponse([pb_utils.Tensor("species", species)])
