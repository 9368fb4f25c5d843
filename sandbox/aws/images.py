"""The image accounts of AWS: who publishes `sagemaker-tritonserver` where, and a small image in its place.

The account of each region is AWS's: of the releases up to 23.10 as in the `account_id_map` of the Triton examples in
aws/amazon-sagemaker-examples, of the later ones as in `image_uri_config/sagemaker-tritonserver.json` of
aws/sagemaker-python-sdk. The product has these tables too, and they are kept apart on purpose: a stand-in that took the
product's word for them could not show it wrong.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

REPOSITORY: Final = "sagemaker-tritonserver"

PLATFORM: Final = "linux/amd64"
MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG: Final = "application/vnd.docker.container.image.v1+json"
LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _tags(first: str, last: str) -> tuple[str, ...]:
    """Those of all monthly releases from `YY.MM` to `YY.MM`. AWS left some of these out."""
    months = range(12 * int(first[:2]) + int(first[3:]) - 1, 12 * int(last[:2]) + int(last[3:]))
    releases = [f"{month // 12}.{month % 12 + 1:02}-py3" for month in months]
    return tuple(tag for release in releases for tag in (release, f"{release}-cpu"))


_UP_TO_23_10: Final = _tags("22.07", "23.10")
_SINCE_23_12: Final = _tags("23.12", "26.05")

_ACCOUNTS_UP_TO_23_10: Final[Mapping[str, str]] = {
    "af-south-1": "774647643957",
    "ap-east-1": "110948597952",
    "ap-northeast-1": "941853720454",
    "ap-northeast-2": "151534178276",
    "ap-south-1": "763008648453",
    "ap-southeast-1": "324986816169",
    "ap-southeast-2": "355873309152",
    "ca-central-1": "464438896020",
    "cn-north-1": "472730292857",
    "cn-northwest-1": "474822919863",
    "eu-central-1": "746233611703",
    "eu-north-1": "601324751636",
    "eu-south-1": "966458181534",
    "eu-west-1": "802834080501",
    "eu-west-2": "205493899709",
    "eu-west-3": "254080097072",
    "me-south-1": "836785723513",
    "sa-east-1": "756306329178",
    "us-east-1": "785573368785",
    "us-east-2": "007439368137",
    "us-west-1": "710691900526",
    "us-west-2": "301217895009",
}

_ACCOUNTS_SINCE_23_12: Final[Mapping[str, str]] = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-1": "763104351884",
    "ap-northeast-2": "763104351884",
    "ap-northeast-3": "364406365360",
    "ap-south-1": "763104351884",
    "ap-south-2": "772153158452",
    "ap-southeast-1": "763104351884",
    "ap-southeast-2": "763104351884",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-central-1": "763104351884",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-1": "763104351884",
    "eu-central-2": "380420809688",
    "eu-north-1": "763104351884",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "eu-west-1": "763104351884",
    "eu-west-2": "763104351884",
    "eu-west-3": "763104351884",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "mx-central-1": "637423239942",
    "sa-east-1": "763104351884",
    "us-east-1": "763104351884",
    "us-east-2": "763104351884",
    "us-west-1": "763104351884",
    "us-west-2": "763104351884",
}


def published_tags(account: str, region: str) -> tuple[str, ...]:
    """The tags of `sagemaker-tritonserver` in an account's registry of a region; none where it is not AWS's there."""
    families = ((_ACCOUNTS_UP_TO_23_10, _UP_TO_23_10), (_ACCOUNTS_SINCE_23_12, _SINCE_23_12))
    return tuple(tag for accounts, tags in families if accounts.get(region) == account for tag in tags)


@dataclass(frozen=True)
class PublishedImage:
    """One linux/amd64 image: a Docker schema 2 manifest, and the bytes of its config and layers by digest."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


@cache
def published_image(tag: str) -> PublishedImage:
    """The image of a tag: 20 MiB in seven layers, the same bytes at every start, made when first asked for.

    As in real images two layers of metadata-only steps are the same empty archive, and versions share layers: those of
    a year all but the last ones, so that many of them take little memory.
    """
    layers = list(_layers(tag))
    config = _json(_config(tag, layers))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, config, digest_of(config)),
        "layers": [_descriptor(LAYER, layer.compressed, layer.digest) for layer in layers],
    }
    blobs = {digest_of(config): config, **{layer.digest: layer.compressed for layer in layers}}
    return PublishedImage(_json(manifest, indent=3), blobs)


def published_blob(digest: str) -> bytes:
    """The bytes of a config or layer of any published image; raises `KeyError` for a digest of none."""
    for tag in _UP_TO_23_10 + _SINCE_23_12:
        if digest in (blobs := published_image(tag).blobs):
            return blobs[digest]
    raise KeyError(digest)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class _Layer:
    """A layer as it is transferred, and the digests of that and of its archive when unpacked."""

    compressed: bytes
    digest: str
    diff_id: str


_MIB: Final = 1024 * 1024
_OS_RELEASE: Final = b'NAME="Ubuntu"\nVERSION_ID="22.04"\n'
_SERVE: Final = b"""#!/bin/bash
exec tritonserver --model-repository=/opt/ml/model --allow-sagemaker=true --allow-grpc=false --allow-http=false
"""


def _layers(tag: str) -> Iterator[_Layer]:
    year = tag.partition(".")[0]
    yield _layer("etc/os-release", _OS_RELEASE)
    yield _layer("usr/lib/x86_64-linux-gnu/libcudart.so", _noise("libcudart", 3 * _MIB))
    yield _layer()
    yield _layer("opt/tritonserver/lib/libtritonserver.so", _noise("libtritonserver", 11 * _MIB))
    yield _layer("opt/tritonserver/backends/python/libtriton_python.so", _noise(f"python {year}", 6 * _MIB))
    yield _layer("usr/bin/serve", _SERVE + f"# {tag}\n".encode())
    yield _layer()


@cache
def _layer(path: str | None = None, content: bytes = b"") -> _Layer:
    """An archive of one file, or of none."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        if path is not None:
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    unpacked = archive.getvalue()
    # Stored, not deflated: noise does not shrink, and trying takes a second.
    compressed = gzip.compress(unpacked, compresslevel=0, mtime=0)
    return _Layer(compressed, digest_of(compressed), digest_of(unpacked))


@cache
def _noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _config(tag: str, layers: list[_Layer]) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/opt/nvidia/nvidia_entrypoint.sh"],
            "Env": ["PATH=/opt/tritonserver/bin:/usr/bin:/bin", f"NVIDIA_TRITON_SERVER_VERSION={tag}"],
            "Labels": {"com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true"},
            "WorkingDir": "/opt/tritonserver",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }


def _descriptor(media_type: str, content: bytes, digest: str) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(content), "digest": digest}


def _json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()
