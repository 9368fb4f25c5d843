"""What a SageMaker Model names, and the checks of CreateModel: execution role, model data, image."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.s3.models import FakeKey, s3_backends
from moto.utilities.utils import load_resource

from sandbox.aws import ecr
from sandbox.aws.protocol import AwsError, not_in_sandbox, partition
from sandbox.aws.service_role import ServiceRole

#: The one manifest media type for an image that SageMaker takes; it refuses OCI's, see
#: https://github.com/aws/amazon-sagemaker-feedback/issues/180.
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Image:
    """An image in ECR, as a Model names it: by tag or by digest."""

    account: str
    region: str
    repository: str
    tag: str | None
    digest: str | None

    _PATTERN = re.compile(
        r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)"
        r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
    )

    @classmethod
    def parse(cls, reference: str) -> Image:
        """Raises `AwsError` for what is not an image in ECR, or names neither tag nor digest."""
        match = cls._PATTERN.fullmatch(reference)
        if match is None:
            # https://github.com/aws/sagemaker-python-sdk/pull/4700
            message = f'Using non-ECR image "{reference}" without Vpc repository access mode is not supported.'
            raise AwsError("ValidationException", message)
        if not match["tag"] and not match["digest"]:
            # https://github.com/aws/amazon-sagemaker-examples/issues/197
            raise AwsError("ValidationException", f'ECR image "{reference}" is invalid.')
        return cls(**match.groupdict())

    @property
    def repository_arn(self) -> str:
        return f"arn:{partition(self.region)}:ecr:{self.region}:{self.account}:repository/{self.repository}"

    def stored(self) -> StoredImage | None:
        """What ECR holds under the reference; a digest decides where tag and digest are given."""
        manifest = ecr.manifest(self.account, self.region, self.repository, self.digest or self.tag or "")
        if manifest is None:
            return None
        digest = f"sha256:{hashlib.sha256(manifest.body).hexdigest()}"
        size = sum(layer["size"] for layer in json.loads(manifest.body).get("layers", []))
        return StoredImage(manifest.media_type, manifest.platform, f"{self._registry}/{self.repository}@{digest}", size)

    @property
    def _registry(self) -> str:
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"


@dataclass(frozen=True)
class StoredImage:
    media_type: str
    platform: str | None  # `os/architecture`
    reference: str  # by digest
    size: int  # bytes of its layers, as they are stored


@dataclass(frozen=True)
class ModelData:
    """A model artifact in S3, as a Model names it."""

    url: str

    def _parts(self) -> tuple[str, str]:
        path = re.sub(r"^(?:s3://|https://s3[.-][^/]+/)", "", self.url)
        bucket, _, key = path.partition("/")
        return bucket, key

    def arn(self, region: str) -> str:
        bucket, key = self._parts()
        return f"arn:{partition(region)}:s3:::{bucket}/{key}"

    def bucket_region(self, account: str, region: str) -> str | None:
        """The region of the bucket; None without such a bucket in the account."""
        bucket = s3_backends[account][partition(region)].buckets.get(self._parts()[0])
        return bucket.region_name if bucket else None

    def read(self, account: str, region: str) -> bytes | None:
        """The current object; None where there is none."""
        found = self._object(account, region)
        return found.value if found else None

    def exists(self, account: str, region: str) -> bool:
        return self._object(account, region) is not None

    def _object(self, account: str, region: str) -> FakeKey | None:
        bucket, key = self._parts()
        backend = s3_backends[account][partition(region)]
        return backend.get_object(bucket, key) if bucket in backend.buckets else None


class ExecutionRole(ServiceRole):
    """The IAM role that SageMaker assumes to fetch the image and the model data."""

    def assumable(self, account: str) -> bool:
        """Whether the role exists and trusts `sagemaker.amazonaws.com` when it acts for the account."""
        role = self.found
        if role is None:
            return False
        statements = _as_list(json.loads(role.assume_role_policy_document)["Statement"])
        verdicts = [s["Effect"] for s in statements if _concerns_sagemaker(s, account)]
        return "Allow" in verdicts and "Deny" not in verdicts


def check_model(params: Mapping[str, Any], account: str, region: str) -> None:
    """CreateModel's checks of what exists elsewhere. Raises `AwsError`, worded as AWS's answers that people report."""
    containers = containers_of(params)
    if not containers or ("PrimaryContainer" in params and "Containers" in params):
        raise AwsError("ValidationException", "Exactly one of PrimaryContainer and Containers must be given.")
    if "ExecutionRoleArn" not in params:
        raise AwsError("ValidationException", "ExecutionRoleArn must be given for a model that SageMaker hosts.")
    role = ExecutionRole(params["ExecutionRoleArn"])
    for container in containers:
        _check_kind(container)
        if url := container.get("ModelDataUrl"):
            _check_model_data(ModelData(url), role, account, region)
        if not role.assumable(account):
            message = (
                f"Could not assume role {role.arn}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role."
            )
            raise AwsError("ValidationException", message)
        _check_image(container, role, region)


def containers_of(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    primary = model.get("PrimaryContainer")
    return [primary] if primary else list(model.get("Containers", []))


def _check_kind(container: Mapping[str, Any]) -> None:
    for member in ("ModelDataSource", "AdditionalModelDataSources", "ModelPackageName", "MultiModelConfig"):
        if member in container:
            raise not_in_sandbox(f"a container with {member}")
    if container.get("Mode") == "MultiModel":
        raise not_in_sandbox("a container in Mode MultiModel")
    if "Image" not in container:
        raise AwsError("ValidationException", "A container definition without a model package must name an Image.")


def _check_model_data(data: ModelData, role: ExecutionRole, account: str, region: str) -> None:
    readable = role.assumable(account) and role.allows("s3:GetObject", data.arn(region))
    if not readable or data.bucket_region(account, region) not in (region, None):
        # https://github.com/philschmid/llm-sagemaker-sample/issues/2
        message = (
            f'Could not access model data at {data.url}. Please ensure that the role "{role.arn}" exists and that its '
            'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
            '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the object '
            f"is located in {region}. If your Model uses multiple models or uncompressed models, please ensure that "
            'the role has "s3:ListBucket" permission.'
        )
        raise AwsError("ValidationException", message)
    if not data.exists(account, region):
        raise AwsError("ValidationException", f"Could not find model data at {data.url}.")


def _check_image(container: Mapping[str, Any], role: ExecutionRole, region: str) -> None:
    reference = container["Image"]
    image = Image.parse(reference)
    if image.region != region:
        message = f"The image {reference} is in region {image.region}; it must be in {region}, as the model is."
        raise AwsError("ValidationException", message)
    pulls = all(role.allows(f"ecr:{a}", image.repository_arn) for a in ("BatchGetImage", "GetDownloadUrlForLayer"))
    if not pulls or not role.allows("ecr:GetAuthorizationToken", "*"):
        # CreateModel's words for a role without the permission.
        message = (
            f"Role {role.arn} cannot pull {reference}. "
            "Ensure that the role exists and the image was granted pull permission."
        )
        raise AwsError("ValidationException", message)
    stored = image.stored()
    if stored is None:
        # https://github.com/aws-samples/easy-amazon-sagemaker-deployments/issues/4
        raise AwsError("ValidationException", f"Requested image {reference} not found.")
    if stored.media_type != DOCKER_MANIFEST:
        # https://github.com/aws/amazon-sagemaker-feedback/issues/180
        raise AwsError("ValidationException", f"Unsupported manifest media type {stored.media_type}")


def _concerns_sagemaker(statement: Mapping[str, Any], account: str) -> bool:
    """Whether a statement of a trust policy speaks of SageMaker that assumes the role for the account."""
    principals = statement.get("Principal", {})
    if not isinstance(principals, dict) or "sagemaker.amazonaws.com" not in _as_list(principals.get("Service")):
        return False
    # moto knows conditions and actions, but of principals AWS accounts only.
    rest = IAMPolicyStatement({key: value for key, value in statement.items() if key != "Principal"})
    verdict = rest.is_action_permitted("sts:AssumeRole", incoming_condition_values={"aws:SourceAccount": account})
    return bool(verdict == PermissionResult.PERMITTED)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def _described_by_ec2() -> Mapping[str, Mapping[str, Any]]:
    """EC2's DescribeInstanceTypes, as moto carries it."""
    described: dict[str, Any] = load_resource("ec2/resources/instance_types.json")
    return described


def has_instance_store(instance_type: str) -> bool:
    """Whether an `ml.` type has local disks, by EC2's description of its machine."""
    machine = _described_by_ec2().get(instance_type.removeprefix("ml."), {})
    return bool(machine.get("InstanceStorageSupported"))


def memory_of(instance_type: str) -> float:
    """Bytes of an `ml.` type, by EC2's description of its machine; of one that it does not describe, 8 GiB."""
    machine = _described_by_ec2().get(instance_type.removeprefix("ml."), {})
    return float(machine.get("MemoryInfo", {}).get("SizeInMiB", 8192)) * 1024 * 1024


def platform_of(instance_type: str | None) -> str:
    """The platform of an instance type: Graviton (Arm) families end in g, gd or gn after the generation. That
    serverless compute (None) is not Arm is inferred."""
    graviton = any(fnmatchcase(instance_type or "", f"ml.*[0-9]{end}.*") for end in ("g", "gd", "gn"))
    return "linux/arm64" if graviton else "linux/amd64"
