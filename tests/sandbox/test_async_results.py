"""Results of asynchronous requests: SNS messages, encryption, and failures for lack of a permission."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.sandbox.conftest import ACCOUNT, REGION, Host, policy_document, unique
from tests.sandbox.test_async_queue import wait_for_metric
from tests.sandbox.test_asynchronous import ROLE, async_config, config, endpoint, exists, invoke, read

VARIANT = {"VariantName": "AllTraffic"}


def topic(host: Host) -> tuple[str, str]:
    """A topic, and the URL of a queue that gets its messages."""
    name = unique("results")
    sns, sqs = host.aws.client("sns"), host.aws.client("sqs")
    arn, url = sns.create_topic(Name=name)["TopicArn"], sqs.create_queue(QueueName=name)["QueueUrl"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
    return str(arn), str(url)


def message(host: Host, url: str, seconds: float = 60) -> dict[str, Any]:
    """The next message of a topic."""
    deadline = time.monotonic() + seconds
    while True:
        for received in host.aws.client("sqs").receive_message(QueueUrl=url).get("Messages", []):
            host.aws.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
            body: dict[str, Any] = json.loads(json.loads(received["Body"])["Message"])
            return body
        assert time.monotonic() < deadline, "no message"
        time.sleep(0.05)


def notifying(success: str | None = None, error: str | None = None, *included: str) -> dict[str, Any]:
    topics = {name: arn for name, arn in (("SuccessTopic", success), ("ErrorTopic", error)) if arn}
    return {"NotificationConfig": {**topics, **({"IncludeInferenceResponseIn": list(included)} if included else {})}}


# ---- notifications


def test_a_success_is_published_in_the_form_of_the_developer_guide(scripted_host: Host) -> None:
    """Developer guide, async-inference-check-predictions."""
    arn, url = topic(scripted_host)
    other, silent = topic(scripted_host)
    name = endpoint(scripted_host, {"ANSWER": "done"}, **notifying(arn, other))
    scripted_host.aws.client("s3").put_object(Bucket=scripted_host.bucket, Key="in", Body=b"{}")
    location = f"s3://{scripted_host.bucket}/in"
    accepted = invoke(scripted_host, name, InputLocation=location, ContentType="text/csv")
    received = message(scripted_host, url)
    assert received.pop("eventTime") >= received.pop("receivedTime")
    assert received == {
        "awsRegion": REGION,
        "invocationStatus": "Completed",
        "requestParameters": {"contentType": "text/csv", "endpointName": name, "inputLocation": location},
        "responseParameters": {"contentType": "text/plain", "outputLocation": accepted["OutputLocation"]},
        "inferenceId": accepted["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert scripted_host.aws.client("sqs").receive_message(QueueUrl=silent).get("Messages", []) == []


def test_a_failure_is_published_with_its_reason(scripted_host: Host) -> None:
    """The members: aws-solutions-library-samples/osml-model-runner, which reads these messages."""
    arn, url = topic(scripted_host)
    name = endpoint(scripted_host, {"ANSWER": "broken", "STATUS": "500"}, **notifying(None, arn))
    accepted = invoke(scripted_host, name)
    received = message(scripted_host, url)
    assert (received["invocationStatus"], received["inferenceId"]) == ("Failed", accepted["InferenceId"])
    assert received["failureReason"].startswith("ClientError: Received server error (500) from model.")
    assert "responseParameters" not in received and "responseBody" not in received


@pytest.mark.parametrize(("size", "included"), [(131_072, True), (131_073, False)])
def test_a_response_of_up_to_128_kb_is_included(scripted_host: Host, size: int, included: bool) -> None:
    """API_AsyncInferenceNotificationConfig, IncludeInferenceResponseIn."""
    arn, url = topic(scripted_host)
    body = "x" * size
    kinds = ("SUCCESS_NOTIFICATION_TOPIC",)
    name = endpoint(scripted_host, {"ANSWER": "x", "TIMES": str(size)}, **notifying(arn, None, *kinds))
    invoke(scripted_host, name)
    received = message(scripted_host, url)
    assert ("responseBody" in received) == included
    if included:
        assert base64.b64decode(received["responseBody"]["content"]).decode() == body


def test_the_response_of_a_failure_is_included_where_asked_for(scripted_host: Host) -> None:
    arn, url = topic(scripted_host)
    environment = {"ANSWER": "broken", "STATUS": "400"}
    name = endpoint(scripted_host, environment, **notifying(None, arn, "ERROR_NOTIFICATION_TOPIC"))
    invoke(scripted_host, name)
    assert base64.b64decode(message(scripted_host, url)["responseBody"]["content"]) == b"broken"


@pytest.mark.parametrize("missing", ["permission", "topic"])
def test_a_message_that_cannot_be_published_is_counted(scripted_host: Host, missing: str) -> None:
    """Developer guide, async-inference-monitor, NotificationFailures; async-inference-create-endpoint-prerequisites:
    the role needs sns:Publish."""
    arn, url = topic(scripted_host)
    actions = tuple(action for action in ROLE if missing != "permission" or action != "sns:Publish")
    if missing == "topic":
        scripted_host.aws.client("sns").delete_topic(TopicArn=arn)
    name = endpoint(scripted_host, {"ANSWER": "done"}, actions=actions, **notifying(arn))
    assert read(scripted_host, invoke(scripted_host, name)["OutputLocation"]) == b"done"
    wait_for_metric(scripted_host, "NotificationFailures", name, 1.0, **VARIANT)
    assert scripted_host.aws.client("sqs").receive_message(QueueUrl=url).get("Messages", []) == []


# ---- permissions of the execution role (async-inference-create-endpoint-prerequisites)


def limited(host: Host, environment: Mapping[str, str], *statements: tuple[str, str]) -> str:
    """An endpoint whose role has these permissions on objects of the bucket, and those that start a container."""
    role = host.make_role(actions=("ecr:*", "logs:*"))
    document = policy_document(
        *(
            {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:s3:::{host.bucket}/{key}"}
            for action, key in [("s3:GetObject", "artifact*"), *statements]
        )
    )
    host.aws.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="objects", PolicyDocument=document
    )
    model = host.model(b"", environment, ExecutionRoleArn=role)
    return host.endpoint(host.config({"ModelName": model}, AsyncInferenceConfig=async_config(host)))


def test_the_role_must_read_the_input(scripted_host: Host) -> None:
    name = limited(scripted_host, {"ANSWER": "done"}, ("s3:PutObject", "*"))
    scripted_host.aws.client("s3").put_object(Bucket=scripted_host.bucket, Key="in", Body=b"{}")
    accepted = invoke(scripted_host, name, InputLocation=f"s3://{scripted_host.bucket}/in")
    assert b"not authorized to perform s3:GetObject" in read(scripted_host, accepted["FailureLocation"])
    for metric in ("RequestDownloadFailures", "InvocationFailures"):
        wait_for_metric(scripted_host, metric, name, 1.0, **VARIANT)
    assert not exists(scripted_host, accepted["OutputLocation"])


def test_an_input_that_does_not_exist_fails_the_request(scripted_host: Host) -> None:
    name = endpoint(scripted_host, {"ANSWER": "done"})
    accepted = invoke(scripted_host, name, InputLocation=f"s3://{scripted_host.bucket}/missing")
    assert b"does not exist" in read(scripted_host, accepted["FailureLocation"])
    wait_for_metric(scripted_host, "RequestDownloadFailures", name, 1.0, **VARIANT)


def test_the_role_must_write_the_output(scripted_host: Host) -> None:
    name = limited(scripted_host, {"ANSWER": "done"}, ("s3:PutObject", "failed/*"))
    accepted = invoke(scripted_host, name)
    assert read(scripted_host, accepted["FailureLocation"]) == b"done"
    for metric in ("ResponseUploadFailures", "InvocationFailures"):
        wait_for_metric(scripted_host, metric, name, 1.0, **VARIANT)
    assert not exists(scripted_host, accepted["OutputLocation"])


def test_the_role_must_write_the_failure(scripted_host: Host) -> None:
    name = limited(scripted_host, {"ANSWER": "broken", "STATUS": "500"}, ("s3:PutObject", "out/*"))
    accepted = invoke(scripted_host, name)
    wait_for_metric(scripted_host, "ResponseUploadFailures", name, 1.0, **VARIANT)
    assert not exists(scripted_host, accepted["FailureLocation"])
    [line] = [line for line in scripted_host.log(name) if "Unable to upload" in line]
    assert line.startswith(f"[{accepted['InferenceId']}]")


@pytest.mark.parametrize("allowed", [True, False])
def test_answers_are_encrypted_with_the_key_of_the_configuration(scripted_host: Host, allowed: bool) -> None:
    """API_AsyncInferenceOutputConfig, KmsKeyId; S3 User Guide: PutObject with it requires kms:GenerateDataKey."""
    key = scripted_host.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    actions = (*ROLE, "kms:GenerateDataKey") if allowed else ROLE
    name = endpoint(scripted_host, {"ANSWER": "done"}, actions=actions, KmsKeyId=key)
    accepted = invoke(scripted_host, name)
    if not allowed:
        wait_for_metric(scripted_host, "InvocationFailures", name, 1.0, **VARIANT)
        assert not exists(scripted_host, accepted["OutputLocation"])
        return
    read(scripted_host, accepted["OutputLocation"])
    head = scripted_host.aws.client("s3").head_object(
        Bucket=scripted_host.bucket, Key=accepted["OutputLocation"].removeprefix(f"s3://{scripted_host.bucket}/")
    )
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_each_request_has_a_line_in_the_platform_log(scripted_host: Host) -> None:
    """Developer guide, async-inference-monitor, "Logs": `<variant>/<instance>/data-log`, with the inference ID."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    accepted = invoke(scripted_host, name, InferenceId="mine")
    read(scripted_host, accepted["OutputLocation"])
    wait_for_metric(scripted_host, "InvocationsProcessed", name, 1.0, **VARIANT)
    streams = scripted_host.aws.client("logs").describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    names = [stream["logStreamName"] for stream in streams["logStreams"]]
    [container] = [name for name in names if not name.endswith("/data-log")]
    assert f"{container}/data-log" in names
    assert f"[mine] Inference succeeded: {accepted['OutputLocation']}" in scripted_host.log(name)


def test_the_new_role_processes_after_a_release(scripted_host: Host) -> None:
    name = endpoint(scripted_host, {"ANSWER": "old"})
    unable = config(scripted_host, {"ANSWER": "new"}, actions=("s3:GetObject", "ecr:*"))
    scripted_host.update(name, unable)
    accepted = invoke(scripted_host, name)
    wait_for_metric(scripted_host, "ResponseUploadFailures", name, 1.0, **VARIANT)
    assert not exists(scripted_host, accepted["OutputLocation"])
