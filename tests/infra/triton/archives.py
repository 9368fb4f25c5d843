"""Archives built block by block: well-formed ones, and ones whose headers lie."""

from __future__ import annotations

import gzip
import io
import tarfile
from functools import partial

from infra.triton.model_files import ModelFiles
from infra.triton.sample_request import SampleRequest, request_for_files

compress = partial(gzip.compress, mtime=0)  # parallel workers of pytest must collect the same parameters


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> bytes:
    """The header of a member that claims a size."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, linkname
    return member.tobuf(tarfile.GNU_FORMAT)


def pax(*records: str, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A header of attributes."""
    body = b""
    for record in records:
        length = len(record) + 3
        while len(line := f"{length} {record}\n".encode()) != length:
            length = len(line)
        body += line
    return header("pax", len(body), kind) + body.ljust(-(-len(body) // 512) * 512, b"\0")


def member(name: str, content: bytes = b"") -> bytes:
    return header(name, len(content)) + content.ljust(-(-len(content) // 512) * 512, b"\0")


def directory(name: str) -> bytes:
    return header(name, 0, tarfile.DIRTYPE)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    return header(name, 0, kind, target)


def archive(*parts: bytes) -> bytes:
    return compress(b"".join([*parts, bytes(1024)]))


def request_for_artifact(content: bytes, default_model: str | None) -> SampleRequest:
    """The sample request for the default model of an artifact."""
    return request_for_files(ModelFiles.of_artifact(io.BytesIO(content), default_model))
