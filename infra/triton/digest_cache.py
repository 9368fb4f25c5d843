"""Recognize a model repository whose digest was computed before, without reading its files again.

Metadata identify the files: path, size, device, inode, mtime and ctime. A program can set the mtime of a file but not
its ctime, so a write that keeps size and mtime is noticed. The cache never trusts a file that was written within
`SETTLED_SECONDS` before it was read (one that Git calls "racy"): a later write could get the same timestamp, or none,
because a page that a process has mapped gets a timestamp only after the kernel has written it back.

A wrong entry of the cache could hide a new model, but never release a wrong one: packing compares the digest of what it
packs.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra import cache
from infra.triton import pack

SETTLED_SECONDS = 60
"""Longer than Linux leaves a mapped page unwritten (30 s), than a timestamp of FAT lasts (2 s), and than the clock of a
file server usually differs."""


def digest(root: Path, directories: Iterable[str], files: Mapping[str, Path]) -> str:
    """The digest of a repository's content, hexadecimal: from the cache if nothing changed, else from its files.

    Args:
        root: where the repository is, the key in the cache.
        directories: their paths in the repository.
        files: the path in the repository and the file on disk.
    """
    directories, started = tuple(directories), time.time()
    metadata, newest = _metadata(directories, files)
    key = str(root.resolve())
    if known := re.fullmatch(rf"{metadata} ([0-9a-f]{{64}})", cache.recall("digests", key)):
        return known[1]
    computed = pack.content_digest(directories, files)
    if newest < started - SETTLED_SECONDS and _metadata(directories, files)[0] == metadata:
        cache.remember("digests", key, f"{metadata} {computed}")
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
