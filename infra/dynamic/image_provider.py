"""The base of the providers of an image, whose source tag may move to another image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pulumi

from infra.dynamic.provider import AwsResourceProvider
from infra.image.errors import ImageCopyError
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Retry
from infra.image.source import digest_of_copy


class ImageProvider(AwsResourceProvider):
    def _registries(self, props: Mapping[str, Any]) -> Registries:
        self.aws.require_account(props["accountId"])
        return Registries(self.aws.client)

    def _moved(self, props: Mapping[str, Any], source: str, digest: str, copied_to: str | None = None) -> bool:
        """Whether the source tag names another image than `digest`, and the tag of the copy, if any, can follow it."""
        reference = ImageReference.parse(source)
        if reference.digest is not None:
            return False
        registries = replace(self._registries(props), retry=Retry(tries=2))  # a preview does not wait for a registry
        try:
            now = digest_of_copy(reference, registries)
            follows = now != digest and (copied_to is None or _can_move(ImageReference.parse(copied_to), registries))
        except ImageCopyError as error:
            pulumi.log.warn(f"{digest} stays: could not check whether {source} now names another image: {error}")
            return False
        if follows:
            pulumi.log.info(f"{source} now names another image: {now} instead of {digest}")
        elif now != digest:
            pulumi.log.warn(
                f"{source} now names another image: {now}. The tags of this stack's repository are immutable, so "
                f"{digest} stays. To release the new image, use another tag or its digest in image.source."
            )
        return follows


def _can_move(tagged: ImageReference, registries: Registries) -> bool:
    return not registries.ecr(tagged).is_immutable(tagged.tag or "")
