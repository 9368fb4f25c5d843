"""An image that SageMaker pulls from its publisher's repository in Amazon ECR, named by digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.dynamic.provider import AwsResourceProvider, difference
from infra.image.errors import ImageCopyError, UnsupportedImage
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Retry
from infra.image.source import digest_of_copy, find_image


class ResolvedImageProvider(AwsResourceProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A tag that now names another image is a change, but not of AWS's own releases."""
        diff = difference(olds, news, update=["sources", "followsTag", "accountId"], replace=[])
        if diff.changes or not news["followsTag"]:
            return diff
        return DiffResult(changes=self._moved(olds, news))

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

    def _moved(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        source = ImageReference.parse(olds["source"])
        digest = ImageReference.parse(olds["uri"]).digest
        try:
            # a preview does not wait for a registry
            now = digest_of_copy(source, replace(self._registries(news), retry=Retry(tries=2)))
        except ImageCopyError as error:
            pulumi.log.warn(f"{digest} stays: could not check whether {source} now names another image: {error}")
            return False
        if now != digest:
            pulumi.log.info(f"{source} now names another image: {now} instead of {digest}")
        return now != digest

    def _registries(self, props: dict[str, Any]) -> Registries:
        self.aws.require_account(props["accountId"])
        return Registries(self.aws.client)


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
