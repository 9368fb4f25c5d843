"""Model repositories: each example is the files of one, or the configuration of its only model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.diagnostics.problem import Problem
from infra.triton.check import check_repository
from infra.triton.problem import ModelRepositoryError
from infra.triton.repository import ModelRepository
from tests.messages.golden import Example

TITLE = "Model repositories"

IRIS = """\
name: "iris"
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""

EXAMPLES: list[Mapping[str, str]] = [
    {"iris/config.pbtxt": IRIS.replace("dims: [ 4 ]", "dims: [ 4"), "iris/1/model.py": ""},
    {"iris/config.pbtxt": IRIS.replace('"iris"', '"flower"'), "iris/1/model.py": ""},
    {"iris/1/model.pt": ""},
    {"iris/config.pbtxt": IRIS},
    {"iris/config.pbtxt": IRIS, "iris/1/model.onnx": ""},
    {"iris/config.pbtxt": IRIS.replace("8", "-1", 1), "iris/1/model.py": ""},
]
"""Each the files of a repository with a problem."""


def examples() -> Iterator[Example]:
    """Every example with its problems."""
    for files in EXAMPLES:
        with tempfile.TemporaryDirectory() as directory:
            for path, content in files.items():
                file = Path(directory) / "models" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content, encoding="utf-8")
            yield Example("\n".join(map(_line, files.items())), tuple(_problems(Path(directory) / "models")))


def _line(file: tuple[str, str]) -> str:
    """A file; of a configuration the lines that differ from that of a valid one."""
    path, content = file
    changed = [line for line in content.splitlines() if line not in IRIS.splitlines()]
    return "\n".join([path, *(f"    {line}" for line in changed)])


def _problems(root: Path) -> list[Problem]:
    try:
        return check_repository(ModelRepository.read(root), "iris", gpu=False)
    except ModelRepositoryError as error:
        return [*error.problems]
