"""Read a model artifact (`.tar.gz`) as a stream: names, sizes, and the first bytes of the files that the caller wants.

Nothing is unpacked to disk. Whatever the archive claims, the reader needs bounded memory and ends after a bounded time.
"""

from __future__ import annotations

import bisect
import gzip
import posixpath
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, Self, cast

from infra.diagnostics.problem import Problem
from infra.triton.rule import Rule

MAX_SECONDS = 900.0
"""The time for one archive: enough for 90 GB at 100 MB/s."""
MAX_ENTRIES = 100_000
MAX_HELD_BYTES = 32 << 20
"""Names and first bytes, which stay in memory."""
MAX_HEADER_BYTES = 1 << 20
"""A member's long name and attributes, which tarfile reads into memory; Linux allows 64 KiB for each attribute."""
MAX_NAME_BYTES = 4_095
"""Linux, PATH_MAX without its NUL."""
MAX_LINKS_IN_A_ROW = 40
"""Linux, MAXSYMLINKS."""
MAX_PROBLEMS = 20
HEAD_BYTES = 65_536
BUFFER_BYTES = 262_144
MODEL_DIRECTORY = "/opt/ml/model/"
"""Where SageMaker unpacks the artifact."""

_FORMATS = {
    b"\xfd7zXZ\0": "compressed with xz",
    b"PK\x03\x04": "a zip file",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
}
_PACK = "Pack the repository with `python -m infra model pack` or `tar czf model.tar.gz -C REPOSITORY .`"
_UNPACKED = "SageMaker, CreateModel: ModelDataUrl"

FORMAT = Rule("archive-format", "error", "SageMaker unpacks only gzip-compressed tar archives.", _PACK, _UNPACKED)
TRUNCATED = Rule(
    "archive-truncated",
    "error",
    "An archive that ends early cannot be unpacked. Only reading all of it shows this: a gzip file may have several "
    "parts, and its last bytes describe the last one.",
    "Upload it again",
    "gzip",
)
DAMAGED = Rule("archive-damaged", "error", "A damaged archive cannot be unpacked.", _PACK, "gzip, tar")
NAME = Rule("archive-name", "error", "A name that leads out of the archive is not unpacked.", _PACK, "tar")
ENTRY = Rule("archive-entry", "error", "Devices, sockets and pipes are not part of a model.", "Remove it", "tar")
LINK = Rule("archive-link", "warning", "A link out of the archive leads to nothing in the container.", _PACK, _UNPACKED)
UNREAD = Rule(
    "archive-unread",
    "warning",
    "The check reads an archive for at most 15 minutes, and a limited number of names and configurations.",
    "Set `checkArtifact: false` to skip the check",
    "this project",
)
ARCHIVE_RULES = (FORMAT, TRUNCATED, DAMAGED, NAME, ENTRY, LINK, UNREAD)


def problem(rule: Rule, text: str, file: str = ".") -> Problem:
    """A problem of an archive as a whole, or of one of its entries."""
    return Problem(rule.id, f"{text}. {rule.remedy}.", rule.severity, file=file)


class ArchiveError(Exception):
    """SageMaker cannot unpack the archive.

    Attributes:
        problem: which rule it violates, and how.
    """

    def __init__(self, rule: Rule, text: str) -> None:
        self.problem = problem(rule, text)
        super().__init__(self.problem.message)


class Source(Protocol):
    """The bytes of an archive, on disk or in S3."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def range(self, start: int, count: int) -> bytes:
        """`count` bytes, fewer at the end."""

    def open(self) -> BinaryIO:
        """A stream of all bytes."""


@dataclass(frozen=True)
class FileSource:
    """An archive on disk."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def range(self, start: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(count)

    def open(self) -> BinaryIO:
        return self.path.open("rb")


@dataclass
class Contents:
    """What an archive holds. Paths are POSIX and relative, without `./` and without a slash at the end.

    Attributes:
        directories: the directories that have an entry.
        sizes: the files, with their bytes.
        heads: the first bytes of the files that the caller wanted.
        problems: the entries that SageMaker or Triton cannot use.
        unread: why the reader stopped before the end; empty if it did not.
    """

    directories: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    heads: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: str = ""

    @property
    def top_directories(self) -> list[str]:
        """The directories that `serve` chooses a model from, hidden ones among them."""
        inside = (path for path in [*self.directories, *self.sizes] if "/" in path or path in self.directories)
        return sorted({path.partition("/")[0] for path in inside})

    def read(self, path: str, count: int) -> bytes:
        """The first bytes of a file, at most as many as the caller wanted."""
        return self.heads.get(path, b"")[:count]

    def report(self, problem: Problem) -> None:
        """Keep the first problems: an archive may have as many as entries."""
        self.problems += [problem] if len(self.problems) < MAX_PROBLEMS else []


def identify(source: Source) -> None:
    """Look at the beginning of an archive, which costs one small read.

    Raises:
        ArchiveError: it is not a `.tar.gz`.
    """
    head = source.range(0, HEAD_BYTES)
    if not head:
        raise ArchiveError(FORMAT, "the archive is empty")
    if not head.startswith(b"\x1f\x8b"):
        known = next((name for magic, name in _FORMATS.items() if head.startswith(magic)), "not compressed with gzip")
        form = "a tar archive without compression" if head[257:262] == b"ustar" else known
        raise ArchiveError(FORMAT, f"the archive is {form}, and SageMaker accepts .tar.gz only")
    try:
        block = zlib.decompressobj(wbits=31).decompress(head, tarfile.BLOCKSIZE)
    except zlib.error as error:
        raise ArchiveError(DAMAGED, f"the archive is damaged at its beginning: {error}") from None
    if len(block) == tarfile.BLOCKSIZE and block.strip(b"\0"):
        try:
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise ArchiveError(FORMAT, "the archive is compressed with gzip, but is not a tar archive") from None


def read(stream: BinaryIO, wanted: Callable[[str], int], seconds: float = MAX_SECONDS) -> Contents:
    """Read an archive from the beginning to the end.

    Args:
        stream: its bytes.
        wanted: of a path, how many first bytes of that file the caller wants.
        seconds: after this time the reader stops, and `Contents.unread` says so.

    Raises:
        ArchiveError: it is not a complete `.tar.gz`.
    """
    contents = Contents()
    links: dict[str, str | None] = {}
    held = 0
    unpacked = _Unpacked(stream, time.monotonic() + seconds)
    try:
        for number, (member, head) in enumerate(_members(unpacked, wanted)):
            path, refused = _path(member.name), _problem_of(member)
            held += len(path) + len(member.linkname) + len(head)
            if number >= MAX_ENTRIES:
                raise _Unread(f"the archive has more than {MAX_ENTRIES:,} files and directories")
            if held > MAX_HELD_BYTES:
                raise _Unread(f"the archive has names and configurations of over {MAX_HELD_BYTES:,} bytes")
            if refused:
                contents.report(refused)
            elif not path:
                continue
            elif member.isreg():
                contents.sizes[path] = member.size
                contents.heads[path] = head
            elif member.isdir():
                contents.directories.add(path)
            elif member.islnk() or member.issym():
                links[path] = _target(member)
        unpacked.drain()
    except _Unread as reason:
        contents.unread = str(reason)
    except EOFError:
        raise ArchiveError(TRUNCATED, "the archive ends before the end of its content") from None
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise ArchiveError(DAMAGED, f"the archive is damaged or not a tar archive: {error}") from None
    _follow(links, contents)
    return contents


def _members(unpacked: _Unpacked, wanted: Callable[[str], int]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=cast(BinaryIO, unpacked), mode="r|", bufsize=BUFFER_BYTES, tarinfo=_Header) as archive:
        while member := archive.next():
            vars(archive)["members"].clear()  # tarfile keeps every member otherwise
            vars(archive)["pax_headers"].clear()  # and the attributes for all files that follow
            count = wanted(_path(member.name)) if member.isreg() else 0
            content = archive.extractfile(member) if count else None
            yield member, content.read(count) if content else b""


def _path(name: str) -> str:
    """A member's path; empty for the directory around all of them."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _problem_of(member: tarfile.TarInfo) -> Problem | None:
    path = member.name[:MAX_NAME_BYTES]
    if member.name.startswith("/"):
        return problem(NAME, "the name is absolute", path)
    if ".." in member.name.split("/"):
        return problem(NAME, "the name contains `..`", path)
    if len(member.name.encode(errors="surrogateescape")) > MAX_NAME_BYTES:
        return problem(NAME, f"the name has more than {MAX_NAME_BYTES:,} bytes", path)
    if member.isdev():
        return problem(ENTRY, "is neither a file nor a directory", path)
    return None


def _target(member: tarfile.TarInfo) -> str | None:
    """The path that a link names; None outside of the archive."""
    around = "" if member.islnk() else posixpath.dirname(_path(member.name))
    target = posixpath.normpath(posixpath.join(MODEL_DIRECTORY, around, member.linkname))
    return target.removeprefix(MODEL_DIRECTORY) if target.startswith(MODEL_DIRECTORY) else None


def _next(links: dict[str, str | None], path: str) -> str | None:
    """What a path leads to if it, or a directory in it, is a link; else the path."""
    for directory in (path, *map(str, PurePosixPath(path).parents)):
        if directory in links:
            target = links[directory]
            return target and (target + path[len(directory) :])[:MAX_NAME_BYTES]
    return path


def _follow(links: dict[str, str | None], contents: Contents) -> None:
    """List a link to a file as that file, and one to a directory with the files in it."""
    paths = sorted(contents.sizes)
    for path, target in links.items():
        for _ in range(MAX_LINKS_IN_A_ROW):
            before, target = target, _next(links, target) if target else None
            if target == before:
                break
        if target in contents.sizes:
            linked = [target]
        else:
            inside = f"{target}/"
            start, end = bisect.bisect(paths, inside), bisect.bisect(paths, f"{inside}\U0010ffff")
            linked = paths[start:end][: MAX_ENTRIES - len(contents.sizes)] if target else []
            if linked or target in contents.directories:
                contents.directories.add(path)
            else:
                contents.report(problem(LINK, "links to something outside of the archive, or to nothing", path))
        for file in linked:
            alias = path + file[len(str(target)) :]
            contents.sizes[alias] = contents.sizes[file]
            contents.heads[alias] = contents.heads[file]


class _Unread(Exception):
    """Why the reader stops."""


class _Header(tarfile.TarInfo):
    """A header that fits into memory, and an error where tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and buf.strip(b"\0"):
                raise tarfile.ReadError(f"a header is invalid: {error}") from None
            raise
        if header.type not in tarfile.REGULAR_TYPES and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims {header.size:,} bytes, more than {MAX_HEADER_BYTES:,}")
        return header


class _Unpacked:
    """The content of a gzip file. At its end comes an error: tarfile would go on for as long as a header claims."""

    def __init__(self, compressed: BinaryIO, deadline: float) -> None:
        self._stream = gzip.GzipFile(fileobj=compressed, mode="rb")
        self._deadline = deadline
        self._ended = False

    def read(self, size: int) -> bytes:
        self._require_time()
        chunk = self._stream.read(size)
        if not chunk and self._ended:
            raise EOFError
        self._ended = not chunk
        return chunk

    def _require_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise _Unread("the archive cannot be read in time")

    def drain(self) -> None:
        """Read what follows the end of the tar archive: only then gzip has compared its checksum."""
        while self._stream.read(BUFFER_BYTES):
            self._require_time()
