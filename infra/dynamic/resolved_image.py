"""An image that SageMaker pulls from its publisher's repository in Amazon ECR, named by digest."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.dynamic.image_provider import ImageProvider
from infra.dynamic.provider import difference
from infra.image.errors import UnsupportedImage
from infra.image.reference import ImageReference
from infra.image.source import find_image


class ResolvedImageProvider(ImageProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A tag that now names another image is a change, but not of AWS's own releases."""
        diff = difference(olds, news, update=["sources", "followsTag", "accountId"], replace=[])
        if diff.changes or not news["followsTag"]:
            return diff
        return DiffResult(changes=self._moved(news, olds["source"], ImageReference.parse(olds["uri"]).digest or ""))

    def create(self, props: dict[str, Any]) -> CreateResult:
        resolved = self._resolved(props)
        return CreateResult(resolved["uri"], resolved)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(self._resolved(news))

    def _resolved(self, props: dict[str, Any]) -> dict[str, Any]:
        registries = self._registries(props)
        image = find_image([ImageReference.parse(source) for source in props["sources"]], registries)
        image.config(registries.retry)
        if image.original.body != image.manifest.body:
            raise UnsupportedImage(
                f"{image.reference} has a manifest of type {image.original.media_type}, which SageMaker refuses. "
                "Remove image.mirror: a copy of the image gets a manifest that SageMaker accepts."
            )
        uri = str(image.reference.at(image.manifest.digest))
        pulumi.log.info(f"{image.reference} is used in place: {uri}")
        return {**props, "uri": uri, "source": str(image.reference)}


class ResolvedImage(Resource, module="infra", name="ResolvedImage"):
    """An image in its publisher's repository: one linux/amd64 image that SageMaker runs.

    Args:
        sources: image references in ECR, in the order to try.
        follows_tag: whether to follow a tag that moves to another image.
        account_id: the account of the stack's `aws` provider.
    """

    uri: pulumi.Output[str]
    """The image by digest."""
    source: pulumi.Output[str]
    """The source that had the image."""

    def __init__(
        self,
        resource_name: str,
        *,
        sources: list[str],
        follows_tag: bool,
        account_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"sources": sources, "followsTag": follows_tag, "accountId": account_id, "uri": None, "source": None}
        super().__init__(ResolvedImageProvider(), resource_name, props, opts)
