"""The corpus of model repositories: `corpus.txt`, and the repositories whose files differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.triton.listing import Listing

Files = dict[str, str]
"""The files of a repository by path; a path that ends in a slash is a directory."""

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""
COMPLETING = f"""{MODEL}
    @staticmethod
    def auto_complete_config(config):
        config.add_output({{"name": "y", "data_type": "TYPE_FP32", "dims": [4]}})
        return config
"""
TENSORS = """
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
"""
PLAIN = f'backend: "python" {TENSORS}'
BATCHING = f"max_batch_size: 8 {PLAIN}"
FLOW = """
platform: "ensemble" max_batch_size: 8
input { name: "a" data_type: TYPE_FP32 dims: 4 }
output { name: "b" data_type: TYPE_FP32 dims: 4 }
"""
BASES = {"batching": BATCHING, "plain": PLAIN, "tensors": TENSORS, "flow": FLOW}
Z = 'name: "z" data_type: TYPE_FP32 dims: 4'
STEP_MODELS = {
    "one": BATCHING,
    "two": BATCHING,
    "split": f"{BATCHING} output {{ {Z} }}",
    "join": f"{BATCHING} input {{ {Z} }}",
    "maybe": f"{BATCHING} input {{ {Z} optional: true }}",
    "small": BATCHING.replace("8", "4", 1),
    "ints": BATCHING.replace("FP32", "INT32", 1),
    "floats": BATCHING.replace("FP32", "FP64", 1),
    "large": BATCHING.replace("dims: 4", "dims: [ 4, 4 ]"),
    "any": BATCHING.replace("dims: 4", "dims: -1"),
    "fours": PLAIN,
    "fives": PLAIN.replace("dims: 4", "dims: 5"),
    "pairs": PLAIN.replace("dims: 4", "dims: [ 2, 2 ]"),
    "columns": PLAIN.replace("dims: 4", "dims: [ -1, 4 ]"),
    "many": f"{BATCHING} model_transaction_policy {{ decoupled: true }}",
}


@dataclass(frozen=True)
class Case:
    """A repository broken in one way, and its correction.

    Attributes:
        name: the rule and what is broken.
        rule: the id of the rule that finds it.
        broken: its files.
        good: the files of the correction.
        target: further arguments of `check_repository`.
        judged: whether Triton's core or its Python backend can judge it on a machine without GPU.
        default_model: the model that answers.
        suite: the configurations of Triton's suite that are broken in the same way.
    """

    name: str
    rule: str
    broken: Files
    good: Files
    target: Mapping[str, Any] = field(default_factory=dict)
    judged: bool = True
    default_model: str = "m"
    suite: tuple[str, ...] = ()


def python(config: str | None, name: str = "m", script: str = MODEL) -> Files:
    """A repository with one Python model."""
    return {f"{name}/1/model.py": script} | ({} if config is None else {f"{name}/config.pbtxt": config})


def listing(files: Files) -> Listing:
    """The repository in memory."""
    contents = {path: content.encode() for path, content in files.items() if not path.endswith("/")}
    sizes = {path: len(content) for path, content in contents.items()}
    directories = [path.rstrip("/") for path in files if path.endswith("/")]
    return Listing.of(directories, sizes, lambda path, size: contents[path][:size])


def _expanded(text: str) -> str:
    """The text with each `[one x=a > y=t]` as a step."""

    def step(shorthand: re.Match[str]) -> str:
        inputs, _, outputs = shorthand[2].partition(">")
        pairs = [("input_map", pair) for pair in inputs.split()] + [("output_map", pair) for pair in outputs.split()]
        maps = [f'{kind} {{ key: "{key}" value: "{value}" }}' for kind, (key, value) in _split(pairs)]
        return f'step {{ model_name: "{shorthand[1]}" model_version: -1 {" ".join(maps)} }}'

    return re.sub(r"\[(\w+) ([^][]*>[^][]*)\]", step, text)


def _split(pairs: list[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, str]]]:
    for kind, pair in pairs:
        key, _, value = pair.partition("=")
        yield kind, (key, value)


def _files(base: str, text: str) -> Files:
    config = f"{BASES[base]} {_expanded(text)}"
    if base != "flow":
        return python(config)
    used = set(re.findall(r'model_name: "(\w+)"', config)) & STEP_MODELS.keys()
    files = {"flow/config.pbtxt": config, "flow/1/.keep": ""}
    for name in used:
        files |= python(STEP_MODELS[name], name)
    return files


def _target(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    return {"hardware": text} if text.startswith("ml.") else {"image": text}


def _configurations() -> Iterator[Case]:
    """The cases of `corpus.txt`."""
    base, rule, broken = "", None, ""
    for line in Path(__file__).with_name("corpus.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            base = line.removeprefix("== ")
        elif line.startswith("-"):
            broken = line[1:]
        elif line.startswith("+"):
            assert rule
            name = f"{rule['id']}: {rule['what']}"
            files = _files(base, broken), _files(base, line[1:])
            default = "flow" if base == "flow" else "m"
            suite = tuple((rule["suite"] or "").split())
            yield Case(name, rule["id"], *files, _target(rule["target"]), not rule["unjudged"], default, suite)
        elif line and not line.startswith("#"):
            rule = re.fullmatch(
                r"(?P<unjudged>~ )?(?P<id>[a-z-]+)(?: @(?P<target>[^:]+))?: (?P<what>[^[]+?)(?: \[(?P<suite>.+)\])?",
                line,
            )
            assert rule, line


# Not judged where model.py does not exist: the Python backend waits for it for minutes.
REPOSITORIES = (
    Case("a byte order mark", "byte-order-mark", python(f"\ufeff{PLAIN}"), python(PLAIN)),
    Case(
        "no backend",
        "backend-missing",
        {"m/1/weights": "", "m/config.pbtxt": TENSORS},
        python(TENSORS),
        suite=("no_version",),
    ),
    Case("no backend, no configuration", "backend-missing", {"m/1/weights": ""}, python(None), suite=("no_delimiter",)),
    Case("no version", "version-missing", {"m/config.pbtxt": PLAIN, "m/model.py": MODEL}, python(PLAIN)),
    Case("a leading zero", "version-missing", {"m/config.pbtxt": PLAIN, "m/01/model.py": MODEL}, python(PLAIN)),
    Case("a version v1", "version-missing", {"m/config.pbtxt": PLAIN, "m/v1/model.py": MODEL}, python(PLAIN)),
    Case(
        "a version 1.0", "version-name", {"m/config.pbtxt": PLAIN, "m/1.0/model.py": MODEL}, python(PLAIN), judged=False
    ),
    Case("a version 2_old", "version-name", python(PLAIN) | {"m/2_old/model.py": MODEL}, python(PLAIN), judged=False),
    Case("no model file", "model-file", {"m/config.pbtxt": PLAIN, "m/1/serve.py": MODEL}, python(PLAIN), judged=False),
    Case(
        "a model file in another case",
        "model-file",
        {"m/config.pbtxt": PLAIN, "m/1/Model.py": MODEL},
        python(PLAIN),
        judged=False,
    ),
    Case("no ONNX file", "model-file", python(PLAIN.replace("python", "onnxruntime")), python(PLAIN), judged=False),
    Case(
        "an output that model.py does not complete",
        "tensor-incomplete",
        python(PLAIN.replace('"y" data_type: TYPE_FP32 dims: 4', '"y"')),
        python(PLAIN.replace('"y" data_type: TYPE_FP32 dims: 4', '"y"'), script=COMPLETING),
    ),
    Case("no configuration of PyTorch", "config-missing", {"m/1/model.pt": ""}, {"m/1/model.onnx": ""}, judged=False),
    Case(
        "circle of ensembles",
        "ensemble-recursive",
        {
            "flow/config.pbtxt": FLOW + _expanded("ensemble_scheduling { [loop a=a > b=b] }"),
            "flow/1/.keep": "",
            "loop/config.pbtxt": FLOW + _expanded("ensemble_scheduling { [flow a=a > b=b] }"),
            "loop/1/.keep": "",
        },
        _files("flow", "ensemble_scheduling { [one x=a > y=b] }"),
        default_model="flow",
        suite=("circular_dependency",),
    ),
    Case("a default model that does not exist", "default-model", python(PLAIN, "other"), python(PLAIN), judged=False),
)
"""The repositories whose files differ, not only their configurations."""

CASES = (*_configurations(), *REPOSITORIES)


def suite() -> list[str]:
    """The invalid configurations of Triton's suite that its core rejects whatever backends and files there are."""
    lines = Path(__file__).with_name("suite.txt").read_text(encoding="utf-8").splitlines()
    return [name for line in lines if not line.startswith("#") for name in line.split()]
