"""The image in its publisher's repository as a resource."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest

from infra.dynamic.resolved_image import ResolvedImageProvider
from infra.image.errors import ImageNotFound, UnsupportedImage
from infra.image.http import Http
from infra.image.manifest import OCI_MANIFEST
from infra.image.registry import Registries
from infra.image.retry import Retry
from tests.infra.image.blob_server import serve_blobs
from tests.infra.image.conftest import put_image
from tests.infra.image.fake_ecr import FakeEcr, Repository

PUBLISHER = "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver"
PROPS: dict[str, Any] = {"sources": [f"{PUBLISHER}:23.10-py3"], "followsTag": False, "accountId": "123456789012"}


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(pulumi.log, "info", lambda *_: None)
    with serve_blobs() as blobs:
        ecr = FakeEcr(tmp_path, blobs)
        registries = Registries(ecr.client, Retry(tries=1), Http())
        monkeypatch.setattr(ResolvedImageProvider, "_registries", lambda *_: registries)
        yield ecr.repository("941853720454", "ap-northeast-1", "sagemaker-tritonserver")


def created(props: dict[str, Any]) -> dict[str, Any]:
    return ResolvedImageProvider().create(props).outs or {}


def test_an_image_is_resolved_to_its_digest(publisher: Repository) -> None:
    digest = put_image(publisher, layers=(b"layer",))
    result = ResolvedImageProvider().create(PROPS)
    assert result.id == f"{PUBLISHER}@{digest}"
    assert result.outs == {**PROPS, "uri": result.id, "source": f"{PUBLISHER}:23.10-py3"}


@pytest.mark.parametrize(
    "image", [{"media_type": OCI_MANIFEST}, {"platform": ("linux", "arm64")}], ids=["OCI manifest", "platform"]
)
def test_an_image_that_sagemaker_refuses_is_refused(publisher: Repository, image: dict[str, Any]) -> None:
    put_image(publisher, layers=(b"layer",), **image)
    with pytest.raises(UnsupportedImage):
        ResolvedImageProvider().create(PROPS)


def test_a_missing_image_is_an_error(publisher: Repository) -> None:
    with pytest.raises(ImageNotFound):
        ResolvedImageProvider().create(PROPS)


@pytest.mark.parametrize("follows", [False, True])
def test_a_tag_that_moves_is_followed_where_the_settings_name_it(publisher: Repository, follows: bool) -> None:
    put_image(publisher, layers=(b"layer",))
    props = {**PROPS, "followsTag": follows}
    olds = created(props)
    assert ResolvedImageProvider().diff("id", olds, props).changes is False
    digest = put_image(publisher, layers=(b"other",))
    assert ResolvedImageProvider().diff("id", olds, props).changes is follows
    updated = ResolvedImageProvider().update("id", olds, props).outs
    assert updated is not None and updated["uri"] == f"{PUBLISHER}@{digest}"


def test_a_registry_that_cannot_be_asked_changes_nothing(
    publisher: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_image(publisher, layers=(b"layer",))
    props = {**PROPS, "followsTag": True}
    olds = created(props)
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    publisher.tags.clear()
    assert ResolvedImageProvider().diff("id", olds, props).changes is False
    assert len(warnings) == 1


def test_another_source_is_an_update() -> None:
    news = {**PROPS, "sources": ["x"]}
    diff = ResolvedImageProvider().diff("id", {**PROPS, "uri": "x", "source": "y"}, news)
    assert (diff.changes, diff.replaces) == (True, [])
