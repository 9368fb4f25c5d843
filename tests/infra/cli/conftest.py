"""What the tests of stack files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.cli.validate import check
from infra.diagnostics.problem import Problem

VALID = """\
config:
  aws:region: ap-northeast-1
  triton-sagemaker:environment: staging
  triton-sagemaker:tags: {CostEnv: test, CostService: x}
  triton-sagemaker:endpoints:
    ranking:
      model:
        artifact: artifacts/model_7.tar.gz
      autoscaling:
        min: 2
        max: 10
"""
"""A stack file without problems."""

Validate = Callable[[str], list[Problem]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The directory of a project without stack files."""
    (tmp_path / "Pulumi.yaml").write_text("name: triton-sagemaker\nruntime: python\n")
    return tmp_path


@pytest.fixture
def validate(project: Path) -> Validate:
    """The problems of a text, as that of `Pulumi.x.yaml`."""

    def validated(text: str) -> list[Problem]:
        file = project / "Pulumi.x.yaml"
        file.write_text(text, encoding="utf-8", newline="")
        return check(file)

    return validated


def brief(problems: list[Problem]) -> list[str]:
    """Each problem as `LINE:COLUMN rule`."""
    return [f"{problem.line}:{problem.column} {problem.rule}" for problem in problems]
