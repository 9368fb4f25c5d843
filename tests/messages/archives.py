"""Artifacts: for each rule about archives one that violates it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from infra.triton.archive import UNREAD, problem
from infra.triton.artifact import ArtifactTarget, check_artifact
from tests.infra.triton.archives import archive, header, link, member
from tests.messages.golden import Example

TITLE = "Artifacts"
MODEL = (member("m/config.pbtxt", b'backend: "python"'), member("m/1/model.py", bytes(range(256)) * 9))


@dataclass(frozen=True)
class Content:
    """An archive in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def range(self, start: int, count: int) -> bytes:
        return self.content[start : start + count]

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content)


ARCHIVES = {
    "model.tar.gz without a byte": b"",
    "tar cf model.tar.gz": b"".join(MODEL),
    "zip model.tar.gz": b"PK\x03\x04",
    "model.tar.gz without its last bytes": archive(*MODEL)[:-9],
    "model.tar.gz with an invalid header": archive(*MODEL, b"\xff" * 512),
    "model.tar.gz with /m/1/model.py": archive(member("/m/1/model.py")),
    "model.tar.gz with m/../../etc/passwd": archive(member("m/../../etc/passwd")),
    "model.tar.gz with a pipe": archive(*MODEL, header("m/pipe", 0, tarfile.FIFOTYPE)),
    "model.tar.gz with a link": archive(*MODEL, link("m/weights", "/mnt/weights")),
}


def examples() -> Iterator[Example]:
    """Every archive with its problems."""
    for written, content in ARCHIVES.items():
        yield Example(written, tuple(check_artifact(Content(content), ArtifactTarget("m"))))
    yield Example("model.tar.gz of 200 GB", (problem(UNREAD, "the archive cannot be read in time"),))
