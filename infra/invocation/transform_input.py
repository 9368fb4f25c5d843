"""The records of a transform job: files on this machine, or objects in S3, which are checked before a job starts.

The instances of a job start within minutes, and only then does a wrong record fail it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.aws.errors import aws_calls
from infra.aws.s3_location import S3Location
from infra.aws.s3_object import S3Object
from infra.errors import UserError

MEGABYTE = 1_000_000
"""AWS does not document whether MaxPayloadInMB counts 1,000,000 or 1,048,576 bytes; the smaller one always fits."""


class InvalidTransform(UserError):
    """A transform job that would fail is not started; the message says why."""

    exit_code = 2


@dataclass(frozen=True)
class InputObject:
    """One file or object of records.

    Attributes:
        path: relative to the input; the output is this path with `.out` at its end.
        source: the file or object, for errors.
        head: reads the first bytes.
    """

    path: str
    size: int
    source: str
    head: Callable[[int], bytes]


@dataclass(frozen=True)
class TransformInput:
    """The objects that one job transforms.

    Attributes:
        source: what the caller named.
    """

    source: str
    objects: tuple[InputObject, ...]

    @property
    def size(self) -> int:
        """The bytes of all objects."""
        return sum(entry.size for entry in self.objects)

    def first_record(self, by_line: bool, max_payload_mb: int) -> tuple[bytes, str]:
        """The first record, and where it is.

        Args:
            by_line: whether a record is a line; else it is a whole object.

        Raises:
            InvalidTransform: it is empty, or a record is larger than the payload of a request.
        """
        limit, first = max_payload_mb * MEGABYTE, self.objects[0]
        if not by_line:
            largest = max(self.objects, key=lambda entry: entry.size)
            if largest.size > limit:
                raise InvalidTransform(
                    f"{largest.source} has {largest.size:,} bytes, more than the {max_payload_mb} MB that a request "
                    "may have. Raise --max-payload-mb, to at most 100 (CreateTransformJob, MaxPayloadInMB)."
                )
            return first.head(first.size), first.source
        head = first.head(limit + 1)
        line, newline, _ = head.partition(b"\n")
        if not newline and len(head) > limit:
            raise InvalidTransform(
                f"{first.source}: line 1 has more than the {max_payload_mb} MB that a request may have. Raise "
                "--max-payload-mb, or use --whole-files if the file is one request."
            )
        if not line.strip():
            raise InvalidTransform(f"{first.source}: line 1 is empty, and each line must be a request.")
        return line, f"{first.source}: line 1"


def stored_input(s3: Any, location: S3Location) -> tuple[TransformInput, S3Location]:
    """The objects at an S3 URI, which names an object or a directory, and the prefix of the job.

    Raises:
        InvalidTransform: there is no object that is not empty, or the job would read more than the address names.
        AwsRequestRefused: the bucket does not exist, or the caller may not read it.
    """
    entries = list(location.objects(s3))
    if any(entry.key == location.key for entry in entries):
        if others := [entry.key for entry in entries if entry.key != location.key]:
            raise InvalidTransform(
                f"{location}: SageMaker reads every object whose key begins with that of the input, also {others[0]}. "
                "Move one of them."
            )
        directory = location.key.rpartition("/")[0]
        prefix = f"{directory}/" if directory else ""
    else:
        location = location.directory
        prefix = location.key
    objects = [
        InputObject(entry.key.removeprefix(prefix), entry.size, str(at), partial(_head, s3, at))
        for entry in entries
        if entry.key.startswith(prefix)
        for at in [S3Location(location.bucket, entry.key)]
    ]
    return _checked(str(location), objects), location


def local_input(path: Path) -> TransformInput:
    """A file, or the files below a directory without hidden ones.

    Raises:
        InvalidTransform: the path does not exist, cannot be read, or has no file that is not empty.
    """
    try:
        if not path.exists():
            raise InvalidTransform(f"{path} does not exist.")
        root = _root(path)
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        objects = [
            InputObject(relative.as_posix(), size, str(file), partial(_head_of_file, file))
            for file in files
            for relative, size in [(file.relative_to(root), file.stat().st_size)]
            if size and not any(part.startswith(".") for part in relative.parts)
        ]
    except OSError as error:
        raise InvalidTransform(f"cannot read {error.filename}: {error.strerror}.") from None
    return _checked(str(path), objects)


def upload(s3: Any, path: Path, records: TransformInput, target: S3Location) -> None:
    """Upload the files of a local input below `target`.

    Raises:
        AwsRequestRefused: S3 refuses the upload.
        InvalidTransform: a file cannot be read any more.
    """
    root = _root(path)
    for entry in records.objects:
        location = S3Location(target.bucket, f"{target.key}{entry.path}")
        try:
            with aws_calls(str(location)):
                s3.upload_file(str(root / entry.path), location.bucket, location.key)
        except OSError as error:
            raise InvalidTransform(f"cannot read {entry.source}: {error.strerror}.") from None


def source(text: str) -> S3Location | Path:
    """An S3 URI, or a path."""
    return S3Location.parse(text) if text.startswith("s3:") else Path(text)


def _root(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _checked(source: str, objects: list[InputObject]) -> TransformInput:
    if not objects:
        raise InvalidTransform(f"{source} has no records: it is empty, or all its files are.")
    return TransformInput(source, tuple(objects))


def _head(s3: Any, location: S3Location, count: int) -> bytes:
    return S3Object.find(s3, location.bucket, location.key).range(0, count)


def _head_of_file(file: Path, count: int) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise InvalidTransform(f"cannot read {file}: {error.strerror}.") from None
