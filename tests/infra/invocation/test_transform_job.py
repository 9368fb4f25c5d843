"""A transform job as it is read, its progress and its log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra import names
from infra.aws.s3_location import S3Location
from infra.invocation import transform_job
from infra.invocation.job_reader import JobReader
from infra.invocation.transform_input import InvalidTransform
from infra.invocation.transform_job import TransformJob
from infra.invocation.transform_request import TransformRequest
from infra.settings.batch import BatchSettings
from infra.triton.log_line import EXCERPT_LINES

from .conftest import BUCKET

REQUEST = TransformRequest(
    name="iris-1",
    model="iris-1a2b3c4",
    input=S3Location(BUCKET, "in/"),
    output=S3Location(BUCKET, "out"),
    content_type="application/json",
    settings=BatchSettings(),
)


def answer(status: str = "InProgress", **more: Any) -> dict[str, Any]:
    """An answer of DescribeTransformJob."""
    return {
        "TransformJobName": "iris-1",
        "TransformJobArn": "arn:aws:sagemaker:ap-northeast-1:123456789012:transform-job/iris-1",
        "TransformJobStatus": status,
        "ModelName": "iris-1a2b3c4",
        "TransformInput": REQUEST.arguments["TransformInput"],
        "TransformOutput": REQUEST.arguments["TransformOutput"],
        "CreationTime": datetime.now(UTC),
        **more,
    }


class SageMaker:
    """Has one job."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)

    def describe_transform_job(self, TransformJobName: str) -> dict[str, Any]:
        if TransformJobName != "iris-1":
            message = f"Could not find requested job with name: {TransformJobName}"
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "DescribeTransformJob")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_an_input_is_done_when_its_output_is_written(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/a.jsonl", Body=b"12345")
    s3.put_object(Bucket=BUCKET, Key="in/b/c.jsonl", Body=b"1")
    reader = JobReader(lambda service: {"s3": s3, "sagemaker": SageMaker(answer())}[service], "iris-1")
    job = reader.job()
    assert str(reader.progress(job)) == "0 of 2 objects, 0 B of 6 B"
    s3.put_object(Bucket=BUCKET, Key="out/b/c.jsonl.out", Body=b"answer")
    s3.put_object(Bucket=BUCKET, Key="out/notes.txt", Body=b"of somebody else")
    assert str(reader.progress(job)) == "1 of 2 objects, 1 B of 6 B"
    assert [entry.key for entry in reader.outputs(job)] == ["out/b/c.jsonl.out"]


def test_outputs_of_an_earlier_job_do_not_count(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="out/a.jsonl.out", Body=b"answer")
    job = TransformJob.of(answer())
    assert transform_job.outputs(s3, replace(job, began=job.began + 60)) == []


def test_a_job_whose_input_was_deleted_still_has_a_status(s3: Any) -> None:
    reader = JobReader(lambda service: {"s3": s3, "sagemaker": SageMaker(answer("Completed"))}[service], "iris-1")
    assert reader.facts(reader.job())["status"] == "Completed"
    assert reader.facts(reader.job())["objects"] == 0


def test_a_job_that_does_not_exist_is_an_error(s3: Any) -> None:
    with pytest.raises(InvalidTransform, match="does not exist"):
        JobReader(lambda _: SageMaker(answer()), "iris-2").job()


@pytest.fixture
def logs() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("logs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def test_the_last_lines_of_all_instances_in_order(logs: Any) -> None:
    logs.create_log_group(logGroupName=names.TRANSFORM_JOBS)
    now = int(datetime.now(UTC).timestamp() * 1000)
    for stream, offset in (("iris-1/i-1", 0), ("iris-1/i-1/data-log", 1), ("iris-10/i-2", 2)):
        logs.create_log_stream(logGroupName=names.TRANSFORM_JOBS, logStreamName=stream)
        events = [{"timestamp": now + 10 * n + offset, "message": f"{stream} {n}\n"} for n in range(10)]
        logs.put_log_events(logGroupName=names.TRANSFORM_JOBS, logStreamName=stream, logEvents=events)
    tail = transform_job.log_tail(logs, "iris-1")
    assert len(tail) == EXCERPT_LINES
    assert tail[-2:] == ["iris-1/i-1 9", "iris-1/i-1/data-log 9"]
    assert not any(line.startswith("iris-10") for line in tail)
    table = [{"timestamp": now + 1000, "message": "| exit_timeout | 30 |"}]
    logs.put_log_events(logGroupName=names.TRANSFORM_JOBS, logStreamName="iris-1/i-1", logEvents=table)
    assert transform_job.log_tail(logs, "iris-1") == tail, "without Triton's tables"


def test_a_log_that_cannot_be_read_hides_nothing(logs: Any) -> None:
    assert transform_job.log_tail(logs, "iris-1") == []
