"""What the table after `up` says about an endpoint."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from rich.console import Console

from infra.triton.repository import ModelRepository
from sandbox.asking import Asked, ask, short, table
from sandbox.aws.access import AccessKey
from sandbox.home import PROJECT, Aws, Sandbox
from tests.infra.invocation.test_container_error import model_error

ARN = "arn:aws:sagemaker:ap-northeast-1:123456789012:endpoint/iris"
IMAGE = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/tritonserver@sha256:0123456789abcdef"
SPECIES = {"name": "species", "datatype": "BYTES", "shape": [1, 1], "data": ["virginica"]}
PROBABILITIES = {"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 0.1, 0.9]}
ANSWER = {"outputs": [SPECIES, PROBABILITIES]}


class FakeSandbox(Sandbox):
    """A sandbox whose AWS is made of what a test says."""

    def __init__(self, tmp_path: Path, archive: bytes, answer: bytes | Exception, triton: str | None = None) -> None:
        super().__init__(tmp_path, tmp_path, print)
        self.archive, self.answer, self.triton = archive, answer, triton

    def running(self) -> Aws:
        return Aws(1, 0.0, "", "ap-northeast-1", "123456789012", self.triton, AccessKey("AKID", "secret"))

    def client(self, service: str, region: str | None = None, config: Any = None, **options: Any) -> Any:
        assert region == "ap-northeast-1"
        return self

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        return {
            "EndpointName": EndpointName,
            "EndpointArn": ARN,
            "EndpointStatus": "InService",
            "EndpointConfigName": f"{EndpointName}-1",
        }

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        return {"ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "iris-2"}]}

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/models/iris/model.tar.gz"}
        return {"ModelName": ModelName, "PrimaryContainer": container, "CreationTime": datetime.now(UTC)}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert (Bucket, Key) == ("models", "models/iris/model.tar.gz")
        return {"ContentLength": len(self.archive), "ETag": "x"}

    def get_object(self, Range: str, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.archive[int(Range.removeprefix("bytes=").split("-")[0]) :])}

    def invoke_endpoint(self, EndpointName: str, ContentType: str, Body: bytes) -> dict[str, Any]:
        assert EndpointName == "iris"
        assert json.loads(Body)["inputs"]
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Body": io.BytesIO(self.answer)}


@pytest.fixture(scope="module")
def archive() -> bytes:
    packed = io.BytesIO()
    ModelRepository.read(PROJECT / "examples" / "models").pack(packed)
    return packed.getvalue()


def test_an_endpoint_is_shown_with_what_it_serves_and_answers(tmp_path: Path, archive: bytes) -> None:
    asked = ask(FakeSandbox(tmp_path, archive, json.dumps(ANSWER).encode()), ARN)

    assert (asked.endpoint, asked.status, asked.image) == ("iris", "InService", "sha256:0123456789abcdef")
    assert asked.artifact == "s3://models/models/iris/model.tar.gz"
    assert asked.answer == "species=virginica, probabilities=[0, 0.1, 0.9]"
    assert asked.seconds is not None
    assert asked.problem is None


def test_a_model_that_cannot_be_asked_is_said_to_be(tmp_path: Path) -> None:
    asked = ask(FakeSandbox(tmp_path, b"no archive", b""), ARN)

    assert asked.request == "none"
    assert asked.answer.startswith("cannot be asked: ")
    assert (asked.seconds, asked.problem) == (None, None)


def test_where_no_triton_runs_no_answer_is_made_up(tmp_path: Path, archive: bytes) -> None:
    sandbox = FakeSandbox(tmp_path, archive, AssertionError("asked"), triton="no wheel")

    asked = ask(sandbox, ARN)
    assert (asked.answer, asked.problem) == ("no Triton runs here", None)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (model_error('{"error":"no weights"}'), "no weights"),
        (
            ClientError({"Error": {"Code": "ValidationError", "Message": "no such variant"}}, "InvokeEndpoint"),
            "variant",
        ),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), "timeout"),
    ],
)
def test_an_error_of_the_model_is_its_answer(tmp_path: Path, archive: bytes, error: Exception, shown: str) -> None:
    asked = ask(FakeSandbox(tmp_path, archive, error), ARN)
    assert shown in asked.answer
    assert (asked.problem or "").startswith("did not answer: ")


def test_an_answer_that_is_none_is_shown_as_it_came(tmp_path: Path, archive: bytes) -> None:
    asked = ask(FakeSandbox(tmp_path, archive, b"<html>"), ARN)
    assert "<html>" in asked.answer
    assert asked.problem == "did not answer: not an inference response: b'<html>'"


def test_an_answer_without_an_output_that_the_configuration_declares_is_none(tmp_path: Path, archive: bytes) -> None:
    asked = ask(FakeSandbox(tmp_path, archive, json.dumps({"outputs": [SPECIES]}).encode()), ARN)
    assert asked.answer == "species=virginica"
    assert asked.problem == "answered without probabilities, which its config.pbtxt promises"


def printed(answers: list[Asked], width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table(answers, console))
    return capture.get().splitlines()


def test_the_table_keeps_brackets_and_shortens_digests() -> None:
    artifact = f"s3://models/released/{'f' * 64}.tar.gz"
    asked = Asked("iris", "InService", "real time", "sha256:0123456789abcdef", artifact, "[bold]", "[/x]", 0.1)
    facts = [
        "iris",
        "InService",
        "real time",
        "0123456789ab",
        "released/ffffffffffff….tar.gz",
        "[bold]",
        "[/x]",
        "100 ms",
    ]

    wide = [cell.strip() for cell in printed([asked], 200)[3].strip("│").split("│")]
    narrow = [line.split("│")[2].strip() for line in printed([asked], 80)[1:-1]]

    assert wide == narrow == facts


def test_without_endpoints_there_is_nothing_to_show() -> None:
    assert printed([], 200) == [""]


def test_short_keeps_names_that_are_short() -> None:
    assert short("s3://bucket/artifacts/model_7.tar.gz") == "artifacts/model_7.tar.gz"
