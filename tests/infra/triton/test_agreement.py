"""The check of model repositories says what Triton says: both judge the repositories of the corpus."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from .corpus import CASES, Case, Files
from .load_server import LoadServer

pytestmark = pytest.mark.triton

JUDGED = [case for case in CASES if case.judged]
QUICK = "--disable-auto-complete-config"
"""Triton then validates tensors before it starts a Python process for the model."""
SAMPLE = 30
"""Each so many corrected repositories are loaded in `make test`, because a Python process starts for each of them."""
MODELS_OF_A_SERVER = 25

DISAGREEMENTS: Mapping[str, str] = {}
"""The cases that Triton judges otherwise, with the reason."""


def renamed(files: Files, prefix: str) -> Files:
    """The repository with a prefix before the name of each model."""
    names = "|".join({path.partition("/")[0] for path in files})
    return {
        f"{prefix}{path}": re.sub(rf'((?:\bmodel_name|(?:^|\s)name): ")({names})"', rf'\1{prefix}\2"', content)
        for path, content in files.items()
    }


def reasons(repositories: Mapping[str, tuple[Files, str]], directory: Path, *arguments: str) -> dict[str, str | None]:
    """Why one Triton does not load the default model of each repository; None where it does."""
    server = LoadServer(directory, *arguments)
    try:
        found = {}
        for number, (name, (files, default_model)) in enumerate(repositories.items()):
            prefix = f"c{number}_"
            for path, content in renamed(files, prefix).items():
                file = server.models / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content, encoding="utf-8")
            found[name] = server.load(f"{prefix}{default_model}")
        return found
    finally:
        server.stop()


def test_triton_rejects_the_broken_repositories(tmp_path: Path) -> None:
    broken = {case.name: (case.broken, case.default_model) for case in JUDGED}
    loaded = {name for name, reason in reasons(broken, tmp_path, QUICK).items() if reason is None}
    assert loaded == DISAGREEMENTS.keys()


def rejected(cases: Sequence[Case], directory: Path) -> dict[str, str]:
    """The corrected repositories that Triton rejects, with its reason; it completes configurations as on SageMaker."""
    good = {case.name: (case.good, case.default_model) for case in cases}
    return {name: reason for name, reason in reasons(good, directory).items() if reason is not None}


def test_triton_loads_corrected_repositories(tmp_path: Path) -> None:
    assert rejected(JUDGED[::SAMPLE], tmp_path) == {}


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, len(JUDGED), MODELS_OF_A_SERVER))
def test_triton_loads_every_corrected_repository(tmp_path: Path, first: int) -> None:
    assert rejected(JUDGED[first : first + MODELS_OF_A_SERVER], tmp_path) == {}
