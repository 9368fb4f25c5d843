"""What a batch transform job is created with, and what must be true before."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.aws import gpus, instance_types
from infra.aws.errors import aws_calls
from infra.aws.s3_location import S3Location
from infra.invocation.transform_input import InvalidTransform
from infra.invocation.transform_job import OUTPUT_SUFFIX, TransformJob
from infra.settings.batch import BatchSettings

MAX_NAME = 63
"""SageMaker API `TransformJobName`."""

_FILTER = re.compile(r"\$[A-Za-z0-9$\[\]*., :'-]{0,62}")
"""What CreateTransformJob accepts as a filter: API `JsonPath`, and the characters that its error lists
(https://github.com/aws/aws-sdk/issues/184)."""


@dataclass(frozen=True)
class DataProcessing:
    """What a record is, and which parts of it are read and written.

    Attributes:
        by_line: whether each line is a record; else each object is one.
        join_input: whether each output record contains its input (`JoinSource`).
        input_filter: the JSONPath of the request in a record; None is the whole record.
        output_filter: the JSONPath of the part that is written.
    """

    by_line: bool = True
    join_input: bool = False
    input_filter: str | None = None
    output_filter: str | None = None

    @property
    def options(self) -> list[str]:
        """The options of the command that SageMaker applies to JSON alone (SageMaker guide, Associate prediction
        results with input records)."""
        return [*self.filters, *(["--join-input"] if self.join_input else [])]

    @property
    def filters(self) -> dict[str, str]:
        """By the options of the command."""
        filters = {"--input-filter": self.input_filter, "--output-filter": self.output_filter}
        return {option: path for option, path in filters.items() if path is not None}


def require_filter(path: str) -> None:
    """
    Raises:
        InvalidTransform: SageMaker does not accept the filter.
    """
    if not _FILTER.fullmatch(path):
        raise InvalidTransform(
            "must be a JSONPath of at most 63 characters that begins with $ and has only letters, digits, spaces and "
            f"$ [ ] * . , : ' - (CreateTransformJob, DataProcessing), not {path!r}."
        )


@dataclass(frozen=True)
class TransformRequest:
    """The arguments of CreateTransformJob."""

    name: str
    model: str
    input: S3Location
    output: S3Location
    content_type: str
    settings: BatchSettings
    processing: DataProcessing = DataProcessing()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """By the members of the API. Each record is a request of its own: MultiRecord would join several in one body,
        which Triton rejects."""
        settings, processing = self.settings, self.processing
        split = "Line" if processing.by_line else "None"
        parts = {
            "InputFilter": processing.input_filter,
            "OutputFilter": processing.output_filter,
            "JoinSource": "Input" if processing.join_input else None,
        }
        resources = {"InstanceType": settings.instance_type, "InstanceCount": settings.instance_count}
        if instance_types.has_gpu(settings.instance_type):
            resources["TransformAmiVersion"] = gpus.TRANSFORM_AMI
        arguments: dict[str, Any] = {
            "TransformJobName": self.name,
            "ModelName": self.model,
            "MaxConcurrentTransforms": settings.max_concurrent_transforms,
            "MaxPayloadInMB": settings.max_payload_mb,
            "BatchStrategy": "SingleRecord",
            "ModelClientConfig": {
                "InvocationsTimeoutInSeconds": settings.invocation_timeout_seconds,
                "InvocationsMaxRetries": settings.max_retries,
            },
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": str(self.input)}},
                "ContentType": self.content_type,
                "SplitType": split,
            },
            "TransformOutput": {
                "S3OutputPath": str(self.output),
                "Accept": "application/json",
                "AssembleWith": split,
                **({"KmsKeyId": settings.kms_key_arn} if settings.kms_key_arn else {}),
            },
            "TransformResources": resources,
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }
        if given := {key: value for key, value in parts.items() if value}:
            arguments["DataProcessing"] = given
        if settings.environment:
            arguments["Environment"] = dict(settings.environment)
        return arguments


def create(sagemaker: Any, request: TransformRequest) -> None:
    """Start a job.

    Raises:
        AwsRequestRefused: SageMaker refuses it.
    """
    with aws_calls(f"transform job {request.name}"):
        sagemaker.create_transform_job(**request.arguments)


def job_name(endpoint: str) -> str:
    """A name that begins with the whole name of the endpoint, by which permissions on jobs are limited: with the time,
    or random if the time does not fit."""
    name = f"{endpoint}-{datetime.fromtimestamp(time.time(), UTC):%Y%m%d-%H%M%S}"
    return name if len(name) <= MAX_NAME else f"{endpoint}-{secrets.token_hex(3)}"


def require_free(sagemaker: Any, name: str) -> None:
    """
    Raises:
        InvalidTransform: a job had the name; SageMaker keeps the names of ended jobs.
    """
    if (job := TransformJob.read(sagemaker, name)) is not None:
        raise InvalidTransform(
            f"transform job {name} already exists ({job.status}), and job names must be unique. Use another --name."
        )


def require_writable(s3: Any, output: S3Location) -> None:
    """Start a multipart upload and abort it: it requires the permissions of a write, and writes nothing.

    Raises:
        AwsRequestRefused: the bucket does not exist, or the caller may not write there.
    """
    directory = output.directory
    place = {"Bucket": directory.bucket, "Key": f"{directory.key}probe{OUTPUT_SUFFIX}"}
    with aws_calls(str(directory)):
        upload = s3.create_multipart_upload(**place)
        s3.abort_multipart_upload(**place, UploadId=upload["UploadId"])
