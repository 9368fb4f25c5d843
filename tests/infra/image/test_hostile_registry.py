"""A registry that answers with what nobody sends by accident: each ends in one message and without a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from urllib3.response import BaseHTTPResponse

from infra.image.copy import copy_image
from infra.image.download import BlobReader
from infra.image.errors import EcrRefused, ImageCopyError, TransferFailed, UnsupportedImage
from infra.image.http import Http, refuse_link_local
from infra.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    check_config,
    choose_platform,
    parse_manifest,
)
from infra.image.oci import DistributionRepository
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Broken, Retry
from tests.infra.image.conftest import DESTINATION, SOURCE
from tests.infra.image.fake_ecr import Repository

DIGEST = "sha256:" + "0" * 64
ONCE = Retry(tries=1)


def descriptor(**changes: Any) -> dict[str, Any]:
    return {"mediaType": DOCKER_LAYER, "digest": DIGEST, "size": 1} | changes


def image(**changes: Any) -> dict[str, Any]:
    manifest = {"mediaType": DOCKER_MANIFEST, "config": descriptor(mediaType=DOCKER_CONFIG), "layers": [descriptor()]}
    return {"schemaVersion": 2} | manifest | changes


def index(*manifests: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(manifests)}


def member(**platform: Any) -> dict[str, Any]:
    return descriptor(mediaType=DOCKER_MANIFEST, platform={"os": "linux", "architecture": "amd64"} | platform)


OTHERS: tuple[Any, ...] = (5, [], {}, "a\nb", "\x1b[2J")
"""What is no name."""

_KINDS: dict[str, list[Any]] = {
    "layers": [image(layers=5), image(layers={"a": 1}), image(layers=[5]), image(layers=[[]])],
    "config": [image(config=5), image(config=[]), image(config=None)],
    "size": [image(layers=[descriptor(size=size)]) for size in ("1", -1, True, 1.5, 10**30, 2**63)],
    "digest": [image(layers=[descriptor(digest=each)]) for each in (*OTHERS, None, "sha256:x", f"{DIGEST}\n")],
    "type": [image(layers=[descriptor(mediaType=each)]) for each in (*OTHERS, "a" * 256)],
    "index": [index(5), index([]), index({}), index(None), {**index(), "manifests": {"a": 1}}],
    "platform": [index(member(os=each)) for each in OTHERS],
    "variant": [index(member(variant=each), member()) for each in OTHERS],
    "kind of platform": [index({**member(), "platform": each}) for each in (5, "linux", ["os"], [1])],
}
DOCUMENTS: dict[str, bytes] = {
    "deep": b"[" * 4_000_000,
    "deep object": b'{"a":' * 500_000,
    "digits": b'{"schemaVersion": ' + b"9" * 5000 + b"}",
    "number": b"5",
    "text": b'"manifest"',
    "null": b"null",
    "not text": b"\xff\xfe",
    "list": b"[]",
    **{
        f"{name}-{number}": json.dumps(document).encode()
        for name, documents in _KINDS.items()
        for number, document in enumerate(documents)
    },
}


def printed(error: BaseException) -> str:
    """The message, which shows nothing of the registry as it is."""
    message = str(error)
    assert all(line.isprintable() for line in message.split("\n"))
    return message


@pytest.mark.parametrize("media_type", [None, DOCKER_MANIFEST, OCI_INDEX, "\x1b[2Jx"])
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_of_another_kind_is_unsupported(document: bytes, media_type: str | None) -> None:
    with pytest.raises(UnsupportedImage) as refused:
        result = parse_manifest(document, media_type, "registry/image:tag")
        choose_platform(result, "registry/image:tag")  # type: ignore[arg-type]
    message = printed(refused.value)
    assert "\n" not in message
    assert message.startswith("registry/image:tag") and len(message) < 1000


@pytest.mark.parametrize("kind", ["a" * 100_000, "\x1b[2J\n::error::x", "\u202e"], ids=["long", "escape", "backwards"])
def test_the_kind_of_an_unknown_document_is_shown_in_a_line(kind: str) -> None:
    with pytest.raises(UnsupportedImage) as refused:
        parse_manifest(json.dumps({"mediaType": kind}).encode(), None, "image")
    assert "\n" not in printed(refused.value) and len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "config",
    [b"[" * 100_000, b"5", b"{}", b'{"os": 5, "architecture": []}', b'{"os": "linux", "architecture": "a\\nb"}'],
    ids=["deep", "number", "empty", "types", "line break"],
)
def test_a_configuration_of_another_kind_is_unsupported(config: bytes) -> None:
    with pytest.raises(UnsupportedImage) as refused:
        check_config(config, "image")
    assert "\n" not in printed(refused.value)


def test_an_index_within_an_index_is_refused(
    source: Repository, destination: Repository, registries: Registries
) -> None:
    inner = source.put_manifest(index(member()), OCI_INDEX)
    outer = descriptor(mediaType=DOCKER_MANIFEST, digest=inner, platform={"os": "linux", "architecture": "amd64"})
    source.put_manifest(index(outer), OCI_INDEX, "23.10-py3")
    with pytest.raises(ImageCopyError, match="an index within an index"):
        copy_image([SOURCE], DESTINATION, registries)


def answer(status: int = 200, **headers: str) -> urllib3.HTTPResponse:
    return urllib3.HTTPResponse(b"x", {name.replace("_", "-"): value for name, value in headers.items()}, status)


@pytest.mark.parametrize(
    "response",
    [
        lambda: answer(Content_Length="9" * 5000),
        lambda: answer(Content_Length="9" * 18),
        lambda: answer(Content_Length="-1"),
        lambda: answer(Content_Length="1e9"),
        lambda: answer(206),
        lambda: answer(206, Content_Range="bytes 0-0/" + "9" * 5000),
        lambda: answer(206, Content_Range="bytes " + "9" * 5000 + "-0/1"),
        lambda: answer(206, Content_Range="bytes 5-0/1"),
        lambda: answer(206, Content_Range="bytes -1-0/1"),
        lambda: answer(206, Content_Range="bytes 0-0/999999999999999999"),
        lambda: answer(206, Content_Range="\x1b[2J"),
    ],
)
def test_an_absurd_extent_is_an_error_of_the_transfer(response: Callable[[], urllib3.HTTPResponse]) -> None:
    reader = BlobReader(lambda start: response(), 1, "image: layer", ONCE)
    with pytest.raises(ImageCopyError) as refused:
        list(reader.blocks(0, 1))
    printed(refused.value)


def redirecting(monkeypatch: pytest.MonkeyPatch, *targets: str) -> list[tuple[str, str | None]]:
    """HTTP that redirects to these targets, one after the other; what it was asked for, and with which token."""
    asked: list[tuple[str, str | None]] = []

    def send(self: Http, method: str, url: str, headers: dict[str, str]) -> urllib3.HTTPResponse:
        asked.append((url, headers.get("Authorization")))
        return answer(307, Location=targets[len(asked) - 1]) if len(asked) <= len(targets) else answer()

    monkeypatch.setattr(Http, "send", send)
    addresses = {"metadata.test": "169.254.169.254", "cdn.test": "192.0.2.1", "registry.test": "192.0.2.2"}
    monkeypatch.setattr("socket.getaddrinfo", lambda host, port: [(0, 0, 0, "", (addresses.get(host, host), 0))])
    return asked


@pytest.mark.parametrize(
    "target",
    [
        "http://cdn.test/blob",
        "https://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "https://169.254.170.2/v2/credentials",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:169.254.169.254]/",
        "https://metadata.test/",
        "//169.254.169.254/",
        "file:///etc/passwd",
        "ftp://cdn.test/",
        "https://[",
        "http://\x1b[2J/",
    ],
)
def test_a_redirect_to_an_unsafe_address_is_not_followed(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    asked = redirecting(monkeypatch, target)
    with pytest.raises(TransferFailed) as refused:
        Retry(tries=4).call(lambda: Http().get("https://registry.test/blob", {}), "image: layer")
    assert len(asked) == 1
    assert "\n" not in printed(refused.value)


def test_redirects_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = redirecting(monkeypatch, *["https://registry.test/again"] * 100)
    with pytest.raises(Broken, match="more than 5 redirects"):
        Http().get("https://registry.test/blob", {})
    assert len(asked) == 6


def test_a_redirect_to_another_host_is_followed_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = redirecting(monkeypatch, "/other", "https://cdn.test/blob")
    assert Http().get("https://registry.test/blob", {"Authorization": "Bearer x"}).status == 200
    assert asked == [
        ("https://registry.test/blob", "Bearer x"),
        ("https://registry.test/other", "Bearer x"),
        ("https://cdn.test/blob", None),
    ]


def test_the_target_of_a_redirect_cannot_ask_for_the_credentials_of_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.test": {"auth": "dXNlcjpwYXNzd29yZA=="}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr("socket.getaddrinfo", lambda host, port: [(0, 0, 0, "", ("192.0.2.1", 0))])
    asked: list[tuple[str, str | None]] = []

    def send(_: Http, method: str, url: str, headers: dict[str, str]) -> urllib3.HTTPResponse:
        asked.append((url, headers.get("Authorization")))
        if "registry.test" in url:
            return answer(307, Location="https://cdn.test/blob")
        return answer(401, **{"WWW-Authenticate": 'Bearer realm="https://thief.test/token"'})

    monkeypatch.setattr(Http, "send", send)
    source = DistributionRepository(ImageReference.parse("registry.test/a:1"), Http(), ONCE)
    with pytest.raises(TransferFailed, match="401"):
        source.manifest("1")
    assert [authorization for _, authorization in asked] == [None, None]


def test_a_link_local_token_service_is_refused() -> None:
    with pytest.raises(Broken, match="link-local"):
        refuse_link_local("https://169.254.169.254/token")


@pytest.mark.parametrize("realm", ["https://[", "https://[::1", "https://\x1b[2J", "https://", "https:///token"])
def test_an_invalid_token_service_is_an_error_of_the_registry(monkeypatch: pytest.MonkeyPatch, realm: str) -> None:
    challenged = answer(401, **{"WWW-Authenticate": f'Bearer realm="{realm}"'})
    request = Http.send

    def get(http: Http, url: str, _: dict[str, str]) -> BaseHTTPResponse:
        return challenged if "/v2/" in url else request(http, "GET", url, {})

    monkeypatch.setattr(Http, "get", get)
    source = DistributionRepository(ImageReference.parse("registry.test/a:1"), Http(), ONCE)
    with pytest.raises(ImageCopyError) as refused:
        source.manifest("1")
    printed(refused.value)


def test_the_words_of_aws_are_printed_in_a_line() -> None:
    assert "\n" not in printed(EcrRefused("PutImage", "repository", "ServerException", "a\r\nb\x1b[2J"))
