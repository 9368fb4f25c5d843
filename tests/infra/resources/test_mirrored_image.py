"""The mirrored image as a resource: what is a change, and what a refresh makes of a tag that moved."""

from __future__ import annotations

from typing import Any

import pytest

from infra.ecr.copy import Progress
from infra.ecr.errors import EcrRefused
from infra.resources import mirrored_image
from infra.resources.mirrored_image import MirroredImageProvider

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PROPS: dict[str, Any] = {
    "sources": ["941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"],
    "destination": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/triton:23.10-py3",
    "accountId": "123456789012",
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


def test_progress_is_told_at_every_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(mirrored_image, "report", said.append)
    tell = mirrored_image._tenths()
    for done in range(0, 1001, 5):
        tell(Progress(done, 1000, 1, 2))
    assert [line.split()[1] for line in said] == [str(tenth) for tenth in range(10, 101, 10)]
