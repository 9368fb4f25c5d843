"""The settings of a model that only batch transform jobs use: the defaults of the jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from infra.aws import instance_types
from infra.aws.hardware import Hardware
from infra.diagnostics.problem import Problem
from infra.settings.environment import ONE_MODE, InstanceContainer, VariableName
from infra.settings.kms import KmsKeyArn, key_of_answers
from infra.settings.location import S3Locations, accessible
from infra.settings.section import Broken, Effect, Section, rule, setting, violation
from infra.settings.variant import require_amd64

_JOB = "SageMaker API CreateTransformJobRequest"
MAX_PAYLOADS_MB = 100
"""The payloads of all concurrent requests of an instance together."""

MAX_VARIABLE = 10_240
"""Characters of the value of an environment variable (API `TransformEnvironmentValue`)."""


def _instance_type(name: str) -> str:
    require_amd64(name)
    if name not in instance_types.transform_instance_types():
        near = instance_types.transform_alternative(name)
        raise violation(
            "unknown-transform-instance-type",
            f"{name!r} is not an instance type of batch transform (API TransformInstanceType). Use {near}.",
        )
    return name


class BatchSettings(Section):
    """Defaults of the transform jobs that `python -m infra batch` starts."""

    instance_type: Annotated[str, AfterValidator(_instance_type)] = setting(
        "An amd64 instance type of batch transform, which has fewer types than hosting (API TransformInstanceType).",
        default="ml.c5.xlarge",
        example="ml.m5.4xlarge",
        source="SageMaker API TransformInstanceType; this project: amd64, the platform of AWS's Triton image",
    )
    instance_count: int = setting(
        "Instances of a job. Each input object is transformed by one of them.",
        default=1,
        ge=1,
        le=100,
        example=2,
        source="SageMaker API TransformResources (InstanceCount)",
    )
    max_concurrent_transforms: int = setting(
        "Requests that are sent to an instance at the same time (MaxConcurrentTransforms).",
        default=1,
        ge=1,
        le=100,
        example=4,
        source=f"{_JOB} (MaxConcurrentTransforms)",
    )
    max_payload_mb: int = setting(
        "The largest request and answer in MB (MaxPayloadInMB).",
        default=6,
        ge=1,
        le=100,
        example=20,
        source=f"{_JOB} (MaxPayloadInMB)",
    )
    strategy: Literal["SingleRecord", "MultiRecord"] = setting(
        "How records become requests (BatchStrategy): SingleRecord, because Triton requires one request in each body.",
        default="SingleRecord",
        example="SingleRecord",
        source="SageMaker API BatchStrategy",
    )
    environment: dict[VariableName, str] = setting(
        "More environment variables of the container (API TransformEnvironmentMap).",
        default_factory=dict,
        example={"SAGEMAKER_TRITON_THREAD_COUNT": "8"},
        max_length=16,
        source="SageMaker API TransformEnvironmentMap; this project: the names of the container's variables",
    )
    invocation_timeout_seconds: int = setting(
        "Seconds that the container may take to answer one request (InvocationsTimeoutInSeconds).",
        default=600,
        ge=1,
        le=3600,
        example=900,
        source="SageMaker API ModelClientConfig (InvocationsTimeoutInSeconds)",
    )
    max_retries: int = setting(
        "How often a failed request is repeated (InvocationsMaxRetries).",
        default=3,
        ge=0,
        le=3,
        example=1,
        source="SageMaker API ModelClientConfig (InvocationsMaxRetries)",
    )
    input_locations: S3Locations = accessible(
        "S3 URI prefixes below which the execution role may read records, in addition to batch/ in the stack's bucket.",
        "s3://records-bucket/orders",
        "SageMaker API CreateTransformJobRequest (TransformInput)",
    )
    output_locations: S3Locations = accessible(
        "S3 URI prefixes below which the execution role may write answers, in addition to batch/ in the stack's "
        "bucket.",
        "s3://records-bucket/answers",
        "SageMaker API CreateTransformJobRequest (TransformOutput)",
    )
    kms_key_arn: KmsKeyArn | None = key_of_answers("SageMaker API TransformOutput")

    @rule("maxPayloadMb")
    def payload_times_concurrency(self) -> str | None:
        """SageMaker API CreateTransformJob, MaxPayloadInMB."""
        product = self.max_concurrent_transforms * self.max_payload_mb
        if product <= MAX_PAYLOADS_MB:
            return None
        return (
            f"{self.max_payload_mb} MB for each of {self.max_concurrent_transforms} concurrent transforms are "
            f"{product} MB; at most {MAX_PAYLOADS_MB} (CreateTransformJob, MaxPayloadInMB). Lower one of the two."
        )

    @rule("environment")
    def job_variable_length(self) -> Broken:
        """SageMaker API TransformEnvironmentValue. The value is not shown."""
        lengths = {name: len(value) for name, value in self.environment.items() if len(value) > MAX_VARIABLE}
        return {
            (name,): f"the value has {length:,} characters; at most {MAX_VARIABLE:,} (API TransformEnvironmentValue). "
            "Shorten it."
            for name, length in lengths.items()
        }

    @rule("strategy")
    def multi_record(self) -> str | None:
        """Triton docs, KServe protocol: a body is one request."""
        if self.strategy == "SingleRecord":
            return None
        return (
            "MultiRecord joins several records in one body, and Triton accepts one request in a body. Remove the key."
        )


class BatchVariant(InstanceContainer):
    """A model without an endpoint."""

    excluded: ClassVar[Mapping[str, Problem]] = {
        "instanceType": Problem(
            "batch-instance-type",
            "is an instance type for hosting; transform jobs have their own (API TransformInstanceType). Set "
            "batch.instanceType instead.",
        ),
        "initialInstanceCount": Problem(
            "batch-instance-count",
            "is the size of a fleet, and a model for transform jobs has none. Set batch.instanceCount instead.",
        ),
        "autoscaling": Problem(
            "batch-autoscaling",
            "scales a fleet, and a model for transform jobs has none: a job ends with its instances. Set "
            "batch.instanceCount instead.",
        ),
        "allowSingleInstance": Problem(
            "batch-single-instance",
            "accepts a fleet of one instance, and a model for transform jobs has no fleet. Remove the key.",
        ),
        "startupHealthCheckSeconds": Problem(
            "batch-startup-timeout",
            "is not a parameter of transform jobs (API CreateTransformJob). Remove the key; for slow answers, set "
            "batch.invocationTimeoutSeconds.",
        ),
        "modelDataDownloadSeconds": Problem(
            "batch-download-timeout", "is not a parameter of transform jobs (API CreateTransformJob). Remove the key."
        ),
        "volumeSizeGb": Problem(
            "batch-volume", "is not a parameter of transform jobs (API TransformResources). Remove the key."
        ),
        "inferenceAmiVersion": Problem(
            "batch-ami",
            "selects the driver of hosting instances; transform jobs have other images (API TransformAmiVersion). "
            "Remove the key.",
        ),
        "initialVariantWeight": Problem(
            "batch-weight",
            "shares an endpoint's traffic between variants, and a model for transform jobs has no endpoint. Remove the "
            "key.",
        ),
    }

    batch: BatchSettings = setting(
        f"Create only the Model, for batch transform jobs, and no endpoint. {ONE_MODE}",
        source="SageMaker guide, Batch transform for inference with Amazon SageMaker AI",
        effect=Effect.NOTHING,
    )

    @property
    def hardware(self) -> Hardware:
        return self.batch.instance_type
