"""`python -m infra invoke`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.invocation.async_request import MAX_INLINE_BYTES
from infra.release.waiting import Clock
from tests.infra.cli.serving import ANSWER, BATCH, BUCKET, REQUEST, Account
from tests.infra.invocation.test_container_error import model_error

Capture = pytest.CaptureFixture[str]
Made = Callable[..., Account]
ASYNCHRONOUS: dict[str, Any] = {
    "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/async/iris/output"}}
}
OUTPUT, FAILURE = "async/iris/output/1.out", "async/iris/failure/1-error.out"


def test_without_an_input_the_sample_of_the_stack_files_model_is_sent(account: Made, capsys: Capture) -> None:
    made = account()
    assert made.run("invoke") == 0
    (call,) = made.runtime.calls
    assert (call["EndpointName"], call["ContentType"]) == ("iris", "application/json")
    assert json.loads(call["Body"])["inputs"] == REQUEST["inputs"]
    printed = capsys.readouterr()
    assert "0.25" in printed.out
    assert "model iris of models" in printed.err
    assert "(real time), variant AllTraffic" in printed.err


def test_several_models_without_a_default_are_read_from_the_artifact(account: Made, capsys: Capture) -> None:
    made = account()
    (made.directory / "models" / "other" / "1").mkdir(parents=True)
    (made.directory / "models" / "other" / "config.pbtxt").touch()
    assert made.run("invoke") == 2
    assert f"s3://{BUCKET}/models/iris/x.tar.gz" in capsys.readouterr().err


def test_a_file_is_sent_as_it_is_and_json_is_printed_alone(account: Made, tmp_path: Path, capsys: Capture) -> None:
    made = account()
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST, indent=1))
    assert made.run("invoke", "iris", "--input", str(file), "--json") == 0
    assert made.runtime.calls[0]["Body"] == file.read_bytes()
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_a_response_in_another_form_is_printed_as_it_is(account: Made, capfdbinary: Any) -> None:
    made = account()
    made.runtime.answers = [b"\x00plain"]
    assert made.run("invoke") == 0
    assert capfdbinary.readouterr().out == b"\x00plain"


def test_a_variant_is_chosen(account: Made) -> None:
    made = account()
    assert made.run("invoke", "--variant", "AllTraffic") == 0
    assert made.runtime.calls[0]["TargetVariant"] == "AllTraffic"
    assert made.run("invoke", "--variant", "Trial") == 2


def test_an_error_of_the_container_is_shown_in_its_words_with_its_log(account: Made, capsys: Capture) -> None:
    made = account()
    made.runtime.answers = [model_error('{"error":"no weights"}', 400)]
    assert made.run("invoke") == 1
    error = capsys.readouterr().err
    assert "no weights" in error
    assert "/aws/sagemaker/Endpoints/iris" in error


def test_a_serverless_endpoint_that_starts_is_asked_again(
    account: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = account()
    made.sagemaker.config["ProductionVariants"][0] |= {"ServerlessConfig": {"MemorySizeInMB": 1024}}
    starting = ClientError({"Error": {"Code": "ModelNotReadyException", "Message": "wait"}}, "InvokeEndpoint")
    made.runtime.answers = [starting, json.dumps(ANSWER).encode()]
    monkeypatch.setattr("infra.invocation.answer.invoke_patiently.__defaults__", (lambda: 0.0, lambda _: None))
    assert made.run("invoke") == 0
    printed = capsys.readouterr()
    assert "ModelNotReadyException" in printed.err
    assert "(serverless)" in printed.err


@pytest.mark.parametrize("key", [OUTPUT, FAILURE])
@pytest.mark.parametrize("size", [0, MAX_INLINE_BYTES + 1])
def test_an_asynchronous_endpoint_is_waited_for(
    account: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, key: str, size: int
) -> None:
    made = account()
    made.sagemaker.config |= ASYNCHRONOUS
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST).ljust(size))
    body = {OUTPUT: json.dumps(ANSWER), FAILURE: '{"error": "no weights"}'}[key]
    monkeypatch.setattr(Clock, "pause", lambda _: made.s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode()))
    assert made.run("invoke", "--input", str(file)) == (0 if key == OUTPUT else 1)
    assert ("InputLocation" in made.runtime.calls[0]) is bool(size)
    printed = capsys.readouterr()
    assert FAILURE in printed.err
    assert ("0.25" in printed.out) if key == OUTPUT else ("no weights" in printed.err)


def test_a_large_request_cannot_be_uploaded_if_nothing_names_the_bucket(
    account: Made, tmp_path: Path, capsys: Capture
) -> None:
    made = account()
    (variant,) = made.sagemaker.config["ProductionVariants"]
    del variant["ModelName"]
    made.sagemaker.config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": "s3://answers/a"}}
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST).ljust(MAX_INLINE_BYTES + 1))
    assert made.run("invoke", "--input", str(file)) == 2
    error = capsys.readouterr().err
    assert "bucket.name" in error
    assert "--input" not in error
    assert made.runtime.calls == []


def test_an_interrupted_wait_leaves_the_locations(
    account: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    made = account()
    made.sagemaker.config |= ASYNCHRONOUS
    monkeypatch.setattr(Clock, "pause", interrupt)
    assert made.run("invoke") == 130
    assert f"s3://{BUCKET}/{OUTPUT}" in capsys.readouterr().err


def test_a_variant_of_an_asynchronous_endpoint_cannot_be_chosen(account: Made) -> None:
    made = account()
    made.sagemaker.config |= ASYNCHRONOUS
    assert made.run("invoke", "--variant", "AllTraffic") == 2


def test_a_measurement(account: Made, capsys: Capture) -> None:
    made = account()
    assert made.run("invoke", "--bench", "1", "--concurrency", "2", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["responses"] == len(made.runtime.calls) > 2
    assert facts["concurrency"] == 2
    assert facts["latencyMilliseconds"]["p50"] <= facts["latencyMilliseconds"]["max"]
    assert facts["errors"] == {}
    assert facts["fleet"] == {"instanceType": "ml.r5.xlarge", "instances": 2}


def test_errors_of_a_measurement_are_counted(account: Made, capsys: Capture) -> None:
    made = account()
    made.runtime.answers = [model_error('{"error":"no weights"}', 400), json.dumps(ANSWER).encode()]
    assert made.run("invoke", "--bench", "1") == 1
    printed = capsys.readouterr().out
    assert "1 x " in printed
    assert "no weights" in printed
    assert "p99" in printed


def test_a_model_without_an_endpoint_is_not_invoked(account: Made, capsys: Capture) -> None:
    assert account(BATCH).run("invoke") == 2
    assert "python -m infra batch" in capsys.readouterr().err


def test_an_endpoint_that_is_not_deployed(account: Made, capsys: Capture) -> None:
    made = account()
    made.sagemaker.config = {}
    assert made.run("invoke") == 2
    assert "pulumi up" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "not json"])
def test_an_input_that_is_not_a_request(account: Made, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "request.json"
    if content:
        file.write_text(content)
    assert account().run("invoke", "--input", str(file)) == 2
