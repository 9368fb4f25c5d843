"""The HTTP API of ECR's registries; each test names where AWS says or shows so.

`OCI` is the OCI distribution-spec; `API` is the API reference of ECR.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from tests.sandbox.conftest import RunningAws, unique
from tests.sandbox.test_ecr import (
    ABSENT,
    AWS_ACCOUNT,
    DOCKER,
    DOCKER_LIST,
    OCI,
    digest_of,
    image_text,
    list_text,
    push_blob,
    put_image,
    tags,
)

MIB = 1024 * 1024
PART = 10 * MIB


@dataclass(frozen=True)
class Client:
    """A client with an authorization token, and a repository."""

    url: str
    token: str
    repository: str

    def __call__(self, method: str, path: str, **request: Any) -> urllib3.BaseHTTPResponse:
        """The answer to a request for a path of the repository, or an absolute address; redirects are not followed."""
        url = path if "://" in path else f"{self.url}/v2/{self.repository}/{path}"
        headers = {"Authorization": f"Basic {self.token}", **request.pop("headers", {})}
        return urllib3.request(method, url, headers=headers, redirect=False, retries=False, **request)

    def upload(self) -> str:
        """The address of a new upload."""
        answer = self("POST", "blobs/uploads/")
        assert answer.status == 202, answer.data
        return str(answer.headers["Location"])

    def patch(self, upload: str, body: Any, first: int | None = None, **request: Any) -> urllib3.BaseHTTPResponse:
        headers = {} if first is None else {"Content-Range": f"{first}-{first + len(body) - 1}"}
        return self("PATCH", upload, body=body, headers=headers, **request)

    def complete(self, upload: str, content: bytes, **request: Any) -> urllib3.BaseHTTPResponse:
        return self("PUT", f"{upload}?digest={digest_of(content)}", **request)

    def interrupted(self, upload: str, content: bytes, announced: int) -> None:
        """A PATCH whose body ends too early."""
        address = urlsplit(upload)
        with socket.create_connection((address.hostname, address.port)) as connection:
            head = f"PATCH {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Basic {self.token}\r\n"
            connection.sendall(f"{head}Content-Length: {announced}\r\n\r\n".encode() + content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass


def code(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    return answer.status, error["code"]


def message(answer: urllib3.BaseHTTPResponse) -> str:
    return str(answer.json()["errors"][0]["message"])


@pytest.fixture
def ecr(client: Callable[..., Any]) -> Any:
    return client("ecr")


@pytest.fixture
def log_in(ecr: Any) -> Callable[..., Client]:
    """`log_in(repository, registry)`: a client with a token of its own."""

    def client(repository: str, registry: str = "123456789012") -> Client:
        (granted,) = ecr.get_authorization_token(registryIds=[registry])["authorizationData"]
        return Client(granted["proxyEndpoint"], granted["authorizationToken"], repository)

    return client


@pytest.fixture
def registry(ecr: Any, log_in: Callable[..., Client]) -> Client:
    """A client of a new repository."""
    repository = unique("registry")
    ecr.create_repository(repositoryName=repository)
    return log_in(repository)


@pytest.fixture
def limits(aws: RunningAws) -> Iterator[RunningAws]:
    """The AWS, whose conditions end with the test."""
    before = aws.conditions()
    yield aws
    aws.impose(**before)


# Authentication


def test_a_request_without_a_token_is_challenged(registry: Client) -> None:
    """An answer of ECR: wom.icu, "Curl OCI Registry"."""
    for method, path in (
        ("GET", f"{registry.url}/v2/"),
        ("POST", f"{registry.url}/v2/{registry.repository}/blobs/uploads/"),
    ):
        answer = urllib3.request(method, path)
        assert (answer.status, answer.data) == (401, b"Not Authorized\n")
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="http')
        assert answer.headers["WWW-Authenticate"].endswith('service="ecr.amazonaws.com"')


def test_a_token_is_not_to_be_made_up(registry: Client) -> None:
    """API: GetAuthorizationToken; the token is the user AWS and a password."""
    user, _, password = base64.b64decode(registry.token).decode().partition(":")
    assert user == "AWS"
    other = password.replace("123456789012", "210987654321", 1)
    for made_up in ("AWS:password", f"AWS:{other}", f"root:{password}"):
        token = base64.b64encode(made_up.encode()).decode()
        assert urllib3.request("GET", f"{registry.url}/v2/", headers={"Authorization": f"Basic {token}"}).status == 401
    assert registry("GET", f"{registry.url}/v2/").status == 200


def test_a_token_expires(limits: RunningAws, registry: Client, log_in: Callable[..., Client]) -> None:
    """Words of aws/aws-cli#6580; the status is inferred."""
    limits.impose(authorizationTokenSeconds=0)
    answer = log_in(registry.repository)("POST", "blobs/uploads/")
    assert code(answer) == (403, "DENIED")
    assert message(answer) == "Your authorization token has expired. Reauthenticate and try again."


def test_only_names_of_this_machine_are_answered(registry: Client) -> None:
    """Of the sandbox alone: see access.py."""
    assert registry("GET", f"{registry.url}/v2/", headers={"Host": "rebound.example"}).status == 403


def test_another_account_is_pulled_from_but_not_pushed_to(log_in: Callable[..., Client]) -> None:
    """ECR User Guide, "Private registry authentication": a token is good for what its owner may do; see test_ecr.py."""
    client = log_in("sagemaker-tritonserver", AWS_ACCOUNT)
    assert client("GET", "manifests/23.10-py3").status == 200
    answer = client("POST", "blobs/uploads/")
    assert code(answer) == (403, "DENIED")
    assert f"repository/{client.repository}" in message(answer)


# Pull


def test_an_image_is_pulled_byte_for_byte(log_in: Callable[..., Client]) -> None:
    """OCI, "Pull"; the blob is behind an address of S3 (ECR User Guide, "Amazon ECR interface VPC endpoints")."""
    client = log_in("sagemaker-tritonserver", AWS_ACCOUNT)
    manifest = client("GET", "manifests/23.10-py3", headers={"Accept": DOCKER})
    assert manifest.headers["Content-Type"] == DOCKER
    assert manifest.headers["Docker-Content-Digest"] == digest_of(manifest.data)
    for part in (manifest.json()["config"], *manifest.json()["layers"]):
        answer = client("GET", f"blobs/{part['digest']}")
        assert (answer.status, answer.data) == (307, b"")
        content = urllib3.request("GET", answer.headers["Location"]).data
        assert (digest_of(content), len(content)) == (part["digest"], part["size"])


def test_heads_have_the_sizes_and_digests_of_what_they_announce(registry: Client, ecr: Any) -> None:
    """OCI, "Pull": HEAD of manifests and blobs."""
    text = image_text(ecr, registry.repository)
    put_image(ecr, registry.repository, text, imageTag="1")
    manifest = registry("HEAD", "manifests/1")
    assert (manifest.status, manifest.data) == (200, b"")
    assert manifest.headers["Content-Length"] == str(len(text))
    assert manifest.headers["Docker-Content-Digest"] == digest_of(text)
    layer = json.loads(text)["layers"][0]
    blob = registry("HEAD", f"blobs/{layer['digest']}")
    assert (blob.status, blob.headers["Content-Length"]) == (200, str(layer["size"]))


def test_what_is_missing_is_unknown(registry: Client, log_in: Callable[..., Client]) -> None:
    """OCI, "Error Codes"; words of moby/buildkit#5747 and of the API."""
    manifest = registry("GET", "manifests/1")
    assert (*code(manifest), message(manifest)) == (404, "MANIFEST_UNKNOWN", "Requested image not found")
    assert registry("HEAD", f"blobs/{ABSENT}").status == 404
    assert code(registry("GET", f"blobs/{ABSENT}")) == (404, "BLOB_UNKNOWN")
    nowhere = log_in("not-there")("POST", "blobs/uploads/")
    assert code(nowhere) == (404, "NAME_UNKNOWN")
    assert message(nowhere).startswith("The repository with name 'not-there' does not exist")


def test_a_client_gets_the_media_types_that_it_accepts(registry: Client, ecr: Any) -> None:
    """See test_ecr.py: a manifest is converted by tag and never by digest."""
    digest = put_image(ecr, registry.repository, image_text(ecr, registry.repository), imageTag="1")
    assert registry("GET", "manifests/1", headers={"Accept": f"{OCI};q=0.5"}).headers["Content-Type"] == OCI
    assert registry("GET", "manifests/1", headers={"Accept": f"{OCI}, {DOCKER}"}).headers["Content-Type"] == DOCKER
    assert registry("GET", f"manifests/{digest}", headers={"Accept": OCI}).status == 404
    assert registry("GET", f"manifests/{digest}", headers={"Accept": "*/*"}).status == 200


# Push: blobs


@pytest.mark.parametrize("chunked", [False, True])
def test_a_layer_is_pushed_in_one_stream(registry: Client, chunked: bool) -> None:
    """OCI, "Pushing a blob"; how docker and crane push. ECR answers 201: aws/containers-roadmap#2831."""
    content = os.urandom(3 * MIB + 17)
    upload = registry.upload()
    body = (content[start : start + 50_000] for start in range(0, len(content), 50_000)) if chunked else content
    answer = registry.patch(upload, body)
    assert (answer.status, answer.headers["Range"]) == (201, f"0-{len(content) - 1}")
    assert "Docker-Upload-UUID" not in answer.headers  # distribution/distribution#2927
    assert registry.complete(answer.headers["Location"], content).status == 201
    assert registry("HEAD", f"blobs/{digest_of(content)}").headers["Content-Length"] == str(len(content))


def test_a_layer_is_pushed_by_one_put(registry: Client) -> None:
    """kitops-ml/kitops#822 pushes layers of 15 GB so; containerd's pusher does."""
    content = os.urandom(MIB)
    assert registry.complete(registry.upload(), content, body=content).status == 201
    assert registry("HEAD", f"blobs/{digest_of(content)}").status == 200


def test_several_patches_are_stored_but_the_range_stays_at_the_first_one(registry: Client) -> None:
    """aws/containers-roadmap#2831, the author's second comment: four requests, byte-identical."""
    content = os.urandom(25 * MIB)
    upload = registry.upload()
    for first in (0, PART):
        answer = registry.patch(upload, content[first : first + PART], first)
        assert (answer.status, answer.headers["Range"]) == (201, f"0-{PART - 1}")
    last = content[2 * PART :]
    range_header = {"Content-Range": f"{2 * PART}-{len(content) - 1}"}
    assert registry.complete(upload, content, body=last, headers=range_header).status == 201
    assert registry("HEAD", f"blobs/{digest_of(content)}").headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(("first", "sent"), [(None, 0), (0, 0), (7, 7)])
def test_a_patch_from_elsewhere_is_refused_and_says_where_to_go_on(
    registry: Client, first: int | None, sent: int
) -> None:
    """apple/containerization#790; GoogleContainerTools/kaniko#607."""
    upload = registry.upload()
    registry.patch(upload, b"123456")
    answer = registry.patch(upload, b"123456", first)
    assert code(answer) == (416, "BLOB_UPLOAD_INVALID")
    assert message(answer) == f"First byte of the layer part is {sent} instead of 6"
    assert registry.complete(upload, b"123456").status == 201


def test_the_state_of_an_upload_is_not_shown(registry: Client) -> None:
    """dotnet/sdk#33019, of ECR Public; for private registries inferred."""
    assert code(registry("GET", registry.upload())) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_unknown_upload_is_unknown(registry: Client) -> None:
    """OCI, "Error Codes"; API: UploadNotFoundException."""
    upload = f"blobs/uploads/{'0' * 8}-0000-0000-0000-{'0' * 12}"
    assert code(registry.patch(upload, b"1")) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert code(registry.complete(upload, b"1")) == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("tail", [MIB, 6 * MIB])
def test_a_body_that_breaks_off_leaves_what_arrived(registry: Client, tail: int) -> None:
    """Inferred from apple/containerization#790: 11304960 bytes stayed, 10 MiB and 800 KiB.

    A part below 5 MiB cannot be in the middle of a layer: dotnet/sdk-container-builds#424.
    """
    content = os.urandom(PART + tail + MIB)
    upload, arrived = registry.upload(), PART + tail
    registry.interrupted(upload, content[:arrived], announced=len(content))
    asked = registry.patch(upload, b"?", 0)
    assert message(asked) == f"First byte of the layer part is 0 instead of {arrived}"
    assert registry.patch(upload, content[arrived:], arrived).status == 201
    answer = registry.complete(upload, content)
    if tail < 5 * MIB:
        assert code(answer) == (400, "BLOB_UPLOAD_INVALID")
        assert message(answer) == "All layer parts except the last part should be at least 5MB"
    else:
        assert answer.status == 201


def test_an_upload_goes_on_through_the_api(registry: Client, ecr: Any) -> None:
    """Inferred: errors of an upload's PUT name its address's identifier as `uploadId` (radius-project/radius#7855)."""
    content = os.urandom(PART + 5)
    upload = registry.upload()
    registry.patch(upload, content[:PART])
    call = {"repositoryName": registry.repository, "uploadId": upload.rpartition("/")[2]}
    ecr.upload_layer_part(**call, partFirstByte=PART, partLastByte=PART + 4, layerPartBlob=content[PART:])
    assert ecr.complete_layer_upload(**call, layerDigests=[digest_of(content)])["layerDigest"] == digest_of(content)


def test_bytes_of_another_digest_are_refused(registry: Client) -> None:
    """dotnet/sdk-container-builds#424."""
    upload = registry.upload()
    registry.patch(upload, b"damaged")
    answer = registry.complete(upload, b"whole")
    assert code(answer) == (400, "BLOB_UPLOAD_INVALID")
    assert message(answer) == "None of the provided layer digests match the calculated layer digest"


def test_an_empty_layer_is_refused(registry: Client) -> None:
    """radius-project/radius#7855."""
    answer = registry.complete(registry.upload(), b"")
    assert code(answer) == (400, "BLOB_UPLOAD_INVALID")
    assert message(answer).endswith("cannot be completed because it does not have any parts")


def test_a_layer_that_is_there_is_accepted_again(registry: Client, ecr: Any) -> None:
    """Inferred: pushes of images that share layers at the same time succeed."""
    push_blob(ecr, registry.repository, b"once")
    upload = registry.upload()
    registry.patch(upload, b"once")
    assert registry.complete(upload, b"once").status == 201


def test_a_mount_begins_an_upload_instead(registry: Client) -> None:
    """aws/containers-roadmap#2860: 202 where ECR does not mount."""
    answer = registry("POST", f"blobs/uploads/?mount={ABSENT}&from=other")
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")
    assert answer.headers["Location"].startswith(f"{registry.url}/v2/{registry.repository}/blobs/uploads/")


# Push: manifests


def test_an_image_is_pushed_and_comes_back_byte_for_byte(registry: Client, ecr: Any) -> None:
    """OCI, "Pushing Manifests"."""
    text = image_text(ecr, registry.repository).replace(": ", " :  ")
    answer = registry("PUT", "manifests/1", body=text, headers={"Content-Type": DOCKER})
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest_of(text))
    assert registry("GET", "manifests/1").data == text.encode()
    assert registry("GET", f"manifests/{digest_of(text)}").data == text.encode()


def test_an_image_is_pushed_by_its_digest(registry: Client, ecr: Any) -> None:
    """OCI, "Pushing Manifests"; docker/buildx#663."""
    text = image_text(ecr, registry.repository)
    answer = registry("PUT", f"manifests/{digest_of(text)}", body=text, headers={"Content-Type": DOCKER})
    assert answer.status == 201
    assert tags(ecr, registry.repository) == {digest_of(text): []}


def test_an_image_whose_parts_are_missing_is_refused(registry: Client, ecr: Any) -> None:
    """int128/docker-manifest-create-action#63; for layers inferred."""
    text = image_text(ecr, registry.repository)
    unknown = json.loads(text)
    unknown["layers"][0]["digest"] = ABSENT
    for body, kind in ((json.dumps(unknown), DOCKER), (list_text({"amd64": text}), DOCKER_LIST)):
        answer = registry("PUT", "manifests/1", body=body, headers={"Content-Type": kind})
        assert code(answer) == (404, "MANIFEST_BLOB_UNKNOWN")
        assert "required for pushing image into repository" in message(answer)


def test_what_is_no_manifest_is_unsupported(registry: Client) -> None:
    """opcr-io/policy#149."""
    answer = registry("PUT", "manifests/1", body=b"{", headers={"Content-Type": DOCKER})
    assert code(answer) == (405, "UNSUPPORTED")
    assert message(answer) == "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
def test_an_image_is_pushed_again_unless_its_tag_is_immutable(
    log_in: Callable[..., Client], ecr: Any, mutability: str
) -> None:
    """aws/containers-roadmap#2179; words of aws/containers-roadmap#862, code of osscontainertools/kaniko#204."""
    registry = log_in(unique("registry"))
    ecr.create_repository(repositoryName=registry.repository, imageTagMutability=mutability)
    first, other = image_text(ecr, registry.repository), image_text(ecr, registry.repository)
    headers = {"Content-Type": DOCKER}
    assert registry("PUT", "manifests/1", body=first, headers=headers).status == 201
    again = [registry("PUT", "manifests/1", body=text, headers=headers) for text in (first, other)]
    if mutability == "MUTABLE":
        assert [answer.status for answer in again] == [201, 201]
        assert tags(ecr, registry.repository) == {digest_of(first): [], digest_of(other): ["1"]}
    else:
        assert [code(answer) for answer in again] == [(400, "TAG_INVALID")] * 2
        assert message(again[0]).startswith("The image tag '1' already exists in the")
        assert tags(ecr, registry.repository) == {digest_of(first): ["1"]}


# The sandbox


def test_requests_are_calls_in_the_log_and_are_throttled_as_such(limits: RunningAws, registry: Client) -> None:
    """ECR User Guide, "Logging Amazon ECR actions with AWS CloudTrail": a push is these calls."""
    before = limits.last_call()
    upload = registry.upload()
    registry.patch(upload, b"layer")
    registry.complete(upload, b"layer")
    operations = [call["operation"] for call in limits.calls(before)]
    assert operations == ["InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload"]
    limits.impose(throttle={"ecr.InitiateLayerUpload": 1})
    assert code(registry("POST", "blobs/uploads/")) == (429, "TOOMANYREQUESTS")
    assert registry("POST", "blobs/uploads/").status == 202


def test_a_test_can_put_a_proxy_in_front_of_the_registry(
    limits: RunningAws, registry: Client, log_in: Callable[..., Client]
) -> None:
    """The condition `proxyEndpoint`; addresses name the host that was asked, as those of AWS do."""
    proxy = registry.url.replace("127.0.0.1", "localhost")
    limits.impose(proxyEndpoint=proxy)
    client = log_in(registry.repository)
    assert client.url == proxy
    assert client.upload().startswith(f"{proxy}/v2/")


def test_a_connection_serves_many_requests_and_survives_a_refused_body(registry: Client) -> None:
    """RFC 9112, section 9.3: persistence; a refused body is not taken for the next request."""
    pool = urllib3.connectionpool.connection_from_url(registry.url, maxsize=1)
    headers = {"Authorization": f"Basic {registry.token}"}
    for _ in range(3):
        assert pool.request("GET", "/v2/", headers=headers).status == 200
    assert pool.num_connections == 1
    path = f"/v2/{registry.repository}/blobs/uploads/{'0' * 8}-0000-0000-0000-{'0' * 12}"
    assert pool.request("PATCH", path, body=bytes(64 * 1024), headers=headers).status == 404
    assert pool.request("GET", "/v2/", headers=headers).status == 200


def test_other_methods_are_unsupported(registry: Client) -> None:
    """OCI, "Error Codes"."""
    assert code(registry("DELETE", "manifests/1")) == (405, "UNSUPPORTED")
    assert code(registry("GET", "tags/unknown")) == (405, "UNSUPPORTED")
