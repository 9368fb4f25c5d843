"""Batch transform: requests that are refused, and jobs that ask the model, fail, and stop."""

from __future__ import annotations

import ast
import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.batch import JSON_OUT, Batch, batch_role, completed, failed, requests_of, scripted_batch, uri
from tests.sandbox.conftest import Host, policy_document
from tests.sandbox.scripted_server import Gate
from tests.sandbox.test_runtime import QUIET, answering
from tests.sandbox.test_sagemaker import ARN, lenient, refusal


@pytest.fixture
def batch(scripted_host: Host) -> Batch:
    """Jobs whose model answers each request with the request."""
    return scripted_batch(scripted_host, {"ANSWER": "*"})


def test_a_thousand_lines_get_a_thousand_answers_in_order(triton_host: Host) -> None:
    host = triton_host
    batch = Batch(host, host.model(answering("number * 2"), QUIET, ExecutionRoleArn=batch_role(host)))
    batch.put("numbers.jsonl", requests_of(range(1000)))
    described = batch.run(MaxConcurrentTransforms=4)
    assert described["TransformJobStatus"] == "Completed", described
    (output,) = batch.output().items()
    assert output[0] == "numbers.jsonl.out"
    answers = [json.loads(line) for line in output[1].splitlines()]
    assert [answer["outputs"][0]["data"] for answer in answers] == [[2 * number] for number in range(1000)]


# ---- failures


def test_a_bad_record_fails_its_object_and_no_other(scripted_host: Host) -> None:
    """Developer guide, batch-transform-errors."""
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "BAD": "bad"})
    for key, content in (("a", b"1\n"), ("b", b"1\nbad\n2\n"), ("c", b"3\n")):
        batch.put(key, content)
    assert failed(batch) == "ClientError: See job logs for more information"
    assert batch.output() == {"a.out": b"1\n", "c.out": b"3\n"}
    where = f":[sagemaker logs]: {batch.host.bucket}/{batch.prefix}/in/b: "
    lines = [line.partition(where)[2] for line in batch.data_log() if where in line]
    assert lines == ["Bad HTTP status received from algorithm: 400", "", "Message:", "bad"]


def test_a_failing_container_is_asked_again(scripted_host: Host) -> None:
    """API_ModelClientConfig, InvocationsMaxRetries: 3 by default."""
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "STATUSES": "500,500,500,200"})
    batch.put("a", b"1\n")
    assert completed(batch) == {"a.out": b"1\n"}
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "STATUSES": "500,200"})
    batch.put("a", b"1\n")
    client = {"InvocationsMaxRetries": 0}
    assert failed(batch, ModelClientConfig=client) == "AlgorithmError: See job logs for more information"


def test_an_invocation_has_its_time_limit(scripted_host: Host) -> None:
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "SECONDS": "2"})
    batch.put("a", b"1\n")
    client = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0}
    assert failed(batch, ModelClientConfig=client) == "AlgorithmError: See job logs for more information"
    assert batch.data_log()[-1].endswith("Unable to get response from algorithm")


@pytest.mark.parametrize("environment", [{"BROKEN": "1"}, {"UNHEALTHY": "1"}])
def test_a_container_that_does_not_start_fails_the_job(scripted_host: Host, environment: dict[str, str]) -> None:
    scripted_host.aws.impose(healthCheckSeconds=0.2)
    batch = scripted_batch(scripted_host, environment)
    batch.put("a", b"1\n")
    assert failed(batch).startswith("AlgorithmError: The primary container did not pass the ping health check.")


def test_a_lack_of_capacity_fails_the_job(scripted_host: Host) -> None:
    """DIAGNijmegen/rse-grand-challenge."""
    scripted_host.aws.impose(insufficientCapacity=["ml.m5.xlarge"])
    batch = scripted_batch(scripted_host, {})
    batch.put("a", b"1\n")
    assert failed(batch).startswith("CapacityError: Unable to provision requested ML compute capacity.")


def test_a_job_without_input_fails(batch: Batch) -> None:
    assert failed(batch).startswith("ClientError: No S3 objects found under ")


@pytest.mark.parametrize("missing", ["s3:GetObject", "s3:ListBucket", "s3:PutObject"])
def test_the_execution_role_reads_and_writes(scripted_host: Host, missing: str) -> None:
    """Developer guide, sagemaker-roles, "CreateTransformJob API: Execution Role Permissions"."""
    host = scripted_host
    url, model_role = host.upload(b""), batch_role(host)
    batch = Batch(host, host.model(b"", {"ANSWER": "*"}, ModelDataUrl=url, ExecutionRoleArn=model_role))
    batch.put("a", b"1\n")
    actions = [action for action in ("s3:GetObject", "s3:PutObject", "s3:ListBucket", "ecr:*") if action != missing]
    statements = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
    statements.append({"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{url[5:]}"})
    host.aws.client("iam").put_role_policy(
        RoleName=model_role.rpartition("/")[2], PolicyName="pull", PolicyDocument=policy_document(*statements)
    )
    assert failed(batch).startswith("ClientError: ")
    assert batch.output() == {}


# ---- stop


def test_a_stopped_job_writes_nothing_more(scripted_host: Host) -> None:
    """API_StopTransformJob: Stopping, then Stopped."""
    gate = Gate.of("stopped")
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "GATE": "stopped"})
    batch.put("a", b"1\n")  # whose only answer comes after the stop
    job = batch.start()
    while gate.waiting < 1:
        time.sleep(0.02)
    batch.host.sagemaker.stop_transform_job(TransformJobName=job)
    assert batch.describe(job)["TransformJobStatus"] == "Stopping"
    gate.open()
    described = batch.wait(job)
    assert (described["TransformJobStatus"], described.get("FailureReason")) == ("Stopped", None)
    assert batch.output() == {}


def test_a_job_stops_while_its_instances_start(batch: Batch) -> None:
    batch.host.aws.impose(provisioningSeconds=3600)
    batch.put("a", b"1\n")
    job = batch.start()
    batch.host.sagemaker.stop_transform_job(TransformJobName=job)
    assert batch.wait(job)["TransformJobStatus"] == "Stopped"


def test_a_job_that_has_ended_cannot_be_stopped(batch: Batch) -> None:
    """DIAGNijmegen/rse-grand-challenge has the words of both refusals."""
    batch.put("a", b"1\n")
    job = batch.run()["TransformJobName"]
    stop = batch.host.sagemaker.stop_transform_job
    rejected = "The request was rejected because the transform job is in status Completed"
    assert refusal(stop, TransformJobName=job) == rejected
    assert refusal(stop, TransformJobName="missing").startswith("Could not find job to update with name")


# ---- the container


def test_the_container_gets_both_environments_and_those_of_sagemaker(scripted_host: Host) -> None:
    """Developer guide, your-algorithms-batch-code."""
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "SHOW": "1", "A": "model", "B": "model"})
    batch.put("a", b"1\n")
    job = batch.start(Environment={"B": "job"}, MaxConcurrentTransforms=3, MaxPayloadInMB=5)
    batch.wait(job)
    (shown,) = [line for line in batch.log(job) if line.startswith("environment ")]
    environment = ast.literal_eval(shown.removeprefix("environment "))
    assert (
        environment.items()
        >= {
            "A": "model",
            "B": "job",
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "5",
            "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
        }.items()
    )


def test_a_job_has_a_log_and_metrics_of_its_instance(batch: Batch) -> None:
    """Developer guide, logging-cloudwatch and monitoring-cloudwatch."""
    batch.put("a", b"1\n")
    job = batch.start(MaxConcurrentTransforms=2, MaxPayloadInMB=7)
    batch.wait(job)
    parameters = "MaxConcurrentTransforms=2, MaxPayloadInMB=7, BatchStrategy=SINGLE_RECORD"
    assert batch.data_log(job)[0].endswith(f":[sagemaker logs]: {parameters}")
    streams = batch.streams(job)
    assert len(streams) == 2
    assert re.fullmatch(rf"{job}/i-[0-9a-f]+-\d+", streams[0])
    assert streams[1] == f"{streams[0]}/data-log"
    listed = batch.host.aws.client("cloudwatch").list_metrics(
        Namespace="/aws/sagemaker/TransformJobs",
        Dimensions=[{"Name": "Host", "Value": streams[0].rpartition("-")[0]}],
    )["Metrics"]
    assert {metric["MetricName"] for metric in listed} == {"CPUUtilization", "MemoryUtilization"}


def test_the_requests_of_a_job_are_made_side_by_side(scripted_host: Host) -> None:
    gate = Gate.of("side by side")
    batch = scripted_batch(scripted_host, {"ANSWER": "*", "GATE": "side by side"})
    batch.put("a", b"1\n" * 6)
    job = batch.start(MaxConcurrentTransforms=4)
    while gate.waiting < 4:
        time.sleep(0.02)
    time.sleep(0.2)
    assert gate.waiting == 4
    gate.open()
    assert batch.wait(job)["TransformJobStatus"] == "Completed"


# ---- requests


def test_a_job_describes_what_it_was_asked_for(batch: Batch) -> None:
    batch.put("a", b"1\n")
    request = batch.request(
        {},
        {"Accept": "application/json"},
        MaxConcurrentTransforms=2,
        MaxPayloadInMB=50,
        ModelClientConfig={"InvocationsTimeoutInSeconds": 60, "InvocationsMaxRetries": 1},
        Environment={"A": "b"},
        DataProcessing={"JoinSource": "Input"},
        Tags=[{"Key": "Service", "Value": "ranking"}],
    )
    created = batch.host.sagemaker.create_transform_job(**request)
    described = batch.wait(request["TransformJobName"])
    tags = request.pop("Tags")
    assert described.items() >= request.items()
    assert (
        created["TransformJobArn"]
        == described["TransformJobArn"]
        == f"{ARN}:transform-job/{described['TransformJobName']}"
    )
    assert batch.host.sagemaker.list_tags(ResourceArn=created["TransformJobArn"])["Tags"] == tags
    listed = batch.host.sagemaker.list_transform_jobs(
        NameContains=request["TransformJobName"], StatusEquals="Completed"
    )
    (summary,) = listed["TransformJobSummaries"]
    assert summary["TransformJobStatus"] == "Completed"


def test_a_name_is_never_free_again(batch: Batch) -> None:
    batch.put("a", b"1\n")
    job = batch.run()["TransformJobName"]
    with pytest.raises(ClientError) as refused:
        batch.start(TransformJobName=job)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"


def test_what_does_not_exist_is_not_found(host: Host) -> None:
    batch = Batch(host, "missing")
    assert refusal(batch.start) == f'Could not find model "{ARN}:model/missing".'
    message = refusal(batch.describe, "missing")
    assert message == "Could not find requested job with name: missing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MaxPayloadInMB": 101}, "MaxPayloadInMB 101 must be at most 100"),
        ({"MaxPayloadInMB": 26, "MaxConcurrentTransforms": 4}, "must be at most 100 MB"),
        ({"MaxConcurrentTransforms": 17}, "must be at most 100 MB"),
        ({"MaxConcurrentTransforms": -1}, "greater than or equal to 0"),
        ({"ModelClientConfig": {"InvocationsTimeoutInSeconds": 3601}}, "less than or equal to 3600"),
        ({"ModelClientConfig": {"InvocationsMaxRetries": 4}}, "less than or equal to 3"),
        ({"Environment": {f"K{number}": "v" for number in range(17)}}, "less than or equal to 16"),
        ({"BatchStrategy": "Both"}, "[MultiRecord, SingleRecord]"),
        ({"TransformResources": {"InstanceType": "ml.r5.xlarge", "InstanceCount": 1}}, "enum value set: [ml.m4.xlarge"),
        ({"TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 0}}, "greater than or equal to 1"),
        ({"TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 101}}, "at most 100"),
        (
            {"TransformResources": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeKmsKeyId": "k"}},
            "VolumeKmsKeyId cannot be used with ml.g4dn.xlarge",
        ),
        (
            {
                "TransformResources": {
                    "InstanceType": "ml.g4dn.xlarge",
                    "InstanceCount": 1,
                    "TransformAmiVersion": "al2-ami-sagemaker-batch-gpu-550",
                }
            },
            "TransformAmiVersion al2-ami-sagemaker-batch-gpu-550 must be one of",
        ),
        ({"DataProcessing": {"InputFilter": "features"}}, "'$' is required at the beginning"),
        ({"DataProcessing": {"OutputFilter": "$.account_id"}}, 'Unexpected "_" in JsonPath'),
        ({"DataProcessing": {"InputFilter": "$..a"}}, "the operator Descendants is not supported"),
        ({"DataProcessing": {"InputFilter": "$["}}, "Invalid JSONPath '$['"),
        ({"DataProcessing": {"InputFilter": "$.a"}}, "Accept must be one of text/csv"),
        ({"DataProcessing": {"JoinSource": "Output"}}, "[Input, None]"),
    ],
)
def test_the_limits_of_a_job_hold(host: Host, changes: dict[str, Any], message: str) -> None:
    """API_CreateTransformJob, TransformResources and DataProcessing."""
    batch = Batch(host, host.model())
    assert message in refusal(lenient(host).create_transform_job, **batch.request(**changes))


@pytest.mark.parametrize("kind", ["AugmentedManifestFile", "Converse"])
def test_a_job_reads_prefixes_and_manifests_only(host: Host, kind: str) -> None:
    """API_TransformS3DataSource."""
    batch = Batch(host, host.model())
    assert "is not compatible with a transform job" in refusal(batch.start, uri(batch, "in/", kind))


@pytest.mark.parametrize("source", [{"SplitType": "RecordIO"}, {"SplitType": "TFRecord"}])
def test_what_the_sandbox_cannot_transform_is_refused(host: Host, source: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="is not in the sandbox"):
        Batch(host, host.model()).start(source)


def test_filters_of_csv_and_json_need_their_types(host: Host) -> None:
    """Developer guide, batch-transform-data-processing: "you must set both the Content Type and Accept parameters"."""
    batch = Batch(host, host.model())
    processing = {"JoinSource": "Input"}
    assert "Accept must be one of" in refusal(batch.start, DataProcessing=processing)
    binary = {"ContentType": "application/octet-stream"}
    assert "ContentType must be one of" in refusal(batch.start, binary, JSON_OUT, DataProcessing=processing)
