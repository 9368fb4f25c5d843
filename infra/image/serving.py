"""Whether an image serves Triton on SageMaker: its `serve`, and its labels.

SageMaker runs `docker run IMAGE serve` (SageMaker guide, "Custom Inference Code with Hosting Services"). The program is
in the PATH of the image; Triton's is docker/sagemaker/serve of triton-inference-server/server.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from infra.image.errors import ImageNotVerified
from infra.image.manifest import UNREADABLE, Descriptor
from infra.image.retry import Retry
from infra.image.source import SourceImage

LABELS = {"com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true"}
"""Labels that SageMaker reads: the container listens on `SAGEMAKER_BIND_TO_PORT` (SageMaker guide, "Custom Containers
Contract for Multi-Model Endpoints", "Create an inference pipeline")."""

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check_serving(image: SourceImage, retry: Retry) -> None:
    """Read the configuration, and layers until one has `serve`: the smallest ones first, as Triton's has some kB.

    Raises:
        ImageNotVerified: the image lacks the program or a label.
    """
    settings = _settings(image.config(retry), str(image.reference))
    labels = settings.get("Labels") or {}
    problems = [f"label {name}={value}" for name, value in LABELS.items() if labels.get(name) != value]
    path = next((entry[5:] for entry in settings.get("Env") or [] if entry.startswith("PATH=")), _DEFAULT_PATH)
    programs = {f"{directory.strip('/')}/serve" for directory in path.split(":")}
    smallest_first = sorted(image.manifest.layers, key=lambda layer: layer.size)
    if not any(programs & set(_files(image, layer, retry)) for layer in smallest_first):
        problems.append("a program `serve` in its PATH")
    if problems:
        raise ImageNotVerified(
            f"{image.reference} lacks {' and '.join(problems)}, which Triton's images for SageMaker have. Use "
            "AWS's image or one of nvcr.io/nvidia/tritonserver, or build yours from one of them."
        )


def _settings(config: bytes, image: str) -> dict[str, Any]:
    """What containers of the image run with (OCI image-spec, "Image Configuration", `config`)."""
    try:
        settings: dict[str, Any] = json.loads(config).get("config") or {}
        _ = {**(settings.get("Labels") or {})}, [entry.startswith("") for entry in settings.get("Env") or []]
        return settings
    except UNREADABLE:
        raise ImageNotVerified(f"{image}: its configuration cannot be read. Push the image again.") from None


def _files(image: SourceImage, layer: Descriptor, retry: Retry) -> Iterator[str]:
    """The paths in a layer, without the first `/`."""
    with closing(image.reader(layer, retry)) as reader:
        stream = io.BufferedReader(_Stream(reader.blocks(0, layer.size)))
        try:
            with tarfile.open(fileobj=stream, mode="r|gz") as archive:
                for member in archive:
                    yield member.name.removeprefix("./").lstrip("/")
        except (tarfile.TarError, zlib.error, EOFError, OSError):
            raise ImageNotVerified(
                f"{image.reference}: layer {layer.digest} is not a gzip tar. Push the image again."
            ) from None


class _Stream(io.RawIOBase):
    """A file of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._blocks, b"")
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
