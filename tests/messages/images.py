"""Images: what `python -m infra mirror` and the deployment of an image end with."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from infra.dynamic.resolved_image import ResolvedImageProvider
from infra.image import manifest, serving
from infra.image.aws_images import aws_triton_images
from infra.image.copy import CopyPlan, carry_out, plan_copy
from infra.image.layer import LayerCopy, _Content
from infra.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
)
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Retry
from infra.image.source import SourceImage, find_image
from infra.image.upload import LayerUploads
from tests.messages.account import Account, refusal
from tests.messages.golden import Example

TITLE = "python -m infra mirror, and images of deployments"

SOURCE, ECR = "nvcr.io/nvidia/tritonserver:24.05-py3", "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/triton"
COPY = f"{ECR}:24.05-py3"
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "config": {}}).encode()
LAYER = b"not a tar"
TOKEN = {"WWW-Authenticate": 'Bearer realm="https://nvcr.io/token",service="nvcr.io"'}


def _part(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(content), "digest": manifest.digest_of(content), **more}


def _image(config: bytes = CONFIG, config_type: str = DOCKER_CONFIG, layer_type: str = DOCKER_LAYER) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": _part(config, config_type),
        "layers": [_part(LAYER, layer_type)],
    }


def _index(**platform: str) -> dict[str, Any]:
    of = {"platform": platform} if platform else {}
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_part(b"{}", OCI_MANIFEST, **of)]}


_Response = tuple[int, bytes, Mapping[str, str]]
"""Status, body and headers."""


@dataclass
class _Http:
    """A registry that answers each URL whose end is a key."""

    answers: Mapping[str, _Response] = field(default_factory=dict)

    def get(self, url: str, _headers: Mapping[str, str]) -> BaseHTTPResponse:
        return self.send("GET", url, _headers)

    def send(self, _method: str, url: str, _headers: Mapping[str, str], body: Iterable[bytes] = ()) -> BaseHTTPResponse:
        for _ in body:
            pass
        status, content, headers = next((self.answers[part] for part in self.answers if part in url), (404, b"", {}))
        return HTTPResponse(io.BytesIO(content), headers, status, preload_content=False)


def _nested() -> _Http:
    """A registry that has an index in an index."""
    inner = json.dumps(_index()).encode()
    outer = _index() | {"manifests": [_part(inner, OCI_MANIFEST)]}
    return _Http(
        {
            f"manifests/{manifest.digest_of(inner)}": (200, inner, {"Content-Type": OCI_INDEX}),
            "manifests/": (200, json.dumps(outer).encode(), {}),
        }
    )


def _registry(
    document: Any = None, blobs: Iterable[bytes] = (CONFIG, LAYER), answers: Mapping[str, _Response] | None = None
) -> _Http:
    """One that has an image, by its manifest."""
    content = document if isinstance(document, bytes) else json.dumps(document or _image()).encode()
    found: dict[str, _Response] = {f"blobs/{manifest.digest_of(blob)}": (200, blob, {}) for blob in blobs}
    return _Http({"manifests/": (200, content, {}), **found, **(answers or {})})


def _ecr(**answers: Any) -> Callable[..., Any]:
    """A client of an ECR that has no image."""
    with Account.made() as account:
        account.answers |= {
            "batch_get_image": {"images": []},
            "batch_check_layer_availability": {"layers": []},
            "describe_repositories": {"repositories": [{"imageTagMutability": "IMMUTABLE"}]},
            "get_authorization_token": {
                "authorizationData": [{"proxyEndpoint": "https://ecr", "authorizationToken": "x"}]
            },
            **answers,
        }
        return account.client


def _registries(http: _Http | None = None, **answers: Any) -> Registries:
    return Registries(_ecr(**answers), Retry(sleep=lambda _: None), http or _registry())  # type: ignore[arg-type]


def _plan(registries: Registries, source: str = SOURCE, copy: str = COPY) -> CopyPlan:
    return plan_copy([ImageReference.parse(source)], ImageReference.parse(copy), registries)


def _find(document: Any, **answers: Any) -> SourceImage:
    return find_image([ImageReference.parse(SOURCE)], _registries(_registry(document), **answers))


def _tagged(digest: str) -> Any:
    return {"images": [{"imageId": {"imageDigest": digest}, "imageManifest": "{}"}]}


def _cases() -> Iterator[tuple[str, Callable[[], object]]]:
    parse = ImageReference.parse
    yield "tritonserver", lambda: parse("tritonserver")
    yield "nvcr.io/nvidia/tritonserver", lambda: parse("nvcr.io/nvidia/tritonserver")
    yield "version 24.05", lambda: aws_triton_images("us-east-1", "24.05")
    yield "version 24.05-py3 in us-isob-east-1", lambda: aws_triton_images("us-isob-east-1", "24.05-py3")
    yield "--platform amd64", lambda: manifest.Platform.parse("amd64")
    yield "a copy to nvcr.io", lambda: _plan(_registries(), copy="nvcr.io/mine:1")
    yield "a copy without a tag", lambda: _plan(_registries(), copy=f"{ECR}@sha256:{'0' * 64}")
    yield "an image of another format", lambda: _find({"schemaVersion": 1})
    yield "a manifest that is not JSON", lambda: _find(b"?")
    yield "an index of images for ARM", lambda: _find(_index(os="linux", architecture="arm64"))
    yield "an index in an index", lambda: find_image([parse(SOURCE)], _registries(_nested()))
    yield "a Helm chart", lambda: _find(_image(config_type="application/vnd.cncf.helm.config.v1+json"))
    yield "a layer of Windows", lambda: _find(_image(layer_type=f"{DOCKER_LAYER}.foreign"))
    yield "a layer in zstd", lambda: _find(_image(layer_type="application/vnd.oci.image.layer.v1.tar+zstd"))
    yield "a configuration without a platform", lambda: _configured(b"{}")
    yield "a configuration for ARM", lambda: _configured(b'{"os": "linux", "architecture": "arm64"}')
    large = _image() | {"config": _part(CONFIG, DOCKER_CONFIG) | {"size": 10**8}}
    yield "a configuration of 100 MB", lambda: _find(large).config(Retry())
    yield "a configuration that cannot be read", lambda: serving._settings(b"[]", SOURCE)
    yield "--verify: an image without serve", lambda: _verify(_gzip())
    yield "--verify: a layer that is not a tar", lambda: _verify(LAYER)
    yield (
        "a manifest with other bytes",
        lambda: manifest.verify_digest(b"{}", f"sha256:{'0' * 64}", f"{SOURCE}: manifest"),
    )
    other = f"sha256:{'1' * 64}"
    yield "an immutable tag", lambda: _plan(_registries(batch_get_image=_tagged(other)))
    plan = _plan(_registries())
    yield "a source that moves", lambda: _put(plan, _registry({**_image(), "moved": True}))
    yield "a tag that somebody else moves", lambda: _put(plan, batch_get_image=_tagged(other))
    yield "a tag that is not put", lambda: _put(plan)
    absent = {"failures": [{"failureCode": "ImageNotFound"}]}
    unknown = {"failures": [{"failureCode": "KmsError", "failureReason": "Access to the key is denied."}]}
    denied = refusal("BatchGetImage", "AccessDeniedException", "User is not authorized to perform: ecr:BatchGetImage")
    connection = EndpointConnectionError(endpoint_url="https://api.ecr.ap-northeast-1.amazonaws.com/")
    for what, answer in {
        "ECR has no image": absent,
        "ECR cannot decrypt": unknown,
        "no permission": denied,
        "no credentials": NoCredentialsError(),
        "no network": connection,
    }.items():
        yield what, partial(find_image, [parse(COPY)], _registries(batch_get_image=answer))
    yield "no source has the image", lambda: find_image([parse(COPY), parse(f"{ECR}:other")], _registries())
    for what, http in {
        "nvcr.io has no image": _Http(),
        "nvcr.io requires credentials": _Http({"": (401, b"", {"WWW-Authenticate": "Basic"})}),
        "a token service without TLS": _Http({"": (401, b"", {"WWW-Authenticate": 'Bearer realm="http://a/token"'})}),
        "a token service without a token": _Http({"token": (200, b"{}", {}), "": (401, b"", TOKEN)}),
        "a manifest of 5 MB": _registry(b" " * 5_000_000),
        "nvcr.io fails": _Http({"": (500, b"", {})}),
    }.items():
        yield what, partial(find_image, [parse(SOURCE)], _registries(http))
    ranged = _registry(answers={f"blobs/{manifest.digest_of(LAYER)}": (200, LAYER, {"Content-Length": "4"})})
    yield "a layer of another size", lambda: _layer(ranged)
    yield "a layer with other bytes", _changed_layer
    yield (
        "an upload that ECR does not start",
        lambda: _layer(_registry(answers={"uploads/": (202, b"", {"Location": "http://x"})})),
    )
    full = b'{"errors": [{"code": "LIMIT", "message": "The repository has too many images."}]}'
    yield "an upload that ECR refuses", lambda: _layer(_registry(answers={"uploads/": (403, full, {})}))
    yield "image: {mirror: false}", _in_place


def _gzip() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w"):
        pass
    return gzip.compress(stream.getvalue(), mtime=0)


def _verify(layer: bytes) -> None:
    document = _image() | {"layers": [_part(layer, DOCKER_LAYER)]}
    registries = _registries(_registry(document, (CONFIG, layer)))
    serving.check_serving(find_image([ImageReference.parse(SOURCE)], registries), registries.retry)


def _configured(config: bytes) -> object:
    registries = _registries(_registry(_image(config), (config,)))
    return find_image([ImageReference.parse(SOURCE)], registries).config(registries.retry)


def _put(plan: CopyPlan, http: _Http | None = None, **answers: Any) -> object:
    """Put an image whose layers are copied."""
    with patch("infra.image.copy._copy_layers", lambda *_: {}):
        return carry_out(plan, _registries(http, put_image={}, **answers))


def _copy(http: _Http) -> LayerCopy:
    registries = _registries(http)
    repository = registries.ecr(ImageReference.parse(COPY))
    layer = Descriptor(DOCKER_LAYER, manifest.digest_of(LAYER), len(LAYER))
    source = registries.source(ImageReference.parse(SOURCE))
    uploads = LayerUploads(repository, http)  # type: ignore[arg-type]
    return LayerCopy(source, repository, uploads, layer, registries.retry, lambda _: None, threading.Event())


def _layer(http: _Http) -> object:
    if "uploads/" not in http.answers:
        http = replace(
            http,
            answers={"uploads/": (202, b"", {"Location": "https://ecr/v2/triton/blobs/uploads/1"}), **http.answers},
        )
    return _copy(http).run()


def _changed_layer() -> None:
    content = _Content()
    content.update(LAYER[::-1])
    _copy(_registry())._verify(content)


def _in_place() -> object:
    provider = ResolvedImageProvider()
    with patch.object(
        ResolvedImageProvider, "_registries", lambda *_: _registries(_registry({**_image(), "mediaType": OCI_MANIFEST}))
    ):
        return provider._resolved({"sources": [SOURCE]})


def examples() -> Iterator[Example]:
    """Each image with its error."""
    with Account.made() as account, patch.dict("os.environ", {"XDG_CACHE_HOME": str(account.directory)}):
        for written, action in _cases():
            yield account.failing(written, action)
        with patch("infra.cli.mirror._mirror", _interrupt):
            yield account.run(f"mirror {SOURCE}", "Ctrl-C")
        with patch("infra.aws.session.AwsSession.region", None):
            yield account.run("mirror 24.05-py3")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
