"""Serverless endpoints: what their configuration must be, and compute that comes and goes with the requests."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.conftest import ALL_TIME, Host, eventually, unique
from tests.sandbox.scripted_server import Gate, ScriptedServer
from tests.sandbox.test_runtime import QUIET, answering, ask
from tests.sandbox.test_runtime import refusal as refused_answer
from tests.sandbox.test_sagemaker import DOCKER, lenient, push, refusal

SMALL = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}


def variant(model: str, config: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": {**SMALL, **(config or {})}, **changes}


def configure(host: Host, *variants: Mapping[str, Any], **changes: Any) -> str:
    """An endpoint configuration of these variants."""
    name = unique("config")
    lenient(host).create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **changes)
    return name


def serverless(host: Host, environment: Mapping[str, str] | None = None, **config: Any) -> str:
    """A configuration of one serverless variant whose model server does what its environment says."""
    return configure(host, variant(host.model(b"", environment), config))


def invoke(host: Host, endpoint: str, body: bytes = b"{}") -> bytes:
    return bytes(host.runtime.invoke_endpoint(EndpointName=endpoint, Body=body)["Body"].read())


def counts(host: Host, endpoint: str) -> tuple[int, int]:
    """How often its container has started and ended."""
    log = host.log(endpoint)
    return log.count("started"), log.count("ended")


def metrics(host: Host, endpoint: str, namespace: str = "AWS/SageMaker") -> dict[str, list[float]]:
    """The values of an endpoint's metrics, with the dimensions of its variant alone."""
    cloudwatch = host.aws.client("cloudwatch")
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]
    of_endpoint = cloudwatch.list_metrics(Namespace=namespace, Dimensions=dimensions[:1])["Metrics"]
    assert all(sorted(m["Dimensions"], key=lambda d: str(d["Name"])) == dimensions for m in of_endpoint)
    now = datetime.now(UTC)
    return {
        metric["MetricName"]: [
            point["Sum"]
            for point in cloudwatch.get_metric_statistics(
                Namespace=namespace,
                MetricName=metric["MetricName"],
                Dimensions=dimensions,
                StartTime=now - timedelta(minutes=5),
                EndTime=now + timedelta(minutes=1),
                Period=ALL_TIME,
                Statistics=["Sum"],
            )["Datapoints"]
        ]
        for metric in of_endpoint
    }


# ---- CreateEndpointConfig


def test_a_serverless_configuration_is_echoed(host: Host) -> None:
    config = {"MemorySizeInMB": 6144, "MaxConcurrency": 200, "ProvisionedConcurrency": 200}
    name = configure(host, variant(host.model(), config))
    described = host.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert described["ProductionVariants"][0]["ServerlessConfig"] == config
    assert "InstanceType" not in described["ProductionVariants"][0]


@pytest.mark.parametrize(
    ("config", "constraint"),
    [
        ({"MemorySizeInMB": 1023}, "greater than or equal to 1024"),
        ({"MemorySizeInMB": 7168}, "less than or equal to 6144"),
        ({"MaxConcurrency": 0}, "greater than or equal to 1"),
        ({"MaxConcurrency": 201}, "less than or equal to 200"),
        ({"ProvisionedConcurrency": 0}, "greater than or equal to 1"),
        ({"ProvisionedConcurrency": 201}, "less than or equal to 200"),
        ({"MemorySizeInMB": 1536}, "not a multiple of 1024"),
        ({"ProvisionedConcurrency": 3}, "at most MaxConcurrency 2"),
    ],
)
def test_the_limits_of_a_serverless_configuration_hold(host: Host, config: dict[str, Any], constraint: str) -> None:
    """API_ProductionVariantServerlessConfig."""
    assert constraint in refusal(configure, host, variant(host.model(), config))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("InstanceType", "ml.c5.xlarge"),
        ("InitialInstanceCount", 1),
        ("VolumeSizeInGB", 8),
        ("ContainerStartupHealthCheckTimeoutInSeconds", 120),
        ("ModelDataDownloadTimeoutInSeconds", 120),
        ("RoutingConfig", {"RoutingStrategy": "RANDOM"}),
        ("ManagedInstanceScaling", {"Status": "ENABLED"}),
        ("InferenceAmiVersion", "al2-ami-sagemaker-inference-gpu-2"),
        ("EnableSSMAccess", True),
        ("CoreDumpConfig", {"DestinationS3Uri": "s3://bucket/dumps"}),
    ],
)
def test_a_serverless_variant_has_nothing_of_instances(host: Host, member: str, value: Any) -> None:
    message = refusal(configure, host, variant(host.model(), **{member: value}))
    assert message == f"Variant AllTraffic cannot have both ServerlessConfig and {member}."


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("AsyncInferenceConfig", {"OutputConfig": {"S3OutputPath": "s3://bucket/answers"}}),
        (
            "DataCaptureConfig",
            {
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": "s3://bucket/captured",
                "CaptureOptions": [{"CaptureMode": "Input"}],
            },
        ),
        ("VpcConfig", {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}),
        ("EnableNetworkIsolation", True),
    ],
)
def test_a_serverless_configuration_has_what_serverless_lacks_refused(host: Host, member: str, value: Any) -> None:
    """Developer guide, serverless-endpoints, "Feature exclusions"."""
    assert member in refusal(configure, host, variant(host.model()), **{member: value})


def test_a_serverless_configuration_has_one_variant(host: Host) -> None:
    """Developer guide, serverless-endpoints, "Feature exclusions"."""
    first, second = variant(host.model()), variant(host.model(), VariantName="B")
    assert "multiple production variants" in refusal(configure, host, first, second)
    assert "multiple production variants" in refusal(configure, host, first, host.variant(VariantName="B"))
    shadow = refusal(configure, host, first, ShadowProductionVariants=[second])
    assert shadow == "ServerlessConfig cannot be used with ShadowProductionVariants."


@pytest.mark.parametrize(
    "changes",
    [
        {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}},
        {"EnableNetworkIsolation": True},
    ],
)
def test_a_serverless_variant_has_no_model_in_a_network_of_ones_own(host: Host, changes: dict[str, Any]) -> None:
    """Developer guide, serverless-endpoints, "Feature exclusions"."""
    model = host.model(**changes)
    assert refusal(configure, host, variant(model)).startswith(f"Model {model} has VpcConfig or network isolation")


# ---- its life


def test_a_real_triton_answers_a_serverless_endpoint(triton_host: Host) -> None:
    host = triton_host
    name = host.endpoint(configure(host, variant(host.model(answering(7), QUIET))))
    assert ask(host, name) == 7
    assert 0 < metrics(host, name, "/aws/sagemaker/Endpoints")["MemoryUtilization"][0] < 100


def test_no_container_runs_before_the_first_request_and_after_idle_time(scripted_host: Host) -> None:
    host = scripted_host
    name = host.endpoint(serverless(host, {"ANSWER": "yes"}))
    assert counts(host, name) == (1, 1)  # the health check at its creation
    assert (invoke(host, name), invoke(host, name)) == (b"yes", b"yes")
    host.aws.impose(serverlessIdleSeconds=0.5)  # counted from the end of the next request
    assert counts(host, name) == (2, 1)
    assert invoke(host, name) == b"yes"
    eventually(lambda: counts(host, name) == (2, 2))
    host.aws.impose(serverlessIdleSeconds=300)
    assert invoke(host, name) == b"yes"
    assert counts(host, name) == (3, 2)


def test_a_container_that_has_ended_by_itself_is_started_again(
    scripted_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = scripted_host
    name = host.endpoint(serverless(host, {"ANSWER": "yes"}))
    invoke(host, name)
    monkeypatch.setattr(ScriptedServer, "exited", 1)
    assert invoke(host, name) == b"yes"
    assert counts(host, name) == (3, 2)


def test_a_serverless_endpoint_describes_its_concurrency_and_no_instances(scripted_host: Host) -> None:
    host = scripted_host
    (described,) = host.describe(host.endpoint(serverless(host)))["ProductionVariants"]
    assert described["CurrentServerlessConfig"] == SMALL
    assert described["CurrentInstanceCount"] == 0
    assert "InstanceType" not in described


@pytest.mark.parametrize("environment", [{"BROKEN": "1"}, {"UNHEALTHY": "1"}])
def test_a_container_that_does_not_pass_its_health_check_fails_the_creation(
    scripted_host: Host, environment: dict[str, str]
) -> None:
    """ "Your serverless endpoint fails to create or update due to a ping health check failure" (developer guide,
    serverless-endpoints-troubleshooting)."""
    host = scripted_host
    host.aws.impose(healthCheckSeconds=0.2)
    name = host.endpoint(serverless(host, environment), wait=None)
    reason = host.wait(name, "Failed")["FailureReason"]
    assert "did not pass the ping health check" in reason
    started, ended = counts(host, name)
    assert started == ended == 1


def test_an_image_has_ten_gigabytes(host: Host) -> None:
    """https://github.com/aws-solutions/qnabot-on-aws/issues/691"""
    limit = 10 * 1024**3
    for size, status in ((limit, "InService"), (limit + 1, "Failed")):
        model = host.model(PrimaryContainer={"Image": push(host.aws, DOCKER, size=size)})
        host.wait(host.endpoint(configure(host, variant(model)), wait=None), status)


def test_requests_beyond_the_concurrency_are_throttled(scripted_host: Host) -> None:
    """ "any endpoint invocations beyond the maximum are throttled" (developer guide, serverless-endpoints)."""
    host = scripted_host
    gate = Gate.of("throttled")
    name = host.endpoint(serverless(host, {"GATE": "throttled", "ANSWER": "yes"}))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(invoke, host, name) for _ in range(2)]
        eventually(lambda: gate.waiting == 2)
        error = refused_answer(host, name)
        gate.open()
        assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("ThrottlingException", 400)
        assert [answer.result() for answer in waiting] == [b"yes", b"yes"]
    assert invoke(host, name) == b"yes"
    assert metrics(host, name)["Invocations"] == [3.0]


def test_concurrent_requests_share_one_cold_start(scripted_host: Host) -> None:
    host = scripted_host
    gate = Gate.of("shared")
    name = host.endpoint(serverless(host, {"GATE": "shared", "ANSWER": "yes"}))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(invoke, host, name) for _ in range(2)]
        eventually(lambda: gate.waiting == 2)
        gate.open()
        assert [answer.result() for answer in waiting] == [b"yes", b"yes"]
    assert counts(host, name) == (2, 1)


def test_a_cold_start_may_not_be_ready(scripted_host: Host) -> None:
    """botocore, InvokeEndpoint: ModelNotReadyException, 429."""
    host = scripted_host
    name = host.endpoint(serverless(host, {"ANSWER": "yes"}))
    host.aws.impose(serverlessNotReady=1)
    error = refused_answer(host, name)
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelNotReadyException", 429)
    assert invoke(host, name) == b"yes"


def test_a_request_and_its_answer_have_four_megabytes(scripted_host: Host) -> None:
    """Developer guide, serverless-endpoints-invoke: 4 MB; https://github.com/aws/sagemaker-python-sdk/issues/4271."""
    host = scripted_host
    name = host.endpoint(serverless(host, {"ANSWER": "*"}))
    limit = 4 * 1024 * 1024
    assert len(invoke(host, name, bytes(limit))) == limit
    error = refused_answer(host, name, Body=bytes(limit + 1))["Error"]
    assert error["Code"] == "ValidationError"
    assert error["Message"].endswith("has oversize body.")
    name = host.endpoint(serverless(host, {"ANSWER": "x" * 1000, "TIMES": "4195"}))
    assert refused_answer(host, name)["Error"]["Code"] == "ModelError"


def test_a_container_that_does_not_start_again_is_a_model_error(scripted_host: Host) -> None:
    host = scripted_host
    name = host.endpoint(serverless(host, {"STATUS": "0"}))
    error = refused_answer(host, name)
    assert (error["Error"]["Code"], error["OriginalStatusCode"]) == ("ModelError", 0)


def test_it_publishes_the_metrics_of_serverless_endpoints_and_no_others(scripted_host: Host) -> None:
    """Developer guide, serverless-endpoints-monitoring: "Any metric not listed below is not published for serverless
    endpoints"."""
    host = scripted_host
    name = host.endpoint(serverless(host, {"STATUSES": "200,500,400", "ANSWER": "no"}))
    invoke(host, name)
    for _ in range(2):
        refused_answer(host, name)
    published = metrics(host, name)
    assert set(published) == {
        "Invocations",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "ModelLatency",
        "ModelSetupTime",
        "OverheadLatency",
        "ServerlessConcurrentExecutionsUtilization",
    }
    assert published["Invocations"] == [3.0]
    assert (published["Invocation4XXErrors"], published["Invocation5XXErrors"]) == ([1.0], [1.0])
    assert published["ServerlessConcurrentExecutionsUtilization"] == [1.5]  # half of it, three times
    assert published["OverheadLatency"][0] > published["ModelSetupTime"][0] > 0
    assert set(metrics(host, name, "/aws/sagemaker/Endpoints")) == {"MemoryUtilization"}
