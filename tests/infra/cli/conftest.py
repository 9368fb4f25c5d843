"""What the tests of stack files share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.cli.validate import check
from infra.diagnostics.problem import Problem
from infra.release.waiting import Clock
from tests.infra.cli.serving import BUCKET, IN_REAL_TIME, Account

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


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Account]]:
    """Makes the account of a stack with a text as its file."""
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        s3.create_bucket(Bucket=BUCKET)

        def made(stack_file: str = IN_REAL_TIME) -> Account:
            account = Account.of(tmp_path, s3, stack_file)
            for module in ("release_target", "batch"):
                monkeypatch.setattr(f"infra.cli.{module}.aws_session", lambda *_, **__: account)
            return account

        monkeypatch.setattr(Clock, "pause", lambda _: None)
        yield made
