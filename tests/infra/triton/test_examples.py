"""The examples hold what their READMEs promise."""

from __future__ import annotations

import pytest

from infra.triton.check import check_repository
from infra.triton.repository import ModelRepository
from tests.infra.mock_runtime import ROOT


@pytest.mark.parametrize(
    ("path", "default_model"), [("models", "iris"), ("ensemble/models", "iris"), ("text/models", "story")]
)
def test_the_model_check_finds_nothing(path: str, default_model: str) -> None:
    assert check_repository(ModelRepository.read(ROOT / "examples" / path).listing, default_model) == []


def test_examples_are_small() -> None:
    assert sum(file.stat().st_size for file in (ROOT / "examples").rglob("*") if file.is_file()) < 40_000
