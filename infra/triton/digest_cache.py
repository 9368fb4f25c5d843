"""Recognize a model repository whose digest was computed before, without reading its files again.

Metadata identify the files: path, size, device, inode, mtime and ctime. A program can set the mtime of a file but not
its ctime, so a write that keeps size and mtime is noticed. The cache never trusts a file that was written within
`SETTLED_SECONDS` before it was read (one that Git calls "racy"): a later write could get the same timestamp, or none,
because a page that a process has mapped gets a timestamp only after the kernel has written it back.

The cache holds one line for each repository, in `$XDG_CACHE_HOME/triton-sagemaker/digests` (`~/.cache` by default). If
it cannot be read or written, the files are read. A wrong line could hide a new model, but never release a wrong one:
packing compares the digest of what it packs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra.triton import pack

SETTLED_SECONDS = 60
"""Longer than Linux leaves a mapped page unwritten (30 s), than a timestamp of FAT lasts (2 s), and than the clock of a
file server usually differs."""


def digest(root: Path, directories: Iterable[str], files: Mapping[str, Path]) -> str:
    """The digest of a repository's content, hexadecimal: from the cache if nothing changed, else from its files.

    Args:
        root: where the repository is, the key of its line in the cache.
        directories: their paths in the repository.
        files: the path in the repository and the file on disk.
    """
    directories, started = tuple(directories), time.time()
    metadata, newest = _metadata(directories, files)
    line = _line(root)
    if known := _read(line, metadata):
        return known
    computed = pack.content_digest(directories, files)
    if newest < started - SETTLED_SECONDS and _metadata(directories, files)[0] == metadata:
        _write(line, f"{metadata} {computed}\n")
    return computed


def _metadata(directories: Iterable[str], files: Mapping[str, Path]) -> tuple[str, float]:
    """A digest of what identifies the files, and the newest of their timestamps, in seconds since the epoch."""
    identity, newest = hashlib.sha256(), 0.0
    for directory in directories:
        identity.update(f"{directory}/\0".encode())
    for path, file in files.items():
        stat = file.stat()
        identity.update(f"{path}\0{stat.st_size} {stat.st_dev} {stat.st_ino} ".encode())
        identity.update(f"{stat.st_mtime_ns} {stat.st_ctime_ns}\0".encode())
        newest = max(newest, stat.st_mtime, stat.st_ctime)
    return identity.hexdigest(), newest


def _line(root: Path) -> Path | None:
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home directory
        return None
    return cache / "triton-sagemaker" / "digests" / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()


def _read(line: Path | None, metadata: str) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if line and (known := re.fullmatch(rf"{metadata} ([0-9a-f]{{64}})\n", line.read_text())):
            return known[1]
    return None


def _write(line: Path | None, text: str) -> None:
    """Write all or nothing, even if two commands write at once."""
    if line is None:
        return
    with contextlib.suppress(OSError):
        line.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=line.parent, delete=False) as partial:
            partial.write(text)
        Path(partial.name).replace(line)
