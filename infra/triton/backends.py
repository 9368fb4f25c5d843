"""Triton's backends: the files they load, what they derive from a model file, and where they exist.

`AutoCompleteBackendFields` in model_config_utils.cc and constants.h of Triton's core; each backend's own repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

ENSEMBLE = "ensemble"
TENSORRT_PLATFORM = "tensorrt_plan"


class Completion(Enum):
    """What a backend derives of a configuration's tensors."""

    ALL = "what is missing"
    EMPTY = "the inputs if none is declared, and the outputs likewise"
    SCRIPT = "what the model's `auto_complete_config` adds"
    NONE = "nothing"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Backend:
    """A backend.

    Attributes:
        files: what it loads from a version directory if `default_model_filename` is not set.
        completion: what it derives.
        needs_gpu: whether it runs on GPUs alone.
        in_image: whether the images `YY.MM-py3` have it.
        until: the first release whose image lacks it.
    """

    files: tuple[str, ...] = ()
    completion: Completion = Completion.UNKNOWN
    needs_gpu: bool = False
    in_image: bool = True
    until: str = "99.99"


BACKENDS: Mapping[str, Backend] = {
    "tensorrt": Backend(("model.plan",), Completion.ALL, needs_gpu=True),
    "onnxruntime": Backend(("model.onnx",), Completion.EMPTY),
    "openvino": Backend(("model.xml",), Completion.ALL),
    "pytorch": Backend(("model.pt", "model.pt2"), Completion.NONE),
    "python": Backend(("model.py",), Completion.SCRIPT),
    "tensorflow": Backend(("model.savedmodel", "model.graphdef"), Completion.ALL, until="25.03"),
    "dali": Backend((), Completion.ALL),
    "fil": Backend(),
    "identity": Backend((), Completion.NONE),
    "repeat": Backend((), Completion.NONE),
    "square": Backend((), Completion.NONE),
    "vllm": Backend((), Completion.ALL, in_image=False),
    "tensorrtllm": Backend((), needs_gpu=True, in_image=False),
}

PLATFORMS: Mapping[str, str] = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "libtorch": "pytorch",
    "torch_aoti": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
}
"""The platforms that name a backend."""

PAIRS: Mapping[str, tuple[str, ...]] = {
    "tensorrt": ("tensorrt_plan",),
    "onnxruntime": ("onnxruntime_onnx",),
    "pytorch": ("pytorch_libtorch", "libtorch", "torch_aoti"),
    "tensorflow": ("tensorflow_savedmodel", "tensorflow_graphdef"),
}
"""The platforms that a backend accepts (`GetBackendTypeFromPlatform`); other backends accept any."""

_ALIASES: Mapping[str, str] = dict(PLATFORMS) | {
    "onnx": "onnxruntime",
    "onnxrt": "onnxruntime",
    "ort": "onnxruntime",
    "torch": "pytorch",
    "torchscript": "pytorch",
    "trt": "tensorrt",
    "tf": "tensorflow",
    "trtllm": "tensorrtllm",
    "tensorrt_llm": "tensorrtllm",
    "py": "python",
    "xgboost": "fil",
    "lightgbm": "fil",
}
"""Names that people write for a backend."""


def alias(name: str) -> str | None:
    """The backend that another name or another case stands for; None for a backend's own name and for any other."""
    if name in BACKENDS:
        return None
    lower = name.lower()
    return lower if lower in BACKENDS else _ALIASES.get(lower)
