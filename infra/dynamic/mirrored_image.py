"""A container image in the account's own ECR, copied from its publisher's registry."""

from __future__ import annotations

from functools import partial
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.dynamic.image_provider import ImageProvider
from infra.dynamic.provider import difference
from infra.image.copy import copy_image
from infra.image.errors import EcrRefused
from infra.image.progress import ProgressLines, copied
from infra.image.reference import ImageReference


class MirroredImageProvider(ImageProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A source tag that now names another image is a change, if the mirror's tag can follow it."""
        diff = difference(olds, news, update=["sources", "followsTag"], replace=["destination", "accountId"])
        if diff.changes or not news["followsTag"]:
            return diff
        return DiffResult(changes=self._moved(news, olds["source"], olds["digest"], copied_to=news["destination"]))

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(props["destination"], self._mirrored(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(self._mirrored(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """If the tag was moved to another image, the image is mirrored again."""
        destination = ImageReference.parse(id_)
        try:
            digest = self._registries(props).ecr(destination).tagged_digest(destination.tag or "")
        except EcrRefused as error:
            if error.code != "RepositoryNotFoundException":
                raise
            digest = None
        return ReadResult(id_, props) if digest == props["digest"] else ReadResult("", {})

    # No delete: an older Model that is still live, or that a rollback returns to, may name the image. It is deleted
    # with the repository.

    def _mirrored(self, props: dict[str, Any]) -> dict[str, Any]:
        sources = [ImageReference.parse(source) for source in props["sources"]]
        destination = ImageReference.parse(props["destination"])
        registries = self._registries(props)
        progress = ProgressLines(pulumi.log.info, partial(pulumi.log.info, ephemeral=True))
        image = copy_image(sources, destination, registries, progress)
        pulumi.log.info(copied(image))
        return {**props, "digest": image.digest, "source": image.source}


class MirroredImage(Resource, module="infra", name="MirroredImage"):
    """An image copied to a repository of the account, as one linux/amd64 manifest that SageMaker runs.

    The image is kept in the repository when the resource is deleted or replaced.

    Args:
        sources: image references, in the order to try.
        follows_tag: whether to follow a source tag that moves to another image; not for AWS's own releases.
        destination: `<repository URL>:<tag>`.
        account_id: the account of the stack's `aws` provider.
    """

    digest: pulumi.Output[str]
    source: pulumi.Output[str]
    """The source that had the image."""

    def __init__(
        self,
        resource_name: str,
        *,
        sources: list[str],
        follows_tag: bool,
        destination: pulumi.Input[str],
        account_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "sources": sources,
            "followsTag": follows_tag,
            "destination": destination,
            "accountId": account_id,
            "digest": None,
            "source": None,
        }
        super().__init__(MirroredImageProvider(), resource_name, props, opts)
