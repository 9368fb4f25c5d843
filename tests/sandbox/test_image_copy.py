"""Copies between real registries over a network that fails: the image arrives byte for byte, or one error says why not.

The destination is the sandbox's ECR; the source is ECR too, and Debian's docker-registry where it is installed.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.config import Config

from benchmarks.image import Image
from benchmarks.registries import Source
from infra.image import download, http
from infra.image.copy import Progress, copy_image
from infra.image.errors import ImageCopyError, ImageTagConflict, TransferFailed
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Retry
from sandbox.link import Fault, Kind, Link, Side
from tests.sandbox.conftest import ACCOUNT, REGION, AwsProcess, unique

MIB = 1024 * 1024
LAYERS = (16 * MIB, 300 * 1024, 3 * MIB + 17)
"""One layer is longer than ECR's parts are, so that it can be continued."""

BLOB = "GET .*/(blobs|_layers)/sha256"
UPLOAD = "(PUT|PATCH) .*/blobs/uploads/"
SECONDS = 1.0
"""How long a connection may be silent."""


@dataclass
class World:
    """An image in a source and an empty repository; all requests but those of AWS's own API pass the links.

    Attributes:
        reach: leads to the source, `arrive` to the destination; they are one where both are ECR.
    """

    aws: AwsProcess
    image: Image
    source: ImageReference
    destination: ImageReference
    reach: Link
    arrive: Link
    pauses: list[float]

    @property
    def registries(self) -> Registries:
        """With as many tries as the program makes, and no pauses between them."""
        return Registries(lambda service, region: self.aws.client(service, region), Retry(sleep=self.pauses.append))

    @property
    def first_layer(self) -> str:
        """The pattern of its downloads: long enough for each of two faults, whichever layer is downloaded first."""
        return f"{BLOB}.*{self.image.digests[0].removeprefix('sha256:')}"

    def copy(self, progress: Callable[[Progress], None] = lambda progress: None) -> None:
        """Copy the image, which then is in the destination byte for byte."""
        copied = copy_image([self.source], self.destination, self.registries, progress)
        assert copied.digest == self.image.digest
        self.check()

    def check(self) -> None:
        assert (self.reach.outstanding, self.arrive.outstanding) == (0, 0), "a fault has not happened"
        assert self.tags() == {"1": self.image.digest}
        token = self.aws.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
        url = f"{self.arrive.url}/v2/{self.destination.repository}"
        headers = {"Authorization": f"Basic {token}"}
        assert urllib3.request("GET", f"{url}/manifests/1", headers=headers).data == self.image.manifest
        for digest in self.image.digests:
            blob = urllib3.request("GET", f"{url}/blobs/{digest}", headers=headers).data
            assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == digest

    def fail(self) -> ImageCopyError:
        """The error of a copy, after which the destination shows no image, and a copy over a good network succeeds."""
        with pytest.raises(ImageCopyError) as failure:
            copy_image([self.source], self.destination, self.registries)
        assert self.tags() == {}
        assert not [
            secret for secret in ("X-Amz-", "Basic", self.aws.access_key.secret) if secret in str(failure.value)
        ]
        return failure.value

    def tags(self) -> dict[str, str]:
        details = self.aws.client("ecr").describe_images(repositoryName=self.destination.repository)["imageDetails"]
        return {tag: detail["imageDigest"] for detail in details for tag in detail.get("imageTags", [])}

    def push(self, image: Image, tag: str) -> None:
        """Push an image to the source's repository."""
        if self.source.ecr:
            token = self.aws.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
            image.push(self.reach.url, self.source.repository, tag, token)
        else:
            image.push(self.reach.url, self.source.repository, tag)


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy of this machine, and a cache of its own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source | None]:
    """Debian's docker-registry, if it is installed."""
    if shutil.which("docker-registry") is None:
        yield None
        return
    source = Source(tmp_path_factory.mktemp("debian") / "source", None)
    yield source
    source.close()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.create(tmp_path_factory.mktemp("image") / "blobs", LAYERS)


@pytest.fixture(params=["ECR", "docker-registry"])
def world(
    request: pytest.FixtureRequest,
    aws: AwsProcess,
    debian: Source | None,
    image: Image,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    if request.param == "docker-registry" and debian is None:
        pytest.skip("docker-registry is not installed (Debian: apt install docker-registry)")
    monkeypatch.setattr(http, "_TIMEOUT", urllib3.Timeout(connect=SECONDS, read=SECONDS))
    conditions, ecr = aws.conditions(), aws.client("ecr")
    (granted,) = ecr.get_authorization_token()["authorizationData"]
    arrive = Link(granted["proxyEndpoint"])
    reach = Link(debian.host) if debian and request.param == "docker-registry" else arrive
    aws.impose(proxyEndpoint=arrive.url)
    source, destination = unique("source"), unique("destination")
    registry = ImageReference.in_ecr(ACCOUNT, REGION, destination, tag="1")
    for repository in (source, destination):
        ecr.create_repository(repositoryName=repository)
    named = replace(registry, repository=source)
    if reach is not arrive:
        named = ImageReference.parse(f"{reach.host}/{source}:1")
    world = World(aws, image, named, registry, reach, arrive, [])
    world.push(image, "1")
    yield world
    aws.impose(**conditions)
    for link in (reach, arrive):
        link.close()


# The source


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CLOSE, Kind.STALL])
def test_a_download_that_breaks_goes_on(world: World, kind: Kind) -> None:
    world.reach.befall(*(Fault(kind, world.first_layer, Side.RESPONSE, after=after) for after in (10, 200_000)))
    world.copy()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_source_that_is_overloaded_is_asked_again(world: World, status: int) -> None:
    world.reach.befall(Fault.status(status, "GET ", times=4))
    world.copy()


def test_a_source_that_stays_overloaded_is_one_error(world: World) -> None:
    world.reach.befall(Fault.status(503, BLOB, times=1000))
    error = world.fail()
    assert isinstance(error, TransferFailed)
    assert "503" in str(error)


def test_a_wrong_length_is_one_error(world: World) -> None:
    world.reach.befall(Fault(Kind.LENGTH, BLOB, Side.RESPONSE))
    assert "bytes in the registry" in str(world.fail())
    world.copy()


def test_a_source_that_sends_byte_by_byte_is_one_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(download, "BLOCK_SECONDS", 0.3)
        world.reach.rate = 1000
        assert isinstance(world.fail(), TransferFailed)
    world.reach.rate = None
    world.copy()


def test_a_corrupt_download_is_never_an_image(world: World) -> None:
    """The layer is read whole before its digest shows: one error, and the next copy reads it again."""
    world.reach.befall(Fault(Kind.CORRUPT, BLOB, Side.RESPONSE, after=100_000))
    assert "digest" in str(world.fail())
    world.copy()


def test_a_tag_that_moves_during_the_copy_is_one_error(world: World, tmp_path: Path) -> None:
    """Two images are not mixed, and the next copy is one of the tag's new image."""
    other = Image.create(tmp_path / "other", (4096,))
    moves = iter([lambda: world.push(other, "1")])
    with pytest.raises(ImageTagConflict):
        world.copy(lambda progress: next(moves, lambda: None)())
    assert world.tags() == {}
    copy_image([world.source], world.destination, world.registries)
    assert world.tags() == {"1": other.digest}


def test_addresses_that_expire_are_asked_for_again(world: World) -> None:
    if world.source.ecr is None:
        pytest.skip("only ECR hands out addresses that expire")
    world.aws.impose(layerUrlSeconds=1)
    world.reach.befall(*(Fault(Kind.STALL, world.first_layer, Side.RESPONSE, after=after) for after in (1000, 500_000)))
    world.copy()


def test_addresses_that_are_never_good_are_one_error(world: World) -> None:
    if world.source.ecr is None:
        pytest.skip("only ECR hands out addresses that expire")
    world.aws.impose(layerUrlSeconds=0)
    assert "403" in str(world.fail())


# The destination. Which the source is makes no difference to it.

from_ecr = pytest.mark.parametrize("world", ["ECR"], indirect=True)


@from_ecr
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CLOSE, Kind.STALL])
@pytest.mark.parametrize("after", [0, 100_000, 12 * MIB, 15 * MIB])
def test_an_upload_that_breaks_goes_on(world: World, kind: Kind, after: int) -> None:
    """Both ways: ECR's last part is too small to go on behind it (12 MiB), or not (15 MiB)."""
    world.arrive.befall(Fault(kind, UPLOAD, after=after))
    world.copy()


@from_ecr
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CLOSE])
def test_a_lost_answer_is_no_lost_layer(world: World, kind: Kind) -> None:
    """ECR has the layer, and does not know the upload any more."""
    world.arrive.befall(Fault(kind, UPLOAD, Side.RESPONSE, times=len(world.image.digests)))
    world.copy()


@from_ecr
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_destination_that_is_overloaded_is_asked_again(world: World, status: int) -> None:
    world.arrive.befall(Fault.status(status, "POST ", times=3), Fault.status(status, UPLOAD, times=3))
    world.copy()


@from_ecr
def test_a_destination_that_asks_for_patience_gets_it(world: World) -> None:
    world.arrive.befall(Fault.status(429, "POST ", headers="Retry-After: 7\r\n"))
    world.copy()
    assert max(world.pauses) >= 7


@from_ecr
def test_a_destination_whose_disk_is_full_is_one_error(world: World) -> None:
    world.arrive.befall(Fault.status(507, UPLOAD, times=1000))
    assert "507" in str(world.fail())


@from_ecr
def test_bytes_that_change_on_the_way_are_sent_again(world: World) -> None:
    """ECR refuses their digest."""
    world.arrive.befall(Fault(Kind.CORRUPT, UPLOAD, after=100_000))
    world.copy()


@from_ecr
def test_a_token_that_expires_is_renewed(world: World) -> None:
    world.aws.impose(authorizationTokenSeconds=0)

    def sleep(seconds: float) -> None:
        world.aws.impose(authorizationTokenSeconds=3600)

    copy_image([world.source], world.destination, replace(world.registries, retry=Retry(sleep=sleep)))
    world.check()


@from_ecr
@pytest.mark.parametrize("operation", ["InitiateLayerUpload", "CompleteLayerUpload", "PutImage", "BatchGetImage"])
def test_calls_that_are_throttled_are_made_again(world: World, operation: str) -> None:
    world.aws.impose(throttle={f"ecr.{operation}": 2})
    key, retries = world.aws.access_key, Config(retries={"mode": "standard", "max_attempts": 5})
    session = boto3.session.Session(key.id, key.secret, region_name=REGION)
    client = session.client("ecr", endpoint_url=world.aws.url, config=retries)
    copy_image([world.source], world.destination, replace(world.registries, client=lambda *_: client))
    world.check()


# Here


@from_ecr
def test_a_cache_that_cannot_be_written_costs_no_image(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/full")
    world.arrive.befall(Fault(Kind.RESET, UPLOAD, after=12 * MIB))
    world.copy()


@from_ecr
@pytest.mark.parametrize("seed", [0, *(pytest.param(number, marks=pytest.mark.soak) for number in range(1, 17))])
def test_a_copy_that_is_killed_goes_on(world: World, seed: int) -> None:
    """At moments drawn at random, three times over, before one copy is let through."""
    draw = random.Random(seed)
    for _ in range(3):
        _kill(world, draw.uniform(0.0, 1.1) * world.image.size)
        assert world.tags() in ({}, {"1": world.image.digest})
    world.copy()


def _kill(world: World, after: float) -> None:
    """Copy in a process of its own, which is killed when the destination has got so many bytes."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": world.aws.url,
        "AWS_ACCESS_KEY_ID": world.aws.access_key.id,
        "AWS_SECRET_ACCESS_KEY": world.aws.access_key.secret,
        "AWS_DEFAULT_REGION": REGION,
    }
    before = world.arrive.sent
    process = subprocess.Popen(
        [sys.executable, "-m", "infra", "mirror", str(world.source), str(world.destination)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        if world.arrive.sent - before >= after:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.002)
    assert process.returncode in (0, -signal.SIGKILL)
