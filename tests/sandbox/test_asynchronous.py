"""Asynchronous endpoints: the queue, its objects in S3, and what AWS refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Host
from tests.sandbox.test_runtime import QUIET, answering, question

ROLE = ("s3:*", "ecr:*", "sns:Publish", "cloudwatch:DescribeAlarms")


def async_config(host: Host, **changes: Any) -> dict[str, Any]:
    """An AsyncInferenceConfig; `changes` are of its OutputConfig, and `concurrency`."""
    concurrency = changes.pop("concurrency", None)
    output = {"S3OutputPath": f"s3://{host.bucket}/out", "S3FailurePath": f"s3://{host.bucket}/failed", **changes}
    client = {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency}} if concurrency else {}
    return {"OutputConfig": output, **client}


def config(host: Host, environment: Mapping[str, str] | None = None, **changes: Any) -> str:
    """A configuration of one variant with this environment and an execution role for asynchronous inference."""
    role = host.make_role(actions=changes.pop("actions", ROLE))
    count = changes.pop("count", 1)
    model = host.model(changes.pop("artifact", b""), environment, ExecutionRoleArn=role)
    variant = {"ModelName": model, "InitialInstanceCount": count}
    return host.config(variant, AsyncInferenceConfig=async_config(host, **changes))


def endpoint(host: Host, environment: Mapping[str, str] | None = None, **changes: Any) -> str:
    return host.endpoint(config(host, environment, **changes))


def invoke(host: Host, name: str, body: bytes | None = b"{}", **options: Any) -> dict[str, Any]:
    inline = {} if body is None or "InputLocation" in options else {"Body": body}
    answer: dict[str, Any] = host.runtime.invoke_endpoint_async(EndpointName=name, **inline, **options)
    return answer


def read(host: Host, uri: str, seconds: float = 60) -> bytes:
    """The object once it exists."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    deadline = time.monotonic() + seconds
    while True:
        try:
            return bytes(host.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError:
            assert time.monotonic() < deadline, f"{uri} does not appear"
            time.sleep(0.05)


def exists(host: Host, uri: str) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bool(host.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"))


def refusal(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    error: dict[str, Any] = refused.value.response["Error"]
    return error


# ---- a request and its objects


def test_triton_answers_a_request_that_is_an_object_in_s3(triton_host: Host) -> None:
    host = triton_host
    name = endpoint(host, QUIET, artifact=answering(7))
    host.aws.client("s3").put_object(Bucket=host.bucket, Key="in/question.json", Body=question()["Body"])
    location = f"s3://{host.bucket}/in/question.json"
    accepted = invoke(host, name, InputLocation=location, ContentType="application/json")
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    answer = json.loads(read(host, accepted["OutputLocation"]))
    assert answer["outputs"][0]["data"] == [7]
    refused = invoke(host, name, question(-1)["Body"].encode(), ContentType="application/json")
    assert b"must not be negative" in read(host, refused["FailureLocation"])
    assert not exists(host, refused["OutputLocation"])


def test_an_inline_body_is_answered_below_the_output_path(scripted_host: Host) -> None:
    """API_runtime_InvokeEndpointAsync: Body, InferenceId, OutputLocation, FailureLocation."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    accepted = invoke(scripted_host, name, InferenceId="mine")
    assert accepted["InferenceId"] == "mine"
    assert accepted["OutputLocation"].startswith(f"s3://{scripted_host.bucket}/out/")
    assert accepted["OutputLocation"].endswith(".out")
    assert accepted["FailureLocation"].startswith(f"s3://{scripted_host.bucket}/failed/")
    assert read(scripted_host, accepted["OutputLocation"]) == b"done"
    assert not exists(scripted_host, accepted["FailureLocation"])


def test_a_request_names_the_object_of_its_answer(scripted_host: Host) -> None:
    """API_runtime_InvokeEndpointAsync: S3OutputPathExtension and Filename."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    accepted = invoke(scripted_host, name, S3OutputPathExtension="today/a", Filename="answer.json")
    assert accepted["OutputLocation"] == f"s3://{scripted_host.bucket}/out/today/a/answer.json"
    assert read(scripted_host, accepted["OutputLocation"]) == b"done"


def test_without_a_failure_path_there_is_no_failure_location(scripted_host: Host) -> None:
    """Inferred: S3FailurePath is optional (API_AsyncInferenceOutputConfig), and so is FailureLocation."""
    variant = {"ModelName": scripted_host.model(b"", ExecutionRoleArn=scripted_host.make_role(actions=ROLE))}
    output = {"OutputConfig": {"S3OutputPath": f"s3://{scripted_host.bucket}/out"}}
    name = scripted_host.endpoint(scripted_host.config(variant, AsyncInferenceConfig=output))
    assert "FailureLocation" not in invoke(scripted_host, name)


def test_describe_endpoint_shows_the_asynchronous_configuration(scripted_host: Host) -> None:
    """API_DescribeEndpoint: AsyncInferenceConfig."""
    name = endpoint(scripted_host, concurrency=3)
    assert scripted_host.describe(name)["AsyncInferenceConfig"] == async_config(scripted_host, concurrency=3)
    assert "AsyncInferenceConfig" not in scripted_host.describe(scripted_host.endpoint())


# ---- what AWS refuses


def test_an_asynchronous_endpoint_accepts_asynchronous_requests_only(scripted_host: Host) -> None:
    """Developer guide, async-inference: "implies that the endpoint can only receive asynchronous invocations"."""
    name = endpoint(scripted_host)
    error = refusal(scripted_host.runtime.invoke_endpoint, EndpointName=name, Body=b"{}")
    assert error["Code"] == "ValidationError"
    error = refusal(
        scripted_host.runtime.invoke_endpoint_async, EndpointName=scripted_host.endpoint(), InputLocation="s3://b/k"
    )
    assert error["Code"] == "ValidationError"


@pytest.mark.parametrize("given", [{}, {"Body": b"{}", "InputLocation": "s3://bucket/key"}])
def test_exactly_one_input_is_required(scripted_host: Host, given: dict[str, Any]) -> None:
    """API_runtime_InvokeEndpointAsync: "Body and InputLocation are mutually exclusive. Provide exactly one of them"."""
    name = endpoint(scripted_host)
    error = refusal(scripted_host.runtime.invoke_endpoint_async, EndpointName=name, **given)
    assert error["Code"] == "ValidationError" and "exactly one" in error["Message"]


@pytest.mark.parametrize(
    "given",
    [
        {"Body": b"x" * 128_001},
        {"RequestTTLSeconds": 59},
        {"RequestTTLSeconds": 21_601},
        {"InvocationTimeoutSeconds": 3601},
        {"Filename": "a.b.c"},
        {"Filename": "a" * 33},
        {"S3OutputPathExtension": "s3://elsewhere"},
        {"InferenceId": "a" * 65},
        {"InputLocation": "ftp://bucket/key"},
    ],
)
def test_limits_of_a_request(scripted_host: Host, given: dict[str, Any]) -> None:
    """API_runtime_InvokeEndpointAsync: the constraints of the members, as botocore's model has them."""
    name = endpoint(scripted_host)
    body = {} if {"Body", "InputLocation"} & set(given) else {"Body": b"{}"}
    runtime = scripted_host.aws.client("sagemaker-runtime", parameter_validation=False)
    error = refusal(runtime.invoke_endpoint_async, EndpointName=name, **body, **given)
    assert error["Code"] == "ValidationError"


def test_an_endpoint_that_does_not_exist_is_not_found(scripted_host: Host) -> None:
    error = refusal(scripted_host.runtime.invoke_endpoint_async, EndpointName="missing", Body=b"{}")
    assert error["Code"] == "ValidationError" and "not found" in error["Message"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 0}},
        {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1001}},
        {"OutputConfig": {"S3OutputPath": f"s3://bucket/{'a' * 512}"}},
        {"OutputConfig": {"S3OutputPath": "bucket/path"}},
        {"OutputConfig": {"S3OutputPath": "s3://bucket", "NotificationConfig": {"SuccessTopic": "topic"}}},
        {
            "OutputConfig": {
                "S3OutputPath": "s3://bucket",
                "NotificationConfig": {"IncludeInferenceResponseIn": ["SUCCESS"]},
            }
        },
    ],
)
def test_limits_of_a_configuration(host: Host, changes: dict[str, Any]) -> None:
    """API_AsyncInferenceClientConfig, API_AsyncInferenceOutputConfig and API_AsyncInferenceNotificationConfig: the
    constraints of the members, as botocore's model has them."""
    error = refusal(
        host.aws.client("sagemaker", parameter_validation=False).create_endpoint_config,
        EndpointConfigName="limits",
        ProductionVariants=[host.variant()],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://bucket"}, **changes},
    )
    assert error["Code"] == "ValidationException" and "asyncInferenceConfig." in error["Message"]


def test_a_serverless_variant_cannot_be_asynchronous(host: Host) -> None:
    """Inferred: a queue sends its requests to instances."""
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
    variants = [{"VariantName": "A", "ModelName": host.model(), **serverless}]
    with pytest.raises(ClientError, match="ServerlessConfig cannot be used with AsyncInferenceConfig"):
        host.config(ProductionVariants=variants, AsyncInferenceConfig=async_config(host))


def test_an_endpoint_stays_asynchronous_or_not(scripted_host: Host) -> None:
    """aws/sagemaker-python-sdk#3124 for the removal; that it cannot be added is inferred."""
    name, plain = endpoint(scripted_host), scripted_host.endpoint()
    update = scripted_host.sagemaker.update_endpoint
    error = refusal(update, EndpointName=name, EndpointConfigName=scripted_host.config())
    assert "AsyncInferenceConfig parameter cannot be removed" in error["Message"]
    error = refusal(update, EndpointName=plain, EndpointConfigName=config(scripted_host))
    assert "AsyncInferenceConfig parameter cannot be added" in error["Message"]
    assert scripted_host.describe(name)["EndpointStatus"] == "InService"
