"""CloudWatch's metric streams: the rules of PutMetricStream, and metrics of answers at a loopback intake."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from google.protobuf.message import DecodeError

from sandbox.aws.metric_streams import MetricStream
from sandbox.aws.metrics import MetricKey
from sandbox.aws.otlp import Update, message, unit_of
from sandbox.intake import Value, messages
from tests.sandbox.conftest import ACCOUNT, ALL_TIME, REGION, Host, eventually, unique
from tests.sandbox.streams import (
    Delivered,
    allow,
    create,
    delivering,
    destination,
    role,
    secret,
)
from tests.sandbox.test_runtime import answering, ask, config

STREAMS = "streams.metrics.cloudwatch.amazonaws.com"
PUT = ["firehose:PutRecord", "firehose:PutRecordBatch"]
LATENCY = {"Namespace": "AWS/SageMaker", "MetricName": "ModelLatency"}


def put(host: Host, firehose_arn: str, **changes: Any) -> str:
    """The name of a stream of the two namespaces of endpoints."""
    request = {
        "Name": unique("stream"),
        "FirehoseArn": firehose_arn,
        "OutputFormat": "opentelemetry1.0",
        "IncludeFilters": [{"Namespace": "AWS/SageMaker"}, {"Namespace": "/aws/sagemaker/Endpoints"}],
        "StatisticsConfigurations": [{"IncludeMetrics": [LATENCY], "AdditionalStatistics": ["p50", "p99.9"]}],
        **changes,
    }
    request.setdefault("RoleArn", role(host, STREAMS, allow(PUT, firehose_arn)))
    host.aws.client("cloudwatch").put_metric_stream(**{k: v for k, v in request.items() if v is not None})
    return str(request["Name"])


@pytest.fixture
def firehose_arn(host: Host) -> str:
    return create(host, destination(host, secret(host)))


STATISTIC = {"IncludeMetrics": [LATENCY], "AdditionalStatistics": ["p99"]}


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({"Name": "a stream"}, "InvalidParameterValue", "valid characters"),
        ({"ExcludeFilters": [{"Namespace": "AWS/EC2"}]}, "InvalidParameterCombination", "ExcludeFilters"),
        (
            {"IncludeFilters": [{"Namespace": "N", "MetricNames": [f"m{n}" for n in range(1000)]}]},
            "InvalidParameterValue",
            "up to 1000",
        ),
        ({"StatisticsConfigurations": [STATISTIC] * 101}, "InvalidParameterValue", "up to 100 members"),
        (
            {"StatisticsConfigurations": [STATISTIC | {"IncludeMetrics": [LATENCY] * 101}]},
            "InvalidParameterValue",
            "up to 100 pairs",
        ),
        (
            {"StatisticsConfigurations": [STATISTIC | {"AdditionalStatistics": [f"p{n}" for n in range(21)]}]},
            "InvalidParameterValue",
            "up to 20",
        ),
        (
            {"StatisticsConfigurations": [STATISTIC | {"AdditionalStatistics": ["tm99"]}]},
            "InvalidParameterValue",
            "percentiles",
        ),
        ({"OutputFormat": "xml"}, "InvalidParameterValue", "enum value set"),
        ({"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]}, "InvalidParameterValue", "up to 50 tags"),
        (
            {"FirehoseArn": f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/nothing"},
            "InvalidParameterValue",
            "does not exist",
        ),
    ],
)
def test_a_stream_that_cloudwatch_refuses(
    host: Host, firehose_arn: str, changes: dict[str, Any], code: str, part: str
) -> None:
    with pytest.raises(ClientError) as error:
        put(host, firehose_arn, **{"RoleArn": role(host, STREAMS, allow(PUT, firehose_arn)), **changes})
    assert error.value.response["Error"]["Code"].startswith(code)
    assert part in error.value.response["Error"]["Message"]


def test_a_thousand_names_are_accepted(host: Host, firehose_arn: str) -> None:
    put(host, firehose_arn, IncludeFilters=[{"Namespace": "N", "MetricNames": [f"m{n}" for n in range(999)]}])


def test_the_role_must_exist_trust_cloudwatch_and_allow_both_operations(host: Host, firehose_arn: str) -> None:
    for wrong, part in [
        (f"arn:aws:iam::{ACCOUNT}:role/nobody", "does not exist"),
        (role(host, "firehose.amazonaws.com", allow(PUT, firehose_arn)), "does not trust"),
        (
            role(host, STREAMS, allow(PUT, firehose_arn), StringEquals={"aws:SourceAccount": "210987654321"}),
            "does not trust",
        ),
        (role(host, STREAMS, allow(PUT[0], firehose_arn)), "not allowed to perform firehose:PutRecordBatch"),
        (role(host, STREAMS, allow(PUT, f"{firehose_arn}-other")), "not allowed to perform firehose:PutRecord "),
    ]:
        with pytest.raises(ClientError) as error:
            put(host, firehose_arn, RoleArn=wrong)
        assert part in str(error.value)


def test_a_stream_is_described_changed_stopped_tagged_and_deleted(host: Host, firehose_arn: str) -> None:
    cloudwatch = host.aws.client("cloudwatch")
    name = put(host, firehose_arn, Tags=[{"Key": "team", "Value": "a"}])
    described = cloudwatch.get_metric_stream(Name=name)
    assert described["Arn"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:metric-stream/{name}"
    assert (described["State"], described["OutputFormat"]) == ("running", "opentelemetry1.0")
    cloudwatch.stop_metric_streams(Names=[name])
    put(host, firehose_arn, Name=name, StatisticsConfigurations=None, Tags=[{"Key": "ignored", "Value": "b"}])
    after = cloudwatch.get_metric_stream(Name=name)
    assert after["State"] == "stopped", "an update does not change the state"
    assert "StatisticsConfigurations" not in after
    cloudwatch.tag_resource(ResourceARN=after["Arn"], Tags=[{"Key": "cost", "Value": "c"}])
    cloudwatch.untag_resource(ResourceARN=after["Arn"], TagKeys=["team"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=after["Arn"])["Tags"] == [{"Key": "cost", "Value": "c"}]
    assert name in [entry["Name"] for entry in cloudwatch.list_metric_streams()["Entries"]]
    cloudwatch.delete_metric_stream(Name=name)
    cloudwatch.delete_metric_stream(Name=name)
    with pytest.raises(cloudwatch.exceptions.ResourceNotFoundException):
        cloudwatch.get_metric_stream(Name=name)


def arrived(delivered: Delivered, endpoint: str, name: str, **dimensions: str) -> list[Value]:
    """The values of one metric of an endpoint."""
    wanted = {"EndpointName": endpoint, **dimensions}
    return [each for each in delivered.intake.values if each.name == name and each.dimensions == wanted]


def test_a_metric_of_a_real_answer_arrives_with_value_unit_dimensions_and_percentiles(triton_host: Host) -> None:
    host = triton_host
    endpoint = host.endpoint(config(host, answering(7)))
    with delivering(host, destination(host, secret(host))) as delivered:
        host.aws.impose(timeFactor=60.0)  # a minute of metrics in a second
        name = put(host, delivered.arn)
        began = time.time()
        assert [ask(host, endpoint) for _ in range(3)] == [7, 7, 7]
        in_cloudwatch = host.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="ModelLatency",
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "A"}],
            StartTime=began - 3600,
            EndTime=began + 3600,
            Period=ALL_TIME,
            Statistics=["Sum", "SampleCount", "Minimum", "Maximum"],
        )["Datapoints"][0]

        def all_latencies() -> list[Value]:
            found = arrived(delivered, endpoint, "ModelLatency", VariantName="A")
            return found if sum(each.count for each in found) == 3 else []

        latencies = eventually(all_latencies)
        requests = arrived(delivered, endpoint, "Invocations", VariantName="A")
        dimensions = [{"Name": "EndpointName", "Value": endpoint}]  # as an instance publishes it
        used = {"MetricName": "CPUUtilization", "Value": 250.0, "Unit": "Percent", "Dimensions": dimensions}
        host.aws.client("cloudwatch").put_metric_data(Namespace="/aws/sagemaker/Endpoints", MetricData=[used])
        (busy,) = eventually(lambda: arrived(delivered, endpoint, "CPUUtilization"))
        host.aws.client("cloudwatch").delete_metric_stream(Name=name)

    assert {(each.metric, each.unit) for each in latencies} == {("amazonaws.com/AWS/SageMaker/ModelLatency", "us")}
    assert sum(each.sum for each in latencies) == pytest.approx(in_cloudwatch["Sum"])
    assert min(each.quantiles[0.0] for each in latencies) == in_cloudwatch["Minimum"]
    assert max(each.quantiles[1.0] for each in latencies) == in_cloudwatch["Maximum"]
    for each in latencies:
        assert each.quantiles.keys() == {0.0, 0.5, 0.999, 1.0}
        assert each.quantiles[0.0] <= each.quantiles[0.5] <= each.quantiles[0.999] <= each.quantiles[1.0]
        assert began - 60 <= each.start / 1e9 < each.end / 1e9 <= time.time()
    assert sum(each.sum for each in requests) == 3
    assert {(each.unit, *each.quantiles) for each in requests} == {("1", 0.0, 1.0)}
    assert (busy.metric, busy.unit) == ("amazonaws.com//aws/sagemaker/Endpoints/CPUUtilization", "%")
    assert (busy.count, busy.sum) == (1, 250.0)
    assert latencies[0].resource == {
        "cloud.provider": "aws",
        "cloud.account.id": ACCOUNT,
        "cloud.region": REGION,
        "aws.exporter.arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:metric-stream/{name}",
    }


def test_a_stopped_stream_sends_nothing_and_does_not_catch_up(host: Host) -> None:
    cloudwatch = host.aws.client("cloudwatch")
    namespace = unique("Namespace")

    def publish(name: str) -> None:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": name, "Value": 1.0}])

    with delivering(host, destination(host, secret(host))) as delivered:
        host.aws.impose(timeFactor=120.0)
        name, running = (put(host, delivered.arn, IncludeFilters=[{"Namespace": namespace}]) for _ in range(2))

        def sent(stream: str) -> set[str]:
            values = delivered.intake.values
            return {each.name for each in values if each.resource["aws.exporter.arn"].endswith(f"/{stream}")}

        cloudwatch.stop_metric_streams(Names=[name])
        publish("missed")
        eventually(lambda: sent(running))
        cloudwatch.start_metric_streams(Names=[name])
        publish("sent")
        eventually(lambda: sent(name) and sent(running) == {"missed", "sent"})
        assert sent(name) == {"sent"}
        cloudwatch.delete_metric_stream(Name=name)
        cloudwatch.delete_metric_stream(Name=running)


def test_a_stream_counts_what_it_sends_and_what_its_role_may_not_send(host: Host) -> None:
    cloudwatch, namespace = host.aws.client("cloudwatch"), unique("Namespace")

    def publish() -> None:
        data = [{"MetricName": name, "Value": 1.0} for name in ("plain", "latency")]
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)

    def total(metric: str) -> float:
        now = time.time()
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/CloudWatch/MetricStreams",
            MetricName=metric,
            Dimensions=[{"Name": "MetricStreamName", "Value": name}],
            StartTime=now - 3600,
            EndTime=now + 3600,
            Period=ALL_TIME,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(found[0]["Sum"]) if found else 0.0

    with delivering(host, destination(host, secret(host))) as delivered:
        host.aws.impose(timeFactor=120.0)
        sending = role(host, STREAMS, allow(PUT, delivered.arn))
        six = {
            "IncludeMetrics": [{"Namespace": namespace, "MetricName": "latency"}],
            "AdditionalStatistics": ["p50", "p90", "p95", "p99", "p99.9", "p10"],
        }
        filters = [{"Namespace": namespace}]
        name = put(host, delivered.arn, RoleArn=sending, IncludeFilters=filters, StatisticsConfigurations=[six])
        publish()
        eventually(lambda: total("TotalMetricUpdate") == 4)  # six percentiles are two more
        assert (total("MetricUpdate"), total("PublishErrorRate")) == (2, 0)
        host.aws.client("iam").delete_role_policy(RoleName=sending.rpartition("/")[2], PolicyName="it")
        publish()
        eventually(lambda: total("PublishErrorRate") > 0)
        assert len(delivered.intake.values) <= 2
        cloudwatch.delete_metric_stream(Name=name)


def stream(**params: Any) -> MetricStream:
    return MetricStream("arn", {"Name": "s", **params})


@pytest.mark.parametrize(
    ("params", "included"),
    [
        ({}, True),
        ({"IncludeFilters": [{"Namespace": "AWS/SageMaker"}]}, True),
        ({"IncludeFilters": [{"Namespace": "AWS/SageMaker", "MetricNames": ["Invocations"]}]}, False),
        ({"IncludeFilters": [{"Namespace": "AWS/EC2"}]}, False),
        ({"ExcludeFilters": [{"Namespace": "AWS/SageMaker"}]}, False),
        ({"ExcludeFilters": [{"Namespace": "AWS/SageMaker", "MetricNames": ["Invocations"]}]}, True),
    ],
)
def test_filters_select_metrics(params: dict[str, Any], included: bool) -> None:
    assert stream(**params).includes("AWS/SageMaker", "ModelLatency") == included


def test_a_record_may_have_several_messages() -> None:
    update = Update(MetricKey.of("N", "m", {}), 0.0, 60.0, [1.0])
    record = message([update], "arn", ACCOUNT, REGION)
    assert len(list(messages(record * 2))) == 2
    with pytest.raises(DecodeError):
        list(messages(record[:-1]))


@pytest.mark.parametrize(
    ("metric", "unit"),
    [("ModelLatency", "us"), ("Invocations", "1"), ("CPUUtilization", "%"), ("ApproximateBacklogSize", "{Count}")],
)
def test_units_are_those_of_sagemakers_guide_in_ucum(metric: str, unit: str) -> None:
    assert unit_of(metric) == unit
