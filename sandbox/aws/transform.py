"""SageMaker's transform jobs: what CreateTransformJob refuses, and the jobs of an account in a region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.aws.hosting import Answer, Definition, Hosting, arn_of, page_of, tags_of
from sandbox.aws.model_server import Launch
from sandbox.aws.models import containers_of, has_instance_store
from sandbox.aws.protocol import AwsError, RequestContext, invalid, not_in_sandbox
from sandbox.aws.transform_data import DEFAULT_PAYLOAD_MB, Layout
from sandbox.aws.transform_job import TransformJob

#: CreateTransformJobRequest, MaxPayloadInMB: of one request, and of all that one instance gets at a time.
_MAX_PAYLOAD_MB = 100

#: TransformResources, InstanceCount.
_MAX_INSTANCES = 100

#: TransformResources, TransformAmiVersion.
_GPU_AMIS = ("al2-ami-sagemaker-batch-gpu-470", "al2-ami-sagemaker-batch-gpu-535")

FindModel = Callable[[Hosting, str, RequestContext], Definition]


@dataclass(kw_only=True)
class Job(Definition):
    """A transform job: what it was asked for, and what runs it."""

    run: TransformJob


class TransformJobs:
    """The operations on transform jobs. `find_model` raises `AwsError` if the Model does not exist."""

    def __init__(self, find_model: FindModel, directory: Path, launch: Launch | None) -> None:
        self._find_model = find_model
        self._directory = directory
        self._launch = launch

    def create(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        name = params["TransformJobName"]
        arn = arn_of(context, "transform-job", name)
        if name.lower() in hosting.jobs:
            # No operation deletes a job: "must be unique within an Amazon Web Services Region in an Amazon Web Services
            # account" (TransformJobName) is for ever.
            raise AwsError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already exists "
                f"({arn})",
            )
        model = self._find_model(hosting, params["ModelName"], context).request
        _check(params, model)
        directory = self._directory / context.account / context.region
        run = TransformJob(params, model, Layout.of(params), directory, self._launch, context)
        hosting.jobs[name.lower()] = Job(params, arn, tags_of(params), run=run)
        run.start()
        return {"TransformJobArn": arn}

    def describe(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        job = _job(hosting, params["TransformJobName"], "Could not find requested job with name")
        return {**job.request, **_status(job), "TransformStartTime": job.run.started}

    def list(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        jobs = [_status(job) for job in hosting.jobs.values()]
        wanted = params.get("StatusEquals")
        chosen = [job for job in jobs if wanted in (None, job["TransformJobStatus"])]
        return page_of("TransformJobSummaries", "TransformJob", chosen, params)

    def stop(self, hosting: Hosting, params: Answer, context: RequestContext) -> None:
        # The words of both refusals: DIAGNijmegen/rse-grand-challenge, which stops transform jobs.
        job = _job(hosting, params["TransformJobName"], "Could not find job to update with name")
        if job.run.status != "InProgress":
            raise invalid(f"The request was rejected because the transform job is in status {job.run.status}")
        job.run.stop()


def _job(hosting: Hosting, name: str, missing: str) -> Job:
    if name.lower() not in hosting.jobs:
        raise invalid(f"{missing}: {name}")
    return hosting.jobs[name.lower()]


def _status(job: Job) -> Answer:
    """What DescribeTransformJob and ListTransformJobs have in common."""
    return {
        "TransformJobName": job.request["TransformJobName"],
        "TransformJobArn": job.arn,
        "TransformJobStatus": job.run.status,
        "FailureReason": job.run.failure_reason,
        "CreationTime": job.created,
        "LastModifiedTime": job.run.modified,
        "TransformEndTime": job.run.ended,
    }


def _check(request: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """CreateTransformJob's rules beyond its shapes; the wording is ours.

    Raises:
        AwsError: a rule is broken.
    """
    for member in ("DataCaptureConfig", "ExperimentConfig"):
        if member in request:
            raise not_in_sandbox(f"a transform job with {member}")
    if len(containers_of(model)) != 1:
        raise not_in_sandbox("a transform job of a model with several containers")
    kind = request["TransformInput"]["DataSource"]["S3DataSource"]["S3DataType"]
    if kind not in ("ManifestFile", "S3Prefix"):
        raise invalid(f"S3DataType {kind} is not compatible with a transform job.")  # TransformS3DataSource
    payload, concurrent = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB), request.get("MaxConcurrentTransforms", 0)
    if payload > _MAX_PAYLOAD_MB:
        raise invalid(f"MaxPayloadInMB {payload} must be at most {_MAX_PAYLOAD_MB}.")
    if payload * concurrent > _MAX_PAYLOAD_MB:
        raise invalid(
            f"MaxConcurrentTransforms {concurrent} * MaxPayloadInMB {payload} must be at most {_MAX_PAYLOAD_MB} MB."
        )
    _check_resources(request["TransformResources"])


def _check_resources(resources: Mapping[str, Any]) -> None:
    """TransformResources."""
    instance_type, count = resources["InstanceType"], resources["InstanceCount"]
    if count > _MAX_INSTANCES:
        raise invalid(f"InstanceCount {count} must be at most {_MAX_INSTANCES}.")
    if "VolumeKmsKeyId" in resources and has_instance_store(instance_type):
        raise invalid(f"VolumeKmsKeyId cannot be used with {instance_type}, which has local storage.")
    ami = resources.get("TransformAmiVersion")
    if ami is not None and ami not in _GPU_AMIS:
        raise invalid(f"TransformAmiVersion {ami} must be one of {', '.join(_GPU_AMIS)}.")
