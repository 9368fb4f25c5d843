"""What live fleets need of IAM and ECR. AWS allows all that is refused here; the sandbox refuses it because it breaks
the live fleet.

An instance that autoscaling adds, or that replaces a failed one, assumes the Model's execution role, pulls the image,
downloads the model data and writes its log (SageMaker guide, "How to use SageMaker AI execution roles"). One of an
asynchronous endpoint writes answers and publishes messages too (async-inference-create-endpoint-prerequisites).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from moto.iam.models import Role, iam_backends

from sandbox.aws.async_settings import AsyncSettings
from sandbox.aws.hosting import Hostings, configs_in_use
from sandbox.aws.models import Image, ModelData, containers_of
from sandbox.aws.protocol import AwsError, RequestContext, partition
from sandbox.aws.service_role import documents_of, permits

Params = Mapping[str, Any]


@dataclass(frozen=True)
class _LiveModel:
    """A Model that an endpoint serves or is being updated to."""

    endpoint: str
    """The endpoint's ARN."""
    region: str
    request: Mapping[str, Any]
    """Of CreateModel."""
    asynchronous: AsyncSettings | None

    @property
    def images(self) -> list[Image]:
        return [Image.parse(container["Image"]) for container in containers_of(self.request)]

    @property
    def permissions(self) -> Iterator[tuple[str, str]]:
        """The actions and resources that the execution role must allow."""
        for container in containers_of(self.request):
            if url := container.get("ModelDataUrl"):
                yield "s3:GetObject", ModelData(url).arn(self.region)
        for image in self.images:
            yield "ecr:BatchGetImage", image.repository_arn
            yield "ecr:GetDownloadUrlForLayer", image.repository_arn
        yield "ecr:GetAuthorizationToken", "*"
        prefix, _, name = self.endpoint.replace(":sagemaker:", ":logs:").partition(":endpoint/")
        stream = f"{prefix}:log-group:/aws/sagemaker/Endpoints/{name}:log-stream:AllTraffic"
        yield "logs:CreateLogStream", stream
        yield "logs:PutLogEvents", stream
        if self.asynchronous is not None:
            yield from self._permissions_of_results(self.asynchronous)

    def _permissions_of_results(self, settings: AsyncSettings) -> Iterator[tuple[str, str]]:
        for path in filter(None, (settings.output_path, settings.failure_path)):
            yield "s3:PutObject", ModelData(str(path.below("answer.out"))).arn(self.region)
        for topic in filter(None, (settings.topic(failed=False), settings.topic(failed=True))):
            yield "sns:Publish", topic


class LiveFleets:
    """Refuses calls to IAM and ECR that take away what a live fleet needs."""

    def __init__(self, hostings: Hostings) -> None:
        self._hostings = hostings

    def check(self, operation: str, params: Params, context: RequestContext) -> None:
        """
        Raises:
            AwsError: the call breaks a live fleet.
        """
        if (takes := _TAKES.get(operation)) is None:
            return
        for model in self._models(context.account):
            if taken := takes(params, context, model):
                raise AwsError(
                    "ValidationException",
                    f'{operation} takes {taken} from endpoint "{model.endpoint}", whose live model needs it. '
                    "(The sandbox refuses this; AWS would allow it and break the endpoint.)",
                )

    def _models(self, account: str) -> Iterator[_LiveModel]:
        for (owner, region), hosting in list(self._hostings.items()):
            for endpoint in list(hosting.endpoints.values()) if owner == account else ():
                for config in configs_in_use(hosting, endpoint):
                    for variant in config.request["ProductionVariants"]:
                        model = hosting.models[variant["ModelName"].lower()]
                        yield _LiveModel(endpoint.arn, region, model.request, AsyncSettings.of(config.request))


def _role(params: Params, context: RequestContext, model: _LiveModel) -> Role | None:
    """The role that a call is about, if it is the model's."""
    roles = iam_backends[context.account][partition(context.region)].roles.values()
    arn = model.request["ExecutionRoleArn"]
    return next((role for role in roles if role.arn == arn and role.name == params["RoleName"]), None)


def _by_delete_role(params: Params, context: RequestContext, model: _LiveModel) -> str:
    return "the execution role" if _role(params, context, model) else ""


def _by_policy(params: Params, context: RequestContext, model: _LiveModel) -> str:
    """What the role allows now and would not with this policy put, deleted or detached."""
    if (role := _role(params, context, model)) is None:
        return ""
    inline, managed = dict(role.policies), dict(role.managed_policies)
    inline.pop(params.get("PolicyName", ""), None)
    managed.pop(params.get("PolicyArn", ""), None)
    after = [*inline.values(), *managed.values(), *filter(None, [params.get("PolicyDocument")])]
    lost = (each for each in model.permissions if permits(documents_of(role), *each) and not permits(after, *each))
    return " on ".join(next(lost, ()))


def _by_delete_repository(params: Params, context: RequestContext, model: _LiveModel) -> str:
    return "the repository" if any(_is_in(image, params, context) for image in model.images) else ""


def _by_delete_image(params: Params, context: RequestContext, model: _LiveModel) -> str:
    """A tag that is removed counts too: a lifecycle policy expires an image without one."""
    images = [image for image in model.images if _is_in(image, params, context)]
    for wanted in params["imageIds"] if images else ():
        for image in images:
            live = image.stored()
            gone = replace(image, tag=wanted.get("imageTag"), digest=wanted.get("imageDigest")).stored()
            if live and gone and live.reference == gone.reference:
                return "the image"
    return ""


def _is_in(image: Image, params: Params, context: RequestContext) -> bool:
    place = (params.get("registryId", context.account), context.region, params["repositoryName"])
    return (image.account, image.region, image.repository) == place


_TAKES: Mapping[str, Callable[[Params, RequestContext, _LiveModel], str]] = {
    "DeleteRole": _by_delete_role,
    "DeleteRolePolicy": _by_policy,
    "DetachRolePolicy": _by_policy,
    "PutRolePolicy": _by_policy,
    "DeleteRepository": _by_delete_repository,
    "BatchDeleteImage": _by_delete_image,
}
