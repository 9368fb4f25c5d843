"""Converts millimetres into the centimetres that the classifier was fitted to."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.convert(request) for request in requests]

    def convert(self, request):
        millimetres = pb_utils.get_input_tensor_by_name(request, "millimetres").as_numpy()
        if not (np.isfinite(millimetres) & (millimetres > 0)).all():
            error = pb_utils.TritonError("millimetres must be finite and above zero")
            return pb_utils.InferenceResponse(error=error)
        return pb_utils.InferenceResponse([pb_utils.Tensor("measurements", millimetres / 10)])
