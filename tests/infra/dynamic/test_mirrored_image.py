"""The mirrored image as a resource: what is a change, and what a refresh makes of a tag that moved."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from infra.dynamic import image_provider
from infra.dynamic.mirrored_image import MirroredImageProvider
from infra.image.errors import EcrRefused, ImageCopyError, TransferFailed
from infra.image.reference import ImageReference
from infra.image.registry import Registries

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PROPS: dict[str, Any] = {
    "sources": ["941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"],
    "destination": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/triton:23.10-py3",
    "accountId": "123456789012",
    "followsTag": False,
    "digest": DIGEST,
    "source": "x",
}


def held(monkeypatch: pytest.MonkeyPatch, digest: str | None, error: Exception | None = None) -> MirroredImageProvider:
    """A provider whose repository holds `digest` under every tag."""

    class Registries:
        def ecr(self, _reference: Any) -> Any:
            return self

        def tagged_digest(self, tag: str) -> str | None:
            assert tag == "23.10-py3"
            if error:
                raise error
            return digest

    monkeypatch.setattr(MirroredImageProvider, "_registries", lambda *_: Registries())
    return MirroredImageProvider()


@pytest.mark.parametrize(("digest", "kept"), [(DIGEST, True), (OTHER, False), (None, False)])
def test_a_refresh_keeps_the_image_only_if_the_tag_still_holds_it(
    monkeypatch: pytest.MonkeyPatch, digest: str | None, kept: bool
) -> None:
    assert held(monkeypatch, digest).read(PROPS["destination"], PROPS).id == (PROPS["destination"] if kept else "")


def test_a_repository_that_is_gone_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = EcrRefused("DescribeImages", "triton", "RepositoryNotFoundException", "no such repository")
    assert held(monkeypatch, None, gone).read(PROPS["destination"], PROPS).id == ""


def test_other_sources_are_an_update_and_another_tag_a_new_image() -> None:
    provider = MirroredImageProvider()
    assert provider.diff("id", PROPS, dict(PROPS)).changes is False
    assert provider.diff("id", PROPS, {**PROPS, "sources": ["x"]}).replaces == []
    assert provider.diff("id", PROPS, {**PROPS, "destination": "y"}).replaces == ["destination"]


SOURCE = "nvcr.io/nvidia/tritonserver:24.09-py3"
FOLLOWING = {**PROPS, "sources": [SOURCE], "source": SOURCE, "followsTag": True}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda line: lines.append(f"warning: {line}"))
    monkeypatch.setattr(pulumi.log, "info", lines.append)
    return lines


def moved(monkeypatch: pytest.MonkeyPatch, now: str | ImageCopyError, immutable: bool = False) -> MirroredImageProvider:
    """A provider whose source's tag names `now`, or cannot be looked at."""

    class Mirror:
        def is_immutable(self, tag: str) -> bool:
            assert tag == "23.10-py3"
            return immutable

    def look(source: ImageReference, registries: Registries) -> str:
        assert (str(source), registries.retry.tries) == (SOURCE, 2)
        if isinstance(now, ImageCopyError):
            raise now
        return now

    monkeypatch.setattr(MirroredImageProvider, "_registries", lambda *_: Registries(lambda *_: None))
    monkeypatch.setattr(Registries, "ecr", lambda *_: Mirror())
    monkeypatch.setattr(image_provider, "digest_of_copy", look)
    return MirroredImageProvider()


def test_an_image_pushed_again_behind_the_tag_is_an_update(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    diff = moved(monkeypatch, OTHER).diff("id", FOLLOWING, dict(FOLLOWING))
    assert (diff.changes, diff.replaces) == (True, None)
    assert lines == [f"{SOURCE} now names another image: {OTHER} instead of {DIGEST}"]
    assert moved(monkeypatch, DIGEST).diff("id", FOLLOWING, dict(FOLLOWING)).changes is False


def test_where_tags_are_immutable_a_new_image_is_a_warning(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    assert moved(monkeypatch, OTHER, immutable=True).diff("id", FOLLOWING, dict(FOLLOWING)).changes is False
    assert "immutable" in lines[0]
    assert f"{DIGEST} stays" in lines[0]


def test_a_registry_that_cannot_be_reached_keeps_no_preview_from_going_on(
    monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    offline = TransferFailed("nvcr.io/nvidia/tritonserver: manifest of 24.09-py3: no route to host.")
    assert moved(monkeypatch, offline).diff("id", FOLLOWING, dict(FOLLOWING)).changes is False
    assert "no route to host" in lines[0]


@pytest.mark.parametrize("props", [PROPS, {**FOLLOWING, "source": f"nvcr.io/nvidia/tritonserver@{DIGEST}"}])
def test_awss_releases_and_images_named_by_digest_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], props: dict[str, Any]
) -> None:
    assert moved(monkeypatch, TransferFailed("looked at")).diff("id", props, dict(props)).changes is False
    assert lines == []
