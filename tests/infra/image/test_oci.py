"""Images of registries other than ECR: tokens, redirects and refusals."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.image.copy import copy_image
from infra.image.errors import DigestMismatch, ImageCopyError, ImageNotFound, RegistryRefused, TransferFailed
from infra.image.http import Http
from infra.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    digest_of,
)
from infra.image.oci import DistributionRepository
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Retry
from tests.infra.image.blob_server import BlobServer
from tests.infra.image.conftest import DESTINATION, config
from tests.infra.image.fake_ecr import FakeEcr, Repository

NAME = "nvidia/tritonserver"
LAYER = b"layer" * 1000
LOGIN = f"Basic {base64.b64encode(b'$oauthtoken:secret').decode()}"


@dataclass
class FakeRegistry:
    """A registry on this machine that issues tokens; if it is private, to `LOGIN` alone."""

    blobs: BlobServer
    directory: Path
    host: str = ""
    private: bool = False
    challenge: str = 'Bearer realm="{url}/token",service="registry.test",scope="repository:{name}:pull,push"'
    tokens: list[str] = field(default_factory=list)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def put_blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Store a blob where the registry redirects to. Returns its descriptor."""
        digest = digest_of(content)
        path = self.directory / digest.removeprefix("sha256:")
        path.write_bytes(content)
        self.blobs.files[f"/{digest}"] = path
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def put_image(self, tag: str, media_type: str = DOCKER_MANIFEST) -> str:
        """Put an image of one layer under a tag. Returns its digest."""
        oci = media_type == OCI_MANIFEST
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.put_blob(config(), OCI_CONFIG if oci else DOCKER_CONFIG),
            "layers": [self.put_blob(LAYER, OCI_LAYER if oci else DOCKER_LAYER)],
        }
        return self.put_manifest(tag, json.dumps(document).encode(), media_type)

    def put_manifest(self, tag: str, body: bytes, media_type: str) -> str:
        digest = digest_of(body)
        self.manifests[tag] = self.manifests[digest] = (body, media_type)
        return digest

    def reference(self, tag: str) -> ImageReference:
        return ImageReference(self.host, NAME, tag)


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry

    def do_GET(self) -> None:
        registry = self.registry
        registry.requests.append((self.path, dict(self.headers.items())))
        if registry.statuses:
            self._answer(registry.statuses.pop(0))
        elif self.path.startswith("/token?"):
            self._token()
        elif self.headers.get("Authorization") not in [LOGIN, *(f"Bearer {token}" for token in registry.tokens)]:
            challenge = registry.challenge.format(url=f"http://{registry.host}", name=NAME)
            self._answer(401, headers={"WWW-Authenticate": challenge})
        elif self.path.startswith(f"/v2/{NAME}/blobs/"):
            digest = self.path.rpartition("/")[2]
            self._answer(307, headers={"Location": registry.blobs.address(f"/{digest}")})
        else:
            body, media_type = registry.manifests.get(self.path.rpartition("/")[2], (b"", ""))
            headers = {"Content-Type": f"{media_type}; charset=utf-8", "Docker-Content-Digest": digest_of(body)}
            self._answer(200 if body else 404, body, headers)

    def _token(self) -> None:
        if self.registry.private and self.headers.get("Authorization") != LOGIN:
            self._answer(401)
            return
        self.registry.tokens.append(f"token-{len(self.registry.tokens)}")
        self._answer(200, json.dumps({"token": self.registry.tokens[-1]}).encode())

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def registry(blobs: BlobServer, tmp_path: Path) -> Iterator[FakeRegistry]:
    fake = FakeRegistry(blobs, tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": fake}))
    server.daemon_threads = True
    fake.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def repository(registry: FakeRegistry) -> DistributionRepository:
    return DistributionRepository(registry.reference("23.10-py3"), Http(), Retry(tries=3, sleep=lambda seconds: None))


def test_a_public_image_is_read_with_a_token_that_anybody_gets(registry: FakeRegistry) -> None:
    registry.put_image("23.10-py3")
    reader = repository(registry)
    assert reader.manifest("23.10-py3") == (registry.manifests["23.10-py3"][0], DOCKER_MANIFEST)
    assert reader.manifest(digest_of(registry.manifests["23.10-py3"][0])) == reader.manifest("23.10-py3")
    assert len(registry.tokens) == 1
    asked = next(path for path, _ in registry.requests if path.startswith("/token?"))
    assert asked == "/token?scope=repository%3Anvidia%2Ftritonserver%3Apull&service=registry.test"


BASIC = 'Basic realm="registry"'


def log_in(registry: FakeRegistry, login: str = LOGIN) -> None:
    """As `docker login` does."""
    docker = Path(os.environ["DOCKER_CONFIG"])
    docker.mkdir()
    login = login.removeprefix("Basic ")
    (docker / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))


@pytest.mark.parametrize("challenge", [None, BASIC])
def test_a_private_image_is_refused_at_once(registry: FakeRegistry, challenge: str | None) -> None:
    registry.private, registry.challenge = True, challenge or registry.challenge
    with pytest.raises(RegistryRefused, match=r"with no credentials was refused \(HTTP 401\).*`docker login 127"):
        repository(registry).manifest("23.10-py3")


@pytest.mark.parametrize("challenge", [None, BASIC])
def test_a_private_image_is_copied_with_dockers_credentials(
    registry: FakeRegistry, ecr: FakeEcr, destination: Repository, blobs: BlobServer, challenge: str | None
) -> None:
    registry.private, registry.challenge = True, challenge or registry.challenge
    registry.put_image("23.10-py3")
    log_in(registry)
    copy_image([registry.reference("23.10-py3")], DESTINATION, Registries(ecr.client))
    assert destination.layers[digest_of(LAYER)].read_bytes() == LAYER
    with_login = [path for path, headers in registry.requests if headers.get("Authorization") == LOGIN]
    assert all(challenge or path.startswith("/token?") for path in with_login)
    assert not [headers for headers in blobs.headers if "Authorization" in headers]


@pytest.mark.parametrize("challenge", [None, BASIC])
def test_credentials_that_are_refused_are_not_shown(registry: FakeRegistry, challenge: str | None) -> None:
    registry.private, registry.challenge = True, challenge or registry.challenge
    log_in(registry, "Basic b3RoZXI6c2VjcmV0")
    with pytest.raises(RegistryRefused, match=r"with docker's credentials was refused \(HTTP 401\)") as refused:
        repository(registry).manifest("23.10-py3")
    assert "b3RoZXI6c2VjcmV0" not in str(refused.value)


def test_a_public_image_requires_no_valid_configuration_of_docker(registry: FakeRegistry) -> None:
    registry.put_image("23.10-py3")
    log_in(registry, "Basic ?")
    assert repository(registry).manifest("23.10-py3")[1] == DOCKER_MANIFEST
    registry.private = True
    with pytest.raises(RegistryRefused, match=r"no credentials \(.*config\.json is not a valid configuration"):
        repository(registry).manifest("23.10-py3")


def test_a_token_that_has_expired_is_renewed(registry: FakeRegistry) -> None:
    registry.put_image("23.10-py3")
    reader = repository(registry)
    reader.manifest("23.10-py3")
    registry.tokens[:] = ["another"]
    assert reader.manifest("23.10-py3")[1] == DOCKER_MANIFEST


def test_a_token_is_not_asked_for_in_plain_text(registry: FakeRegistry) -> None:
    registry.challenge = 'Bearer realm="ftp://elsewhere.test/token"'
    with pytest.raises(RegistryRefused, match="token service does not use http"):
        repository(registry).manifest("23.10-py3")


def test_a_manifest_that_crawls_is_an_error(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.put_image("23.10-py3")
    reader = repository(registry)
    reader.manifest("23.10-py3")
    monkeypatch.setattr("infra.image.oci.BLOCK_SECONDS", 0.0)
    with pytest.raises(TransferFailed, match=r"manifest of 23\.10-py3: \d+ bytes arrived in 0 seconds"):
        reader.manifest("23.10-py3")


def test_a_missing_image_is_named(registry: FakeRegistry) -> None:
    with pytest.raises(ImageNotFound, match=rf"{registry.host}/{NAME} does not have the image 1\.0"):
        repository(registry).manifest("1.0")


def test_an_image_that_may_not_be_read_is_refused_at_once(registry: FakeRegistry) -> None:
    registry.statuses = [403]
    with pytest.raises(RegistryRefused, match=r"was refused \(HTTP 403\)"):
        repository(registry).manifest("23.10-py3")
    assert len(registry.requests) == 1


def test_a_busy_registry_is_asked_again_with_a_bound(registry: FakeRegistry) -> None:
    registry.put_image("23.10-py3")
    registry.statuses = [503, 429]
    assert repository(registry).manifest("23.10-py3")[1] == DOCKER_MANIFEST
    registry.statuses = [503] * 9
    with pytest.raises(TransferFailed, match=r"manifest of 23\.10-py3: 127\.0\.0\.1 answered HTTP 503\. Tried 3 times"):
        repository(registry).manifest("23.10-py3")


def test_a_manifest_of_other_bytes_is_refused(registry: FakeRegistry) -> None:
    digest = registry.put_image("23.10-py3")
    registry.manifests[digest] = (b"{}", DOCKER_MANIFEST)
    with pytest.raises(DigestMismatch, match=f"not {digest}"):
        repository(registry).manifest(digest)


def test_an_image_is_copied_to_ecr_and_no_token_goes_where_its_layers_are(
    registry: FakeRegistry, ecr: FakeEcr, destination: Repository, blobs: BlobServer
) -> None:
    amd64 = registry.put_image("amd64", OCI_MANIFEST)
    entry = {"mediaType": OCI_MANIFEST, "digest": amd64, "size": len(registry.manifests[amd64][0])}
    index = {"schemaVersion": 2, "manifests": [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}]}
    registry.put_manifest("23.10-py3", json.dumps(index).encode(), OCI_INDEX)
    copied = copy_image([registry.reference("23.10-py3")], DESTINATION, Registries(ecr.client))
    assert destination.layers[digest_of(LAYER)].read_bytes() == LAYER
    assert destination.manifests[copied.digest][1] == DOCKER_MANIFEST
    assert copied.bytes_copied == len(LAYER) + len(config())
    assert not [headers for headers in blobs.headers if "Authorization" in headers]


def test_a_broken_download_resumes_by_range(
    registry: FakeRegistry, ecr: FakeEcr, destination: Repository, blobs: BlobServer
) -> None:
    registry.put_image("23.10-py3")
    blobs.cut_after = [None, 1000, 1000]  # the shorter configuration may come before the layer
    registries = Registries(ecr.client, retry=Retry(sleep=lambda seconds: None))
    copy_image([registry.reference("23.10-py3")], DESTINATION, registries)
    assert destination.layers[digest_of(LAYER)].read_bytes() == LAYER
    assert "bytes=1000-" in [wanted for _, wanted in blobs.requests]


def test_every_registry_but_this_machine_is_asked_over_https() -> None:
    class NoHttp(Http):
        def get(self, url: str, headers: object) -> Any:
            raise ImageCopyError(url)

    for host, address in {
        "nvcr.io": "https://nvcr.io/v2/a/manifests/1",
        "docker.io": "https://registry-1.docker.io/v2/a/manifests/1",
        "localhost:5000": "http://localhost:5000/v2/a/manifests/1",
        "127.0.0.1.example.com": "https://127.0.0.1.example.com/v2/a/manifests/1",
    }.items():
        with pytest.raises(ImageCopyError) as asked:
            DistributionRepository(ImageReference(host, "a", "1"), NoHttp(), Retry()).manifest("1")
        assert str(asked.value) == address
