"""A repository that did not change is recognized without reading it, and one that did is never taken for it."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.triton import pack
from infra.triton.repository import ModelRepository

from .conftest import Write

IRIS = {"iris/config.pbtxt": 'name: "iris"', "iris/1/model.py": "pass"}

Digest = Callable[[], tuple[str, bool]]
"""The digest of the repository now, and whether its files were read."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "triton-sagemaker" / "digests"


@pytest.fixture
def root(write: Write) -> Path:
    return write(IRIS)


@pytest.fixture
def digest(root: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """Two minutes later, so that the files have settled."""
    reads: list[int] = []

    def reading(directories: tuple[str, ...], files: dict[str, Path]) -> str:
        reads.append(1)
        return content_digest(directories, files)

    content_digest = pack.content_digest
    monkeypatch.setattr(pack, "content_digest", reading)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 120)

    def compute() -> tuple[str, bool]:
        before = len(reads)
        return ModelRepository.read(root).digest(), len(reads) > before

    return compute


def test_an_unchanged_repository_is_not_read_again(digest: Digest) -> None:
    first, read = digest()
    assert read
    assert digest() == (first, False)


def overwrite(root: Path) -> None:
    """With the same size, and the time that the file had."""
    file = root / "iris/1/model.py"
    before = file.stat()
    file.write_text("PASS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(root: Path) -> None:
    """By another file of the same size and time, as a deployment tool does."""
    file, other = root / "iris/1/model.py", root / "other"
    other.write_text("PASS")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)


def write_through_a_mapping(root: Path) -> None:
    file = root / "iris/1/model.py"
    before = file.stat()
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[0:4] = b"PASS"
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def move(root: Path) -> None:
    (root / "iris/1").rename(root / "iris/2")


def add_an_empty_directory(root: Path) -> None:
    (root / "iris/2").mkdir()


def lead_a_link_elsewhere(root: Path) -> None:
    (root / "iris/1/model.py").unlink()
    (root / "iris/1/model.py").symlink_to("../config.pbtxt")


CHANGES = [overwrite, replace, write_through_a_mapping, move, add_an_empty_directory, lead_a_link_elsewhere]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(root: Path, digest: Digest, change: Callable[[Path], None]) -> None:
    before, _ = digest()
    change(root)
    after, read = digest()
    assert read
    assert after != before


def test_a_file_that_was_just_written_is_read_again(
    root: Path, digest: Digest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[1]))
    ModelRepository.read(root).digest()
    assert not cache.exists()


def test_a_file_from_the_future_is_read_again(root: Path, digest: Digest) -> None:
    os.utime(root / "iris/1/model.py", (time.time() + 3600,) * 2)
    assert [digest()[1], digest()[1]] == [True, True]


def test_a_change_while_the_files_are_read_is_not_kept(
    root: Path, digest: Digest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(directories: tuple[str, ...], files: dict[str, Path]) -> str:
        overwrite(root)
        return "0" * 64

    monkeypatch.setattr(pack, "content_digest", changing)
    digest()
    assert not cache.exists()


@pytest.mark.parametrize("text", ["", "\xff\xfe", "0" * 64, "../../etc/passwd"])
def test_a_broken_line_is_written_again(digest: Digest, cache: Path, text: str) -> None:
    first, _ = digest()
    (line,) = cache.iterdir()
    line.write_text(text, encoding="latin-1")
    assert digest() == (first, True)
    assert digest() == (first, False)


def test_a_line_that_was_cut_short_is_not_believed(digest: Digest, cache: Path) -> None:
    first, _ = digest()
    (line,) = cache.iterdir()
    line.write_text(line.read_text()[:-5])
    assert digest() == (first, True)


@pytest.mark.parametrize("kind", ["file", "no home"])
def test_without_a_cache_the_files_are_read(
    digest: Digest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "file":
        (tmp_path / "cache").write_text("in the way")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home directory")))
    assert [digest()[1], digest()[1]] == [True, True]
    assert not list(tmp_path.glob("**/tmp*"))
