"""InvokeEndpoint, and endpoints that a real Triton serves."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from infra.triton.server import unavailable
from tests.sandbox.conftest import ACCOUNT, PROJECT, AwsProcess, Host, archive, start_aws, unique

#: A model that answers what it was packed with, fails on a negative number, and starts or not.
MODEL = """
import numpy
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        {initialize}

    def execute(self, requests):
        answers = []
        for request in requests:
            number = pb.get_input_tensor_by_name(request, "number").as_numpy()
            if (number < 0).any():
                raise ValueError("the number must not be negative")
            output = pb.Tensor("answer", numpy.full(number.shape, {answer}, dtype=numpy.int32))
            answers.append(pb.InferenceResponse([output]))
        return answers
"""

CONFIG = """
name: "{name}"
backend: "python"
input [ {{ name: "number" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "answer" data_type: TYPE_INT32 dims: [ 1 ] }} ]
"""

QUIET = {"SAGEMAKER_TRITON_LOG_VERBOSE": "false"}


def answering(answer: int | str, initialize: str = "pass") -> bytes:
    """The artifact of a model that gives this answer, a number or a Python expression."""
    model = MODEL.format(answer=answer, initialize=initialize)
    return archive({"constant/config.pbtxt": CONFIG.format(name="constant"), "constant/1/model.py": model})


def config(host: Host, *artifacts: bytes, **changes: Any) -> str:
    """A configuration with one variant, `A`, `B`, …, for each artifact."""
    variants = [
        {"VariantName": name, "ModelName": host.model(artifact, QUIET), **changes}
        for name, artifact in zip("ABC", artifacts, strict=False)
    ]
    return host.config(*variants)


def question(number: int = 1) -> dict[str, Any]:
    body = {"inputs": [{"name": "number", "shape": [1], "datatype": "INT32", "data": [number]}]}
    return {"ContentType": "application/json", "Body": json.dumps(body)}


def ask(host: Host, endpoint: str, **options: Any) -> int:
    answer = host.runtime.invoke_endpoint(EndpointName=endpoint, **{**question(), **options})
    return int(json.load(answer["Body"])["outputs"][0]["data"][0])


def refusal(host: Host, endpoint: str, **options: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        host.runtime.invoke_endpoint(EndpointName=endpoint, **{**question(), **options})
    response: dict[str, Any] = refused.value.response
    return response


# ---- a real Triton


def test_triton_serves_the_example_model_and_logs_to_cloudwatch(triton_host: Host) -> None:
    host = triton_host
    files = (path for path in (PROJECT / "examples" / "models").rglob("*") if path.is_file())
    artifact = archive({str(path.relative_to(PROJECT / "examples" / "models")): path.read_bytes() for path in files})
    name = host.endpoint(config(host, artifact))
    flower = {"name": "measurements", "shape": [1, 4], "datatype": "FP32", "data": [6.3, 3.3, 6.0, 2.5]}
    answer = host.runtime.invoke_endpoint(
        EndpointName=name, ContentType="application/json", Body=json.dumps({"inputs": [flower]})
    )
    outputs = {output["name"]: output["data"] for output in json.load(answer["Body"])["outputs"]}
    assert outputs["species"] == ["virginica"]
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "A")
    group = f"/aws/sagemaker/Endpoints/{name}"
    [stream] = host.aws.client("logs").describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("A/i-")
    assert any("successfully loaded" in line and "::iris'" in line for line in host.log(name))


def test_the_old_fleet_answers_every_request_until_the_new_one_takes_over(triton_host: Host) -> None:
    host = triton_host
    name = host.endpoint(config(host, answering(7)))
    answers: list[int] = []
    failures: list[Exception] = []
    in_service = threading.Event()

    def keep_asking() -> None:
        while not in_service.is_set():
            try:
                answers.append(ask(host, name))
            except ClientError as error:
                failures.append(error)

    asking = threading.Thread(target=keep_asking)
    host.aws.impose(provisioningSeconds=3600)
    host.update(name, config(host, answering(8)), wait="Updating")
    asking.start()
    try:
        assert ask(host, name) == 7
        host.aws.impose(provisioningSeconds=0)
        host.wait(name, "InService")
        assert ask(host, name) == 8
    finally:
        in_service.set()
        asking.join()
    assert failures == []
    assert answers == sorted(answers) and set(answers) <= {7, 8}, "an old answer came after a new one"


def test_a_model_that_does_not_start_rolls_the_update_back(triton_host: Host) -> None:
    """https://github.com/aws/amazon-sagemaker-examples/issues/210"""
    host = triton_host
    old = config(host, answering(7))
    name = host.endpoint(old)
    host.update(name, config(host, answering(8, initialize="raise RuntimeError('no weights here')")))
    described = host.describe(name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", old)
    assert described["FailureReason"] == (
        "The primary container for production variant A did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    assert ask(host, name) == 7
    assert any("no weights here" in line for line in host.log(name))


@pytest.mark.parametrize(
    ("artifact", "reason", "line"),
    [
        (
            archive({"config.pbtxt": CONFIG.format(name="constant"), "1/model.py": "x"}),
            "The primary container for production variant A did not pass the ping health check.",
            "ERROR: Incorrect directory structure.",
        ),
        (b"no archive", 'Failed to extract model data archive for container "container_1" from URL: "s3://', None),
    ],
    ids=["configuration at the root", "no archive"],
)
def test_an_artifact_that_cannot_be_served_fails_the_endpoint(
    triton_host: Host, artifact: bytes, reason: str, line: str | None
) -> None:
    name = triton_host.endpoint(config(triton_host, artifact), wait="Failed")
    assert triton_host.describe(name)["FailureReason"].startswith(reason)
    if line is not None:
        assert line in triton_host.log(name)


def test_each_variant_answers_for_itself_and_its_share(triton_host: Host) -> None:
    host = triton_host
    name = host.endpoint(config(host, answering(1), answering(2)))
    assert [ask(host, name, TargetVariant=variant) for variant in "AB"] == [1, 2]
    weights = [{"VariantName": "A", "DesiredWeight": 0.0}, {"VariantName": "B", "DesiredWeight": 1.0}]
    host.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=weights)
    host.wait(name, "InService")
    assert Counter(ask(host, name) for _ in range(20)) == {2: 20}
    assert ask(host, name, TargetVariant="A") == 1
    error = refusal(host, name, TargetVariant="C")["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationError", "Variant C not found for Request")


def test_an_error_of_the_container_is_a_model_error(triton_host: Host) -> None:
    host = triton_host
    name = host.endpoint(config(host, answering(7)))
    bad_header = "application/vnd.sagemaker-triton.binary+json;json-header-size=99999"
    for options, status, said in (
        ({"ContentType": bad_header}, 400, "inference header size should be in range"),
        (question(-1), 500, "the number must not be negative"),
    ):
        response = refusal(host, name, **options)
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (response["Error"]["Code"], response["OriginalStatusCode"]) == ("ModelError", status)
        assert said in response["OriginalMessage"]
        side = "client" if status < 500 else "server"
        assert response["Error"]["Message"].startswith(f'Received {side} error ({status}) from primary with message "')
        arn = f"arn:aws:logs:ap-northeast-1:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/{name}:log-stream:A/i-"
        assert response["LogStreamArn"].startswith(arn)
    assert ask(host, name) == 7


def test_a_canary_that_fails_in_triton_sets_off_its_alarm_and_goes_back(triton_host: Host) -> None:
    """Developer guide, deployment-guardrails-configuration: EndpointConfigName tells the new fleet's metrics."""
    host = triton_host
    old = config(host, answering(7), InitialInstanceCount=2)
    new = config(host, answering("undefined"), InitialInstanceCount=2)
    name = host.endpoint(old)
    alarm = unique("errors")
    dimensions = {"EndpointName": name, "VariantName": "A", "EndpointConfigName": new}
    host.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SageMaker",
        MetricName="InvocationModelErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.1,
        ComparisonOperator="GreaterThanThreshold",
    )
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": 3600, "CanarySize": size}
    policy = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }
    host.aws.impose(timeFactor=60)
    host.update(name, new, wait="Updating", DeploymentConfig=policy)
    codes: Counter[str] = Counter()
    while host.describe(name)["EndpointStatus"] != "InService":
        try:
            codes[str(ask(host, name))] += 1
        except ClientError as error:
            codes[error.response["Error"]["Code"]] += 1
    described = host.describe(name)
    assert described["EndpointConfigName"] == old
    assert described["FailureReason"] == f"One or more configured alarms went into ALARM state: [{alarm}]."
    assert set(codes) == {"7", "ModelError"}
    assert ask(host, name) == 7


def test_bodies_are_bytes(triton_host: Host) -> None:
    """moto answers 500 to a body that is not UTF-8."""
    host = triton_host
    name = host.endpoint(config(host, answering(255)))
    size = {"parameters": {"binary_data_size": 4}}
    header = json.dumps(
        {
            "inputs": [{"name": "number", "shape": [1], "datatype": "INT32", **size}],
            "outputs": [{"name": "answer", "parameters": {"binary_data": True}}],
        }
    ).encode()
    kind = "application/vnd.sagemaker-triton.binary+json;json-header-size="
    answer = host.runtime.invoke_endpoint(
        EndpointName=name, ContentType=f"{kind}{len(header)}", Body=header + b"\xff\xfe\x00\x00"
    )
    assert answer["ContentType"].startswith(kind)
    assert answer["Body"].read().endswith(b"\xff\x00\x00\x00")


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[AwsProcess]:
    """An AWS for one test, which looks at its processes and files."""
    if reason := unavailable():
        pytest.skip(reason)
    running = start_aws(tmp_path)
    yield running
    running.process.kill()
    running.process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_tritons_end_with_their_aws(own_aws: AwsProcess, number: int) -> None:
    host = Host(own_aws)
    host.endpoint(config(host, answering(7)))
    tritons = psutil.Process(own_aws.process.pid).children(recursive=True)
    assert any("tritonserver" in triton.name() for triton in tritons)
    own_aws.process.send_signal(number)
    own_aws.process.wait(60)
    _, alive = psutil.wait_procs(tritons, timeout=60)
    assert alive == []


def test_neither_an_update_nor_a_deletion_leaves_a_triton_or_files_behind(own_aws: AwsProcess) -> None:
    host = Host(own_aws)

    def processes() -> list[psutil.Process]:
        return psutil.Process(own_aws.process.pid).children(recursive=True)

    name = host.endpoint(config(host, answering(7)))
    old = processes()
    host.update(name, config(host, answering(8)))
    _, alive = psutil.wait_procs(old, timeout=60)
    assert alive == []
    new = processes()
    assert len(new) == len(old)
    host.sagemaker.delete_endpoint(EndpointName=name)
    host.wait_until_gone(name)
    _, alive = psutil.wait_procs(new, timeout=60)
    assert alive == []
    assert [path for path in (own_aws.home / "endpoints").rglob("*") if path.is_file()] == []
    assert own_aws.stop() == 0


# ---- refusals that need no Triton


def test_an_unknown_endpoint_is_not_found(host: Host) -> None:
    """https://github.com/aws/amazon-sagemaker-examples/issues/293"""
    error = refusal(host, "missing")["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationError", f"Endpoint missing of account {ACCOUNT} not found.")


def test_the_case_of_a_name_matters_to_invoke(host: Host) -> None:
    """CreateEndpointInput: "case-insensitive in CreateEndpoint, but the case … must be matched in InvokeEndpoint"."""
    name = host.endpoint()
    assert f"Endpoint {name.upper()} of account" in refusal(host, name.upper())["Error"]["Message"]


def test_an_endpoint_that_is_not_in_service_yet_is_not_found(host: Host) -> None:
    host.aws.impose(provisioningSeconds=3600)
    name = host.endpoint(wait="Creating")
    assert refusal(host, name)["Error"]["Message"] == f"Endpoint {name} of account {ACCOUNT} not found."
    host.aws.impose(provisioningSeconds=0)
    host.wait(name, "InService")


def test_a_body_over_the_limit_is_refused(host: Host) -> None:
    name = host.endpoint()
    error = refusal(host, name, Body=bytes(6_291_457))["Error"]
    assert (error["Code"], error["Message"]) == (
        "ValidationError",
        "1 validation error detected: Value at 'body' failed to satisfy constraint: "
        "Member must have length less than or equal to 6291456",
    )
    assert "No Triton runs here" in refusal(host, name, Body=bytes(6_291_456))["Error"]["Message"]


def test_without_triton_there_is_no_answer_but_the_reason(host: Host) -> None:
    response = refusal(host, host.endpoint())
    assert response["Error"]["Code"] == "InternalDependencyException"
    assert response["Error"]["Message"].startswith("No Triton runs here: ")
    assert response["Error"]["Message"].endswith("The sandbox has SageMaker's control plane only.")


@pytest.mark.parametrize("member", ["TargetModel", "InferenceComponentName", "TargetContainerHostname"])
def test_what_the_sandbox_cannot_invoke_is_refused(host: Host, member: str) -> None:
    message = refusal(host, "e", **{member: "x"})["Error"]["Message"]
    assert f"InvokeEndpoint with {member} is not in the sandbox" in message


def test_an_invocation_is_logged_without_its_body(host: Host) -> None:
    refusal(host, "missing", Body=b"secret question", CustomAttributes="trace=1")
    call = host.aws.calls()[-1]
    assert (call["service"], call["operation"], call["status"]) == ("sagemaker-runtime", "InvokeEndpoint", 400)
    assert call["params"] == {
        "EndpointName": "missing",
        "Body": "<15 bytes>",
        "ContentType": "application/json",
        "CustomAttributes": "trace=1",
    }
