"""Firehose as clients see it, and its delivery to an HTTP endpoint under faults."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.delivery import SECRET_SECONDS
from sandbox.aws.metrics import MetricKey
from sandbox.aws.otlp import Update, message
from sandbox.intake import Answer, acknowledgement
from tests.sandbox.conftest import ACCOUNT, REGION, Host, eventually, unique
from tests.sandbox.streams import (
    FIREHOSE,
    KEY,
    Delivered,
    allow,
    changed,
    create,
    delivering,
    destination,
    role,
    secret,
)

RECORD = message(
    [Update(MetricKey.of("AWS/SageMaker", "ModelLatency", {"EndpointName": "e"}), 0.0, 60.0, [10.0, 30.0], ["p50"])],
    "arn:aws:cloudwatch:ap-northeast-1:123456789012:metric-stream/s",
    ACCOUNT,
    REGION,
)
OTHER = {"requestId": "another", "timestamp": 1}


def refused(host: Host, configuration: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ClientError) as error:
        create(host, configuration, **more)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "code", "part"),
    [
        ("BufferingHints", {"SizeInMBs": 4}, "InvalidArgumentException", "together"),
        ("BufferingHints", {"IntervalInSeconds": 60}, "InvalidArgumentException", "together"),
        ("S3Configuration.BufferingHints", {"SizeInMBs": 4}, "InvalidArgumentException", "together"),
        ("EndpointConfiguration.Url", "http://intake.example.com/v1", "", "https://"),
        ("EndpointConfiguration.Url", "https://intake.example.com:8443/v1", "InvalidArgumentException", "port 443"),
        ("SecretsManagerConfiguration", {"Enabled": True}, "InvalidArgumentException", "SecretARN is required"),
        ("EndpointConfiguration.AccessKey", KEY, "NotInTheSandbox", "AccessKey"),
        ("RetryOptions.DurationInSeconds", 7201, "", "7200"),
        ("S3BackupMode", "AllData", "NotInTheSandbox", "AllData"),
    ],
)
def test_a_destination_that_firehose_refuses(host: Host, path: str, value: Any, code: str, part: str) -> None:
    answer = refused(host, changed(destination(host, secret(host)), path, value))
    assert code in answer
    assert part in answer


def test_a_secret_of_another_region_is_refused(host: Host) -> None:
    """Firehose API SecretsManagerConfiguration: "It must be in the same region as the Firehose stream"."""
    elsewhere = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:key-a1b2c3"
    assert "same region" in refused(host, destination(host, elsewhere))


@pytest.mark.parametrize(
    ("service", "condition"),
    [("sagemaker.amazonaws.com", {}), (FIREHOSE, {"StringEquals": {"sts:ExternalId": "210987654321"}})],
)
def test_a_role_that_firehose_cannot_assume_is_refused(host: Host, service: str, condition: Any) -> None:
    wrong = role(host, service, **condition)
    assert f"unable to assume role {wrong}" in refused(host, destination(host, secret(host), wrong))


def test_a_stream_is_described_updated_tagged_and_deleted(host: Host) -> None:
    firehose, configuration = host.aws.client("firehose"), destination(host, secret(host))
    name = unique("stream")
    arn = create(host, configuration, name, Tags=[{"Key": "team", "Value": "a"}])
    assert arn == f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{name}"
    assert "already exists" in refused(host, configuration, name=name)

    described = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    (found,) = described["Destinations"]
    endpoint = found["HttpEndpointDestinationDescription"]
    assert endpoint["EndpointConfiguration"] == configuration["EndpointConfiguration"]
    assert endpoint["S3DestinationDescription"]["ErrorOutputPrefix"] == "failed/"

    update = {
        "DeliveryStreamName": name,
        "DestinationId": found["DestinationId"],
        "HttpEndpointDestinationUpdate": {"RetryOptions": {"DurationInSeconds": 30}},
    }
    firehose.update_destination(CurrentDeliveryStreamVersionId="1", **update)
    with pytest.raises(firehose.exceptions.ConcurrentModificationException):
        firehose.update_destination(CurrentDeliveryStreamVersionId="1", **update)
    described = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    after = described["Destinations"][0]["HttpEndpointDestinationDescription"]
    assert described["VersionId"] == "2"
    assert after == endpoint | {"RetryOptions": {"DurationInSeconds": 30}}

    firehose.tag_delivery_stream(DeliveryStreamName=name, Tags=[{"Key": "cost", "Value": "b"}])
    firehose.untag_delivery_stream(DeliveryStreamName=name, TagKeys=["team"])
    tags = firehose.list_tags_for_delivery_stream(DeliveryStreamName=name)["Tags"]
    assert tags == [{"Key": "cost", "Value": "b"}]
    firehose.delete_delivery_stream(DeliveryStreamName=name)
    with pytest.raises(firehose.exceptions.ResourceNotFoundException):
        firehose.describe_delivery_stream(DeliveryStreamName=name)


def test_a_batch_is_one_request_of_the_protocol(host: Host) -> None:
    with delivering(host, destination(host, secret(host))) as delivered:
        delivered.put(RECORD, RECORD)
        (request,) = eventually(lambda: delivered.intake.requests)
    assert request.path == "/v1/input?protocol=firehose"
    body = json.loads(gzip.decompress(request.body))
    assert len(body["records"]) == 2
    assert request.headers["x-amz-firehose-request-id"] == body["requestId"]
    assert request.headers["x-amz-firehose-access-key"] == KEY
    assert request.headers["x-amz-firehose-source-arn"] == delivered.arn
    assert request.headers["host"] == "awsmetrics-intake.example.com"
    attributes = json.loads(request.headers["x-amz-firehose-common-attributes"])
    assert attributes == {"commonAttributes": {"team": "ranking"}}
    value = request.values[0]
    assert (value.metric, value.unit, value.count, value.sum) == (
        "amazonaws.com/AWS/SageMaker/ModelLatency",
        "us",
        2,
        40.0,
    )
    assert (value.dimensions, value.quantiles) == ({"EndpointName": "e"}, {0.0: 10.0, 0.5: 10.0, 1.0: 30.0})


FAULTS = {
    "throttled": Answer(429, b'{"error": "slow down"}'),
    "broken": Answer(500, b""),
    "not JSON": Answer(200, b"ok"),
    "another requestId": Answer(200, json.dumps(OTHER).encode()),
    "another type": Answer(200, None, {"Content-Type": "text/plain"}),
    "encoded": Answer(200, None, {"Content-Encoding": "identity"}),
    "redirected": Answer(302, None, {"Location": "https://elsewhere.example.com/"}),
    "created": Answer(201),
    "lost": Answer(lose=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_request_that_is_not_acknowledged_is_repeated_with_its_id(host: Host, fault: Answer) -> None:
    with delivering(host, destination(host, secret(host))) as delivered:
        delivered.intake.answer(fault, fault)
        delivered.put(RECORD)
        requests = eventually(lambda: delivered.intake.values and delivered.intake.requests)
        assert len(requests) == 3
        assert len({request.headers["x-amz-firehose-request-id"] for request in requests}) == 1
        assert delivered.failed() == []


def unaccepted(delivered: Delivered) -> dict[str, Any]:
    """The record that Firehose gave up and wrote to the bucket."""
    delivered.put(RECORD)
    (record,) = eventually(delivered.failed)
    return dict(record)


def test_after_the_retry_duration_the_records_are_in_the_bucket(host: Host) -> None:
    with delivering(host, destination(host, secret(host))) as delivered:
        delivered.intake.answer(*[Answer(500, None)] * 3, Answer(503, None))
        record = unaccepted(delivered)
        assert record["attemptsMade"] == 4, "after pauses of about 1, 2 and 4 seconds, 8 more are beyond 10"
        assert record["errorCode"] == "HttpEndpoint.DestinationException"
        assert "503" in record["errorMessage"]
        (key,) = [
            each["Key"]
            for each in host.aws.client("s3").list_objects_v2(Bucket=host.bucket, Prefix="failed/")["Contents"]
        ]
        assert key.startswith("failed/http-endpoint-failed/20")
        assert key.endswith(".gz")
        assert delivered.intake.values == []


def test_a_wrong_key_is_refused_until_the_secret_is_right_and_read_again(host: Host) -> None:
    """Developer Guide, secrets-manager-how: the cache is refreshed every 10 minutes."""
    arn = secret(host, {"api_key": "wrong"})
    with delivering(host, destination(host, arn)) as delivered:
        host.aws.impose(timeFactor=30.0)  # the second record comes within the 20 s that 10 minutes then are
        record = unaccepted(delivered)
        assert "403" in record["errorMessage"]
        assert "API key is not valid" in record["errorMessage"]
        host.aws.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps({"api_key": KEY}))
        delivered.put(RECORD)
        eventually(lambda: len(delivered.failed()) == 2)
        host.aws.impose(timeFactor=10_000.0)
        time.sleep(SECRET_SECONDS / 10_000)
        delivered.put(RECORD)
        eventually(lambda: delivered.intake.values)


@pytest.mark.parametrize(
    ("value", "part"),
    [({"apiKey": KEY}, "does not have the form"), ("plain", "does not have the form")],
)
def test_a_secret_of_another_form_delivers_nothing(host: Host, value: Any, part: str) -> None:
    """Developer Guide, secrets-manager-whats-secret."""
    with delivering(host, destination(host, secret(host, value))) as delivered:
        assert part in unaccepted(delivered)["errorMessage"]
        assert delivered.intake.requests == []


def test_a_role_that_may_not_read_the_secret_delivers_nothing(host: Host) -> None:
    write = allow("s3:PutObject", f"arn:aws:s3:::{host.bucket}/failed/*")
    with delivering(host, destination(host, secret(host), role(host, FIREHOSE, write))) as delivered:
        assert "may not read" in unaccepted(delivered)["errorMessage"]
        assert delivered.intake.requests == []


def test_too_large_is_permanent_and_leaves_no_copy(host: Host) -> None:
    with delivering(host, destination(host, secret(host))) as delivered:
        delivered.intake.answer(Answer(413, None))
        delivered.put(RECORD)
        eventually(lambda: delivered.intake.requests)
        delivered.put(RECORD)
        eventually(lambda: delivered.intake.values)
        refused, accepted = delivered.intake.requests
        assert refused.headers["x-amz-firehose-request-id"] != accepted.headers["x-amz-firehose-request-id"]
        assert delivered.failed() == []


def test_a_host_that_no_condition_names_cannot_be_reached(host: Host) -> None:
    with delivering(host, destination(host, secret(host))) as delivered:
        host.aws.impose(httpEndpoints={})
        assert unaccepted(delivered)["errorCode"] == "HttpEndpoint.ConnectionFailed"
        assert delivered.intake.requests == []


def test_a_large_batch_does_not_wait_for_the_interval(host: Host) -> None:
    configuration = destination(host, secret(host))
    configuration["BufferingHints"] = {"SizeInMBs": 1, "IntervalInSeconds": 900}
    configuration["RetryOptions"] = {"DurationInSeconds": 0}
    with delivering(host, configuration) as delivered:
        host.aws.impose(timeFactor=1.0)
        delivered.put(b"x" * 600_000)
        delivered.put(b"y" * 600_000)
        assert len(eventually(delivered.failed)) == 2, "the intake answers 400: these are no metrics"


@pytest.mark.parametrize("size", [1_024_001, 1_000_000])
def test_the_sizes_of_records_and_batches_are_limited(host: Host, size: int) -> None:
    """Firehose API Record (1,000 KiB) and PutRecordBatch (4 MiB)."""
    name = create(host, destination(host, secret(host))).rpartition("/")[2]
    records = [{"Data": b"x" * size}] * (1 if size > 1_024_000 else 5)
    with pytest.raises(ClientError):
        host.aws.client("firehose").put_record_batch(DeliveryStreamName=name, Records=records)


def test_the_acknowledgement_has_the_form_of_the_protocol() -> None:
    acknowledged = json.loads(acknowledgement({"x-amz-firehose-request-id": "r"}))
    assert acknowledged.keys() == {"requestId", "timestamp"}
    assert isinstance(acknowledged["timestamp"], int)
