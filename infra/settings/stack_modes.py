"""Rules across the sections of a stack on the modes of its endpoints."""

from __future__ import annotations

from infra import names
from infra.aws import gpus, instance_types
from infra.aws.mode import Mode
from infra.aws.s3_location import S3Location
from infra.diagnostics.messages import command_to_encrypt
from infra.diagnostics.problem import Location, key_of
from infra.policies import execution
from infra.policies.document import MAX_INLINE_POLICIES, size
from infra.settings.environment import SECRET_NAME
from infra.settings.section import Broken, rule, warning
from infra.settings.sections import StackSections
from infra.triton.serve_options import MAX_BODY_MB, PREFIX, SHM_DEFAULT_BYTE_SIZE, limits_body

_THREAD_COUNT = f"{PREFIX}THREAD_COUNT"

_FEWER = (
    "List fewer addresses and topics, for example one bucket or one topic for several endpoints, or split the stack."
)


class StackModes(StackSections):
    """The sections of a stack, and the rules on the modes of its endpoints."""

    def _batch(self, name: str) -> Location:
        return (name, "variants", next(iter(self.endpoints[name].variants)), "batch")

    def batch_type_path(self, name: str) -> Location:
        """The path below `endpoints` of the instance type of transform jobs."""
        return (*self._batch(name), "instanceType")

    @rule("endpoints")
    def serverless_in_vpc(self) -> Broken:
        """SageMaker guide, Serverless Inference, Feature exclusions."""
        if self.vpc is None:
            return None
        return {
            (name, "variants", variant, "serverless"): "is not supported in a VPC (SageMaker guide, Serverless "
            "Inference, Feature exclusions), and the stack has vpc. Serve the model on instances, or in another stack."
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.serverless_variants
        }

    @rule("adopt.endpoints")
    def adopted_batch(self) -> str | None:
        if batch := [name for name in self.adopt.endpoints if name in self.batch]:
            return f"{', '.join(batch)}: a model for transform jobs has no endpoint to adopt. Remove the name."
        return None

    @rule("endpoints")
    def answers_over_artifacts(self) -> Broken:
        """This project: the deployment alone writes artifacts and records, and deletes them."""
        given: dict[Location, str] = {
            (name, "asynchronous", key): location
            for name, queue in self.asynchronous.items()
            for key, location in (
                ("outputLocation", queue.output_location),
                ("failureLocation", queue.failure_location),
            )
            if location
        }
        for name, job in self.batch.items():
            for index, location in enumerate(job.output_locations):
                given[*self._batch(name), "outputLocations", index] = location
        own = self.bucket.name
        return {
            path: f"{location} is in the stack's bucket, where answers belong below {names.ASYNC} or {names.BATCH}: "
            "other prefixes have artifacts and records, which must not be overwritten. Use one of these, or another "
            "bucket."
            for path, location in given.items()
            if (place := S3Location.parse(location).directory).bucket == own
            and not place.key.startswith((names.ASYNC, names.BATCH))
        }

    @rule("endpoints")
    def answers_in_other_region(self) -> Broken:
        """KMS guide, Multi-Region keys; SNS guide: SageMaker uses keys and topics of its own Region."""
        arns: dict[Location, str | None] = {
            (name, "asynchronous", key): arn
            for name, queue in self.asynchronous.items()
            for key, arn in (
                ("kmsKeyArn", queue.kms_key_arn),
                ("successTopicArn", queue.success_topic_arn),
                ("errorTopicArn", queue.error_topic_arn),
            )
        }
        for name, job in self.batch.items():
            arns[*self._batch(name), "kmsKeyArn"] = job.kms_key_arn
        return {path: problem for path, arn in arns.items() if (problem := self.in_other_region(arn))}

    @rule("endpoints")
    def role_policies_too_large(self) -> str | None:
        """IAM guide, IAM and AWS STS quotas: the inline policies of a role."""
        characters = sum(self._policy_sizes.values())
        if characters <= MAX_INLINE_POLICIES:
            return None
        return (
            f"the inline policies of the execution role would have {characters:,} characters; at most "
            f"{MAX_INLINE_POLICIES:,} (IAM quotas). {_FEWER}"
        )

    @warning("endpoints")
    def role_policies_nearly_too_large(self) -> str | None:
        """IAM guide, IAM and AWS STS quotas. This project: the live fleet keeps its permissions during an update."""
        sizes = self._policy_sizes
        characters = sum(sizes.values()) + sum(sizes.get(purpose, 0) for purpose in execution.OF_ENDPOINTS)
        if characters <= MAX_INLINE_POLICIES or sum(sizes.values()) > MAX_INLINE_POLICIES:
            return None
        return (
            "an update that changes the endpoints keeps the previous policies of the execution role until it has "
            f"released them. Both would have about {characters:,} characters, and IAM accepts {MAX_INLINE_POLICIES:,} "
            f"(IAM quotas): it would fail before it releases an endpoint. {_FEWER}"
        )

    @property
    def _policy_sizes(self) -> dict[str, int]:
        """The characters of the inline policies of the execution role by their purpose, with the longest ARNs; empty
        for an existing role."""
        if self.role.arn is not None:
            return {}
        arns = f"arn:aws-us-gov:s3:::{'m' * 63}", f"arn:aws-us-gov:ecr:{self.region}:{'0' * 12}:repository/{'r' * 60}"
        documents = execution.documents(self, "aws-us-gov", "0" * 12, *arns)
        return {purpose: size(document) for purpose, document in documents.items()}

    @warning("endpoints")
    def transform_driver(self) -> Broken:
        """SageMaker API TransformAmiVersion: the newest driver of transform jobs; NVIDIA, CUDA Compatibility."""
        if (triton := self.image.triton) is None:
            return None
        return {
            self.batch_type_path(name): message
            for name, job in self.batch.items()
            if instance_types.has_gpu(job.instance_type) and (message := gpus.transform_driver_warning(triton.release))
        }

    @warning("endpoints")
    def plaintext_job_variable(self) -> Broken:
        """SageMaker API CreateTransformJob, Environment: no sensitive data."""
        return {
            (name, "variants", variant, "batch", "environment", variable): "looks like a secret, and anyone who may "
            "describe a job sees its environment (API CreateTransformJob). If it is one, remove it and run: "
            f"{command_to_encrypt(key_of(('secretEnvironment', name, variable)), None)}"
            for name, endpoint in self.endpoints.items()
            for variant, settings in endpoint.batch_variants.items()
            for variable in filter(SECRET_NAME.search, settings.batch.environment)
        }

    @warning("endpoints")
    def payload_over_triton(self) -> Broken:
        """Triton, command_line_parser.cc: http-max-input-size."""
        return {
            (name, "variants", variant, "batch", "maxPayloadMb"): f"{settings.batch.max_payload_mb} MB is more than "
            f"the {MAX_BODY_MB} MB (64 MiB) that Triton accepts in a request by default. For larger records, set "
            f"{PREFIX}ADDITIONAL_ARGS: --http-max-input-size=BYTES in environment."
            for name, endpoint in self.endpoints.items()
            for variant, settings in endpoint.batch_variants.items()
            if settings.batch.max_payload_mb > MAX_BODY_MB
            and limits_body(settings.environment | settings.batch.environment)
        }

    @warning("endpoints")
    def serverless_unproven(self) -> Broken:
        """SageMaker guide, Serverless Inference, Container support; no public report of Triton there was found."""
        return {
            (name, "variants", variant, "serverless"): _unproven(settings.environment)
            for name, endpoint in self.endpoints.items()
            if endpoint.mode is Mode.SERVERLESS
            for variant, settings in endpoint.serverless_variants.items()
        }


def _unproven(environment: dict[str, str]) -> str:
    unset = [name for name in (SHM_DEFAULT_BYTE_SIZE, _THREAD_COUNT) if name not in environment]
    options = f" Set {' and '.join(unset)} low, and" if unset else " Use"
    return (
        "AWS's Triton image is not proven to run serverless: SageMaker limits the image to 10 GB uncompressed and the "
        "start to 3 minutes, and the container may have no /dev/shm, which the Python backend needs (SageMaker guide, "
        f"Serverless Inference).{options} instance_group {{count: 1}}, and try it before callers depend on it."
    )
