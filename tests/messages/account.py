"""A project in a directory of its own and an AWS that answers as an example needs it, to run commands on."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ClientError
from pulumi import RunError

from infra.__main__ import CommandGroup, text
from infra.aws.session import AwsSession
from infra.errors import UserError
from infra.release.request import OWNER_TAG
from infra.release.waiting import Clock
from tests.messages.golden import Example, Printed

STACK = """\
config:
  aws:region: ap-northeast-1
  triton-sagemaker:environment: staging
  triton-sagemaker:tags: {CostEnv: staging, CostService: ranking}
  triton-sagemaker:bucket: {name: sagemaker-models}
  triton-sagemaker:endpoints:
    ranking:
      model: {path: models}
      instanceType: ml.c5.xlarge
      autoscaling: {min: 2, max: 10}
"""
"""A valid stack file."""

MODEL = """\
backend: "python"
input [{ name: "x", data_type: TYPE_FP32, dims: [2] }]
output [{ name: "y", data_type: TYPE_FP32, dims: [1] }]
"""
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
_ARN = "arn:aws:sagemaker:ap-northeast-1:123456789012"
_COMMANDS = ("release_target", "batch", "cost", "status", "policy", "dashboard")
"""The modules of `infra.cli` that open a session."""

JOB = {
    "TransformJobName": "ranking-20261128",
    "TransformJobArn": f"{_ARN}:transform-job/ranking-20261128",
    "TransformJobStatus": "InProgress",
    "ModelName": "ranking-1a2b3c4",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": "s3://sagemaker-models/batch/in/"}}},
    "TransformOutput": {"S3OutputPath": "s3://sagemaker-models/batch/out/"},
    "CreationTime": NOW,
}


def refusal(operation: str, code: str, message: str, **more: Any) -> ClientError:
    """An error of AWS."""
    return ClientError({"Error": {"Code": code, "Message": message}, **more}, operation)


NOT_FOUND = refusal("DescribeEndpoint", "ValidationException", "Could not find endpoint")

ANSWERS: Mapping[str, Any] = {
    "describe_endpoint": {
        "EndpointName": "ranking",
        "EndpointArn": f"{_ARN}:endpoint/ranking",
        "EndpointStatus": "InService",
        "EndpointConfigName": "ranking-1a2b3c4",
    },
    "describe_endpoint_config": {
        "ProductionVariants": [
            {"VariantName": "AllTraffic", "ModelName": "ranking-1a2b3c4", "InstanceType": "ml.c5.xlarge"}
        ]
    },
    "describe_model": {
        "ModelName": "ranking-1a2b3c4",
        "PrimaryContainer": {"ModelDataUrl": "s3://sagemaker-models/models/ranking/1.tar.gz"},
        "CreationTime": NOW,
    },
    "describe_transform_job": refusal("DescribeTransformJob", "ValidationException", "Could not find requested job"),
    "list_tags": {"Tags": [{"Key": OWNER_TAG, "Value": "triton-sagemaker/dev"}]},
    "list_models": {"Models": []},
    "get_resources": {"ResourceTagMappingList": []},
    "list_objects_v2": {},
    "head_object": refusal("HeadObject", "404", "Not Found"),
    "create_multipart_upload": {"UploadId": "1"},
    "abort_multipart_upload": {},
    "get_caller_identity": {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/you"},
}
"""What the operations of a healthy account answer."""


@dataclass
class Account:
    """A project and an account.

    Attributes:
        answers: by operation, what it returns, raises or calls.
    """

    directory: Path
    answers: dict[str, Any] = field(default_factory=lambda: dict(ANSWERS))
    region: str | None = "ap-northeast-1"

    @classmethod
    @contextlib.contextmanager
    def made(cls, stack: str = STACK, **answers: Any) -> Iterator[Account]:
        """An account whose clients every command gets; waiting costs no time."""
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stacked:
            account = cls(Path(name), {**ANSWERS, **answers})
            account.write("Pulumi.yaml", "name: triton-sagemaker\nruntime: python\n")
            account.write("Pulumi.dev.yaml", stack)
            account.write("models/iris/config.pbtxt", MODEL)
            account.write("models/iris/1/model.py", "")
            for module in _COMMANDS:
                stacked.enter_context(patch(f"infra.cli.{module}.aws_session", lambda *_, **__: account))
            stacked.enter_context(patch.object(AwsSession, "client", account.client))
            stacked.enter_context(
                patch.object(Clock, "pause", lambda clock: setattr(clock, "began", clock.began - 600))
            )
            stacked.enter_context(contextlib.chdir(account.directory))
            stacked.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # commands replace it
            yield account

    def write(self, path: str, text: str | bytes) -> None:
        """A file of the project."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    account_id = "123456789012"

    def client(self, *_: Any, **__: Any) -> Any:
        """A client of any service."""
        return _Client(self.answers)

    def run(self, command: str, note: str = "") -> Example:
        """A command line after `python -m infra`, and what it prints if it fails or warns."""
        out, err = io.StringIO(), io.StringIO()
        rule, code, error = "warning", 0, ""
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patch("sys.stdin", io.StringIO()):
            try:
                code = (
                    CommandGroup(help="").main(shlex.split(command), prog_name="python -m infra", standalone_mode=False)
                    or 0
                )
            except UserError as problem:
                rule, code, error = type(problem).__name__, problem.exit_code, text(problem)
        printed = "\n".join(filter(None, (err.getvalue().rstrip(), error))) or out.getvalue().rstrip()
        written = f"python -m infra {command}{f'   # {note}' if note else ''}"
        return self.shown(rule, written, f"{printed}\n(exit code {code})")

    def failing(self, written: str, action: Any) -> Example:
        """What somebody did, and the error that it ends with."""
        try:
            action()
        except (UserError, RunError) as problem:
            return self.shown(type(problem).__name__, written, f"error: {problem}")
        raise AssertionError(f"no error: {written}")

    def shown(self, rule: str, written: str, printed: str) -> Example:
        """An example without the directory of this run."""
        for directory in (os.path.realpath(self.directory), str(self.directory)):
            printed = printed.replace(directory, "/project")
        return Example(written, (Printed(rule, printed),))


class _Client:
    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Any:
        if operation not in self._answers:
            raise AttributeError(operation)

        def call(*arguments: Any, **named: Any) -> Any:
            answer = self._answers[operation]
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments, **named) if callable(answer) else answer

        return call

    def get_paginator(self, operation: str) -> Any:
        def paginate(**arguments: Any) -> Iterator[Any]:
            yield getattr(self, operation)(**arguments)

        return SimpleNamespace(paginate=paginate)
