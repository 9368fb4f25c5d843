"""The queue of an asynchronous endpoint: its limits, its metrics, and updates of the endpoint under a backlog."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import ALL_TIME, Host, eventually
from tests.sandbox.scripted_server import Gate
from tests.sandbox.test_asynchronous import async_config, config, endpoint, exists, invoke, read
from tests.sandbox.test_deployment import ALL_AT_ONCE, CANARY, ROLLING, alarm, fire, wait_for, watched_by
from tests.sandbox.test_runtime import QUIET, answering, question
from tests.sandbox.test_scaling import wait_for_count

#: How much faster AWS's time runs where the waits of a deployment have to pass.
FAST = 3600


def scale(host: Host, name: str, count: int) -> None:
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
    host.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[change])
    wait_for_count(host, name, count)


def outputs(host: Host, name: str, number: int) -> list[str]:
    return [str(invoke(host, name)["OutputLocation"]) for _ in range(number)]


def keep_versions(host: Host) -> None:
    """So that an object that was written twice shows."""
    versioning = {"Status": "Enabled"}
    host.aws.client("s3").put_bucket_versioning(Bucket=host.bucket, VersioningConfiguration=versioning)


def answered(host: Host, locations: list[str]) -> list[str]:
    """The answers, once all are written, each of them once."""
    answers = [read(host, location, seconds=60).decode() for location in locations]
    pages = host.aws.client("s3").get_paginator("list_object_versions").paginate(Bucket=host.bucket, Prefix="out/")
    written = [version["Key"] for page in pages for version in page.get("Versions", [])]
    assert sorted(written) == sorted(location.removeprefix(f"s3://{host.bucket}/") for location in locations)
    return answers


def total(host: Host, metric: str, name: str, statistic: str = "Sum", **dimensions: str) -> float | None:
    """A statistic of a metric of the last hour; None without data."""
    wanted = {"EndpointName": name, **dimensions}
    points = host.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in wanted.items()],
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EndTime=datetime.now(UTC) + timedelta(hours=1),
        Period=ALL_TIME,
        Statistics=[statistic],
    )["Datapoints"]
    return float(points[0][statistic]) if points else None


def wait_for_metric(
    host: Host, metric: str, name: str, wanted: float, statistic: str = "Sum", **dimensions: str
) -> None:
    deadline = time.monotonic() + 60
    while (found := total(host, metric, name, statistic, **dimensions)) != wanted:
        assert time.monotonic() < deadline, f"{metric} is {found}"
        time.sleep(0.05)


# ---- limits


def test_an_instance_processes_as_many_requests_at_a_time_as_configured(scripted_host: Host) -> None:
    """API_AsyncInferenceClientConfig, MaxConcurrentInvocationsPerInstance; async-inference-troubleshooting: "if this
    value is set as 1, then only 1 request is sent to the container at a time"."""
    gate = Gate.of("concurrency")
    name = endpoint(scripted_host, {"ANSWER": "#", "GATE": "concurrency"}, concurrency=2, count=2)
    locations = outputs(scripted_host, name, 8)
    eventually(lambda: gate.waiting == 4)  # two each of two instances; one Triton serves both
    time.sleep(0.3)
    gate.open()
    assert max(int(read(scripted_host, location)) for location in locations) == 4


def test_a_request_expires_in_the_queue(scripted_host: Host) -> None:
    """API_runtime_InvokeEndpointAsync, RequestTTLSeconds: "Maximum age in seconds a request can be in the queue before
    it is marked as expired"."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    scale(scripted_host, name, 0)
    accepted = invoke(scripted_host, name, RequestTTLSeconds=60)
    lasting = invoke(scripted_host, name)
    scripted_host.aws.impose(timeFactor=600)
    assert b"expired after 60 seconds" in read(scripted_host, accepted["FailureLocation"])
    wait_for_metric(scripted_host, "ExpiredRequests", name, 1.0, VariantName="AllTraffic")
    scripted_host.aws.impose(timeFactor=1)
    scale(scripted_host, name, 1)
    assert read(scripted_host, lasting["OutputLocation"]) == b"done"
    assert not exists(scripted_host, accepted["OutputLocation"])


def test_a_model_that_takes_too_long_fails_the_request(scripted_host: Host) -> None:
    """API_runtime_InvokeEndpointAsync, InvocationTimeoutSeconds."""
    name = endpoint(scripted_host, {"ANSWER": "done", "SECONDS": "2"})
    accepted = invoke(scripted_host, name, InvocationTimeoutSeconds=1)
    assert b"within 1 seconds" in read(scripted_host, accepted["FailureLocation"])
    assert read(scripted_host, invoke(scripted_host, name)["OutputLocation"]) == b"done"


# ---- metrics (developer guide, async-inference-monitor)


def test_the_metrics_of_answered_requests(scripted_host: Host) -> None:
    """ "Any metric not listed below is not published … Invocations, InvocationsPerInstance, OverheadLatency"; the
    spelling InvocationsProcessed is recorded in cloud-custodian/cloud-custodian#11078."""
    gate = Gate.of("answered")
    name = endpoint(scripted_host, {"ANSWER": "done", "SECONDS": "0.2", "GATE": "answered"}, concurrency=1)
    locations = outputs(scripted_host, name, 3)
    time.sleep(0.2)  # which the last two wait, and longer
    gate.open()
    [read(scripted_host, location) for location in locations]
    variant = {"VariantName": "AllTraffic"}
    wait_for_metric(scripted_host, "InvocationsProcessed", name, 3.0, **variant)
    assert total(scripted_host, "InvocationFailures", name, **variant) is None
    assert total(scripted_host, "Invocation5XXErrors", name, **variant) == 0.0
    assert 200_000 < (total(scripted_host, "ModelLatency", name, "Average", **variant) or 0) < 20_000_000  # µs
    waited = total(scripted_host, "TimeInBacklog", name, "Maximum", **variant) or 0.0
    processing = total(scripted_host, "TotalProcessingTime", name, "Maximum", **variant) or 0.0
    assert 200 < waited < processing < 20_000  # ms
    listed = scripted_host.aws.client("cloudwatch").list_metrics(
        Namespace="AWS/SageMaker", Dimensions=[{"Name": "EndpointName", "Value": name}]
    )["Metrics"]
    absent = {"Invocations", "InvocationsPerInstance", "OverheadLatency", "InvocationModelErrors"}
    assert not absent & {metric["MetricName"] for metric in listed}
    [backlog] = [metric for metric in listed if metric["MetricName"] == "TimeInBacklog"]
    assert {dimension["Name"] for dimension in backlog["Dimensions"]} == {"EndpointName", "VariantName"}


def test_the_metrics_of_failed_requests(scripted_host: Host) -> None:
    name = endpoint(scripted_host, {"ANSWER": "broken", "STATUS": "503"})
    assert read(scripted_host, invoke(scripted_host, name)["FailureLocation"]) == b"broken"
    variant = {"VariantName": "AllTraffic"}
    for metric in ("InvocationFailures", "Invocation5XXErrors", "InvocationsProcessed"):
        wait_for_metric(scripted_host, metric, name, 1.0, **variant)


def test_the_metrics_of_the_backlog(scripted_host: Host) -> None:
    """ApproximateBacklogSize counts items "currently being processed or yet to be processed"."""
    gate = Gate.of("backlog")
    name = endpoint(scripted_host, {"ANSWER": "done", "GATE": "backlog"}, concurrency=1, count=2)
    outputs(scripted_host, name, 4)
    scripted_host.aws.impose(timeFactor=100)
    for metric, most in (("ApproximateBacklogSize", 4.0), ("ApproximateBacklogSizePerInstance", 2.0)):
        wait_for_metric(scripted_host, metric, name, most, "Maximum")
    wait_for_metric(scripted_host, "HasBacklogWithoutCapacity", name, 0.0, "Maximum")
    assert (total(scripted_host, "ApproximateAgeOfOldestRequest", name, "Maximum") or 0) > 1
    gate.open()
    scale(scripted_host, name, 0)
    invoke(scripted_host, name)
    wait_for_metric(scripted_host, "HasBacklogWithoutCapacity", name, 1.0, "Maximum")


# ---- updates under a backlog


@pytest.mark.parametrize("policy", [None, ALL_AT_ONCE, CANARY, ROLLING], ids=["none", "all", "canary", "rolling"])
def test_a_release_under_a_backlog_answers_each_request_once(scripted_host: Host, policy: dict[str, Any]) -> None:
    """Developer guide, async-inference-update-endpoint: SageMaker "first provisions and switches to the new endpoint
    configuration … before it deletes the resources"; that no request is lost or repeated is inferred from it."""
    keep_versions(scripted_host)
    slow = {"SECONDS": "0.1"}
    name = endpoint(scripted_host, {"ANSWER": "old", **slow}, concurrency=1, count=4)
    locations = outputs(scripted_host, name, 60)
    new = config(scripted_host, {"ANSWER": "new", **slow}, concurrency=1, count=4)
    scripted_host.update(name, new, wait="Updating", **({"DeploymentConfig": policy} if policy else {}))
    locations += outputs(scripted_host, name, 20)
    scripted_host.aws.impose(timeFactor=FAST)
    scripted_host.wait(name, "InService")
    assert scripted_host.describe(name)["EndpointConfigName"] == new
    locations += outputs(scripted_host, name, 4)
    answers = answered(scripted_host, locations)
    assert set(answers) == {"old", "new"}


def test_a_rollback_under_a_backlog_answers_each_request_once(scripted_host: Host) -> None:
    keep_versions(scripted_host)
    slow = {"SECONDS": "0.1"}
    name = endpoint(scripted_host, {"ANSWER": "old", **slow}, concurrency=1, count=4)
    watching = alarm(scripted_host)
    new = config(scripted_host, {"ANSWER": "new", **slow}, concurrency=1, count=4)
    locations = outputs(scripted_host, name, 40)
    scripted_host.update(name, new, wait="Updating", DeploymentConfig=watched_by(CANARY, watching))
    wait_for(scripted_host, name, "Baking")

    def canary_answers() -> bool:
        probes = outputs(scripted_host, name, 4)
        locations.extend(probes)
        return b"new" in [read(scripted_host, location) for location in probes]

    eventually(canary_answers)
    locations += outputs(scripted_host, name, 40)
    fire(scripted_host, watching)
    scripted_host.wait(name, "InService")
    answers = answered(scripted_host, locations)
    assert set(answers) == {"old", "new"}


def test_the_old_fleet_finishes_what_it_processes(scripted_host: Host) -> None:
    gate = Gate.of("finishes")
    name = endpoint(scripted_host, {"ANSWER": "old", "GATE": "finishes"})
    location = outputs(scripted_host, name, 1)[0]
    eventually(lambda: gate.waiting == 1)
    scripted_host.update(name, config(scripted_host, {"ANSWER": "new"}), wait="Updating")

    def is_ending(described: dict[str, Any]) -> bool:
        (old,) = described["ProductionVariants"]
        return [each["Status"] for each in old.get("VariantStatus", [])] == ["Deleting"]

    scripted_host.wait_until(name, is_ending)
    gate.open()
    scripted_host.wait(name, "InService")
    assert exists(scripted_host, location)
    assert read(scripted_host, location) == b"old"


def test_a_release_at_zero_proves_nothing(triton_host: Host) -> None:
    """Inferred: without instances no container starts, so a model that cannot start shows at the next scale-out."""
    name = endpoint(triton_host, QUIET, artifact=answering(7))
    scale(triton_host, name, 0)
    location = invoke(triton_host, name, question()["Body"].encode(), ContentType="application/json")["OutputLocation"]
    broken = config(triton_host, QUIET, artifact=answering(8, initialize="raise RuntimeError('no weights here')"))
    triton_host.update(name, broken, RetainAllVariantProperties=True)
    described = triton_host.describe(name)
    assert (described["EndpointConfigName"], described.get("FailureReason")) == (broken, None)
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": 1}
    triton_host.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[change]
    )
    described = triton_host.wait_until(name, lambda d: d["EndpointStatus"] == "InService")
    assert "did not pass the ping health check" in described["FailureReason"]
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    fixed = config(triton_host, QUIET, artifact=answering(9))
    triton_host.update(name, fixed, RetainAllVariantProperties=True)
    scale(triton_host, name, 1)
    assert b"[9]" in read(triton_host, location)


# ---- the end


def test_a_failed_first_create_has_no_queue(triton_host: Host) -> None:
    broken = config(triton_host, QUIET, artifact=answering(8, initialize="raise RuntimeError('no weights here')"))
    name = triton_host.endpoint(broken, wait="Failed")
    with pytest.raises(ClientError, match="not found"):
        invoke(triton_host, name)
    triton_host.sagemaker.delete_endpoint(EndpointName=name)
    triton_host.wait_until_gone(name)


def test_a_deleted_endpoint_drops_its_queue(scripted_host: Host) -> None:
    """Inferred: the queue is the endpoint's."""
    gate = Gate.of("dropped")
    name = endpoint(scripted_host, {"ANSWER": "done", "GATE": "dropped"}, concurrency=1)
    accepted = [invoke(scripted_host, name) for _ in range(5)]
    gate.open(1)
    read(scripted_host, accepted[0]["OutputLocation"])
    eventually(lambda: gate.waiting == 2)
    scripted_host.sagemaker.delete_endpoint(EndpointName=name)
    scripted_host.wait_until_gone(name)
    gate.open()
    time.sleep(1)
    written = [exists(scripted_host, request["OutputLocation"]) for request in accepted]
    assert written == [True, *[False] * 4]
    assert not any(exists(scripted_host, request["FailureLocation"]) for request in accepted)


def test_requests_wait_for_instances(scripted_host: Host) -> None:
    """Developer guide, async-inference-autoscale: "Requests that are received when there are zero instances are queued
    for processing once the endpoint scales up"."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    scale(scripted_host, name, 0)
    location = outputs(scripted_host, name, 1)[0]
    time.sleep(0.5)
    assert not exists(scripted_host, location)
    scale(scripted_host, name, 1)
    assert read(scripted_host, location) == b"done"


def test_the_settings_of_a_request_are_those_at_its_time(scripted_host: Host) -> None:
    """InvokeEndpointAsync returns the OutputLocation, which no later configuration changes."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    scale(scripted_host, name, 0)
    before = outputs(scripted_host, name, 1)[0]
    moved = async_config(scripted_host, S3OutputPath=f"s3://{scripted_host.bucket}/moved")
    new = config(scripted_host, {"ANSWER": "done"}, **moved["OutputConfig"])
    scripted_host.update(name, new)
    after = outputs(scripted_host, name, 1)[0]
    assert (before.split("/")[3], after.split("/")[3]) == ("out", "moved")
    assert read(scripted_host, before) == read(scripted_host, after) == b"done"
