"""Parses `6.3,3.3,6.0,2.5` into four numbers."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.parse(request) for request in requests]

    def parse(self, request):
        flowers = pb_utils.get_input_tensor_by_name(request, "flower").as_numpy()
        try:
            measurements = np.array([text.decode().split(",") for (text,) in flowers], dtype=np.float32)
            measurements = measurements.reshape(-1, 4)
        except ValueError:
            error = pb_utils.TritonError("a flower is four lengths in centimetres: 6.3,3.3,6.0,2.5")
            return pb_utils.InferenceResponse(error=error)
        return pb_utils.InferenceResponse([pb_utils.Tensor("measurements", measurements)])
