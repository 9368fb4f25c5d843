"""The model check of an artifact (`.tar.gz`): its form, then the repository in it by the rules of one on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from infra.aws.hardware import Hardware
from infra.diagnostics.problem import Problem
from infra.triton.archive import UNREAD, ArchiveError, Source, identify, problem, read
from infra.triton.check import check_repository
from infra.triton.listing import MAX_READ_BYTES, Listing, is_read
from infra.triton.pack import Progress


@dataclass(frozen=True)
class ArtifactTarget:
    """What an artifact is deployed on; see `check_repository`."""

    default_model: str | None = None
    hardware: Hardware | None = None
    environment: Mapping[str, str] | None = None
    image: str | None = None


def check_artifact(source: Source, target: ArtifactTarget, progress: Progress | None = None) -> list[Problem]:
    """What keeps SageMaker from unpacking an artifact, or Triton from serving it.

    Args:
        source: the archive, which is read once.
        progress: called with the bytes read so far and the bytes of the archive.

    Returns:
        Nothing about the models if the archive itself has an error, or cannot be read to its end.
    """
    try:
        identify(source)
        with source.open() as stream:
            contents = read(cast(BinaryIO, _Watched(stream, source.size, progress)), _wanted)
    except ArchiveError as error:
        return [error.problem]
    if contents.unread:
        return [*contents.problems, problem(UNREAD, contents.unread)]
    if any(entry.severity == "error" for entry in contents.problems):
        return contents.problems
    models = check_repository(
        Listing.of(contents.directories, contents.sizes, contents.read),
        target.default_model,
        hardware=target.hardware,
        environment=target.environment,
        image=target.image,
    )
    return [*contents.problems, *models]


def _wanted(path: str) -> int:
    return MAX_READ_BYTES if is_read(path) else 0


class _Watched:
    """A stream that reports how far it was read."""

    def __init__(self, stream: BinaryIO, size: int, progress: Progress | None) -> None:
        self._stream, self._size, self._progress = stream, size, progress
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._read += len(chunk)
        if self._progress:
            self._progress(self._read, self._size)
        return chunk
