"""Write `models/classify/1/model.onnx` from the weights of `examples/models/iris`: pip install onnx==1.23.2 numpy."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
weights = json.loads((HERE.parent / "models/iris/1/weights.json").read_text(encoding="utf-8"))

graph = helper.make_graph(
    nodes=[
        helper.make_node("Gemm", ["measurements", "coefficients", "intercepts"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ],
    name="iris",
    inputs=[helper.make_tensor_value_info("measurements", TensorProto.FLOAT, ["batch", 4])],
    outputs=[helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
    initializer=[
        numpy_helper.from_array(np.array(weights[name], dtype=np.float32), name)
        for name in ("coefficients", "intercepts")
    ],
)
# Opset 13 and IR 8 are older than the ONNX Runtime of every image that AWS offers.
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, HERE / "models/classify/1/model.onnx")
