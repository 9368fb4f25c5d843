"""A batch transform job, as SageMaker describes it, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import names
from infra.aws.errors import aws_calls
from infra.aws.s3_location import S3Location, StoredObject
from infra.diagnostics.size import decimal_size
from infra.release.live import is_not_found, timestamp
from infra.triton.log_line import EXCERPT_LINES, is_table

ENDED = frozenset({"Completed", "Failed", "Stopped"})
"""Statuses (API `TransformJobStatus`) that do not change."""

OUTPUT_SUFFIX = ".out"
"""What SageMaker appends to the name of an input (CreateTransformJob, `S3OutputPath`)."""

READ_LINES = 100
"""Lines of each stream that are read: Triton's tables of options are left out."""
MAX_STREAMS = 20


@dataclass(frozen=True)
class TransformJob:
    """An answer of DescribeTransformJob.

    Attributes:
        began: when it was created, in seconds since 1970.
        ended: when it ended; None until then.
    """

    name: str
    arn: str
    status: str
    model: str
    input: S3Location
    output: S3Location
    began: float
    ended: float | None
    failure_reason: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> TransformJob:
        """The job in an answer."""
        return cls(
            name=answer["TransformJobName"],
            arn=answer["TransformJobArn"],
            status=answer["TransformJobStatus"],
            model=answer["ModelName"],
            input=S3Location.parse(answer["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]),
            output=S3Location.parse(answer["TransformOutput"]["S3OutputPath"]),
            began=answer["CreationTime"].timestamp(),
            ended=timestamp(answer.get("TransformEndTime")),
            failure_reason=answer.get("FailureReason", ""),
        )

    @classmethod
    def read(cls, sagemaker: Any, name: str) -> TransformJob | None:
        """A job; None if none ever had the name.

        Raises:
            AwsRequestRefused: the caller may not read it.
        """
        with aws_calls(f"transform job {name}"):
            try:
                return cls.of(sagemaker.describe_transform_job(TransformJobName=name))
            except ClientError as error:
                if is_not_found(error):
                    return None
                raise

    @property
    def in_progress(self) -> bool:
        """Whether the job changes by itself."""
        return self.status not in ENDED

    @property
    def completed(self) -> bool:
        """Whether every input was transformed."""
        return self.status == "Completed"


def stop(sagemaker: Any, name: str) -> None:
    """Ask SageMaker to stop a job; it is `Stopping` until its instances have ended.

    Raises:
        AwsRequestRefused: SageMaker refuses it.
    """
    with aws_calls(f"transform job {name}"):
        sagemaker.stop_transform_job(TransformJobName=name)


def tags(sagemaker: Any, job: TransformJob) -> dict[str, str]:
    """The tags of a job.

    Raises:
        AwsRequestRefused: the caller may not read them.
    """
    with aws_calls(f"tags of transform job {job.name}"):
        pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=job.arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


@dataclass(frozen=True)
class TransformProgress:
    """How far a job is: SageMaker does not report it, but each input has its output once it is transformed."""

    done: int
    of: int
    bytes_done: int
    of_bytes: int

    def __str__(self) -> str:
        return f"{self.done} of {self.of} objects, {decimal_size(self.bytes_done)} of {decimal_size(self.of_bytes)}"


def outputs(s3: Any, job: TransformJob) -> list[StoredObject]:
    """The objects that the job has written.

    Raises:
        AwsRequestRefused: the caller may not list them.
    """
    written = job.output.directory.objects(s3)
    # S3 rounds times down to seconds
    return [entry for entry in written if entry.key.endswith(OUTPUT_SUFFIX) and entry.modified >= job.began - 1]


def progress(job: TransformJob, inputs: Mapping[str, int], written: Iterable[StoredObject]) -> TransformProgress:
    """How far the job is.

    Args:
        inputs: the bytes of each input by its path relative to the job's input.
    """
    prefix = job.output.directory.key
    paths = {entry.key.removeprefix(prefix).removesuffix(OUTPUT_SUFFIX) for entry in written}
    done = [bytes_ for path, bytes_ in inputs.items() if path in paths]
    return TransformProgress(len(done), len(inputs), sum(done), sum(inputs.values()))


def log_tail(logs: Any, job: str) -> list[str]:
    """The last lines of the job's log; empty if it cannot be read, which must not hide the reason of a failure."""
    group = names.TRANSFORM_JOBS
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/", limit=MAX_STREAMS)
        events = [
            event
            for stream in streams["logStreams"]
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], limit=READ_LINES, startFromHead=False
            )["events"]
            if not is_table(event["message"])
        ]
    except (ClientError, BotoCoreError):
        return []
    events.sort(key=lambda event: event["timestamp"])
    return [event["message"].rstrip() for event in events[-EXCERPT_LINES:]]
