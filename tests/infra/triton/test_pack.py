"""Packing a model repository: the same bytes each time, exactly what the digest says."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from infra.triton import pack
from infra.triton.repository import ModelRepository, ModelRepositoryError
from tests.infra.mock_runtime import ROOT

from .conftest import Write

IRIS = {"iris/config.pbtxt": 'name: "iris"', "iris/1/model.py": "pass", "iris/2/": ""}


def packed(repository: ModelRepository) -> bytes:
    target = io.BytesIO()
    repository.pack(target)
    return target.getvalue()


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        return {member.name: member for member in opened}


def test_the_archive_holds_files_and_directories_and_nothing_around_them(write: Write) -> None:
    archive = packed(ModelRepository.read(write(IRIS)))
    assert list(members(archive)) == ["iris", "iris/1", "iris/1/model.py", "iris/2", "iris/config.pbtxt"]
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        content = opened.extractfile("iris/config.pbtxt")
        assert content is not None
        assert content.read() == b'name: "iris"'


def test_the_archive_knows_neither_times_nor_owners_nor_permissions(write: Write) -> None:
    root = write(IRIS)
    before = packed(ModelRepository.read(root))
    os.utime(root / "iris" / "1" / "model.py", (1, 1))
    (root / "iris" / "1" / "model.py").chmod(0o600)
    assert packed(ModelRepository.read(root)) == before
    assert {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in members(before).values()} == {
        (0, 0, 0, "", 0o755)
    }


def test_the_gzip_header_holds_neither_time_nor_name(write: Write, tmp_path: Path) -> None:
    repository = ModelRepository.read(write(IRIS))
    repository.pack(tmp_path / "model.tar.gz")
    archive = (tmp_path / "model.tar.gz").read_bytes()
    assert archive == packed(repository)
    assert (archive[3], archive[4:8]) == (0, b"\0\0\0\0")


def test_packing_returns_the_digest_of_the_repository(write: Write) -> None:
    repository = ModelRepository.read(write(IRIS))
    assert repository.pack(io.BytesIO()) == repository.digest()


def test_a_long_path_and_a_foreign_letter_survive(write: Write) -> None:
    name = f"iris/1/{'a' * 120}/{'b' * 120}/größe.txt"
    assert name in members(packed(ModelRepository.read(write({**IRIS, name: "x"}))))


def test_a_link_is_packed_as_a_file(write: Write) -> None:
    root = write(IRIS)
    (root / "iris" / "labels.txt").symlink_to("config.pbtxt")
    assert members(packed(ModelRepository.read(root)))["iris/labels.txt"].isreg()


def test_progress_ends_with_all_bytes(write: Write) -> None:
    steps: list[tuple[int, int]] = []
    repository = ModelRepository.read(write(IRIS))
    repository.pack(io.BytesIO(), lambda done, total: steps.append((done, total)))
    total = len('name: "iris"') + len("pass")
    assert steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_a_large_file_is_packed_in_bounded_memory(write: Write) -> None:
    root = write(IRIS)
    with (root / "iris" / "1" / "weights").open("wb") as weights:
        weights.truncate(64 << 20)
    repository = ModelRepository.read(root)
    with Path(os.devnull).open("wb") as nowhere:
        tracemalloc.start()
        repository.pack(nowhere)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 24 << 20


def test_a_change_between_digest_and_packing_is_an_error(write: Write) -> None:
    root = write(IRIS)
    repository = ModelRepository.read(root)
    expected = repository.digest()
    (root / "iris" / "1" / "model.py").write_text("PASS", encoding="utf-8")
    with pytest.raises(ModelRepositoryError, match=f"its digest was {expected}"):
        repository.pack(io.BytesIO(), expected_digest=expected)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "became shorter"), (b"pass and more", "was written to"), (b"PASS", "was written to")]
)
def test_a_change_while_a_file_is_packed_is_an_error(
    write: Write, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    root = write(IRIS)
    repository = ModelRepository.read(root)
    model = root / "iris" / "1" / "model.py"
    os.utime(model, (1, 1))
    add = tarfile.TarFile.addfile

    def change_then_add(self: tarfile.TarFile, member: tarfile.TarInfo, fileobj: Any = None) -> None:
        if member.name == "iris/1/model.py":
            model.write_bytes(content)
        add(self, member, fileobj)

    monkeypatch.setattr(tarfile.TarFile, "addfile", change_then_add)
    with pytest.raises(ModelRepositoryError, match=f"iris/1/model.py {said}"):
        repository.pack(io.BytesIO())


def test_a_file_that_is_gone_is_an_error(write: Write) -> None:
    root = write(IRIS)
    repository = ModelRepository.read(root)
    (root / "iris" / "1" / "model.py").unlink()
    with pytest.raises(ModelRepositoryError, match=r"changed while it was packed: .*model\.py"):
        repository.pack(io.BytesIO())


def test_a_failed_packing_leaves_no_file_and_keeps_the_old_one(write: Write, tmp_path: Path) -> None:
    repository = ModelRepository.read(write(IRIS))
    target = tmp_path / "model.tar.gz"
    target.write_bytes(b"old")
    with pytest.raises(ModelRepositoryError):
        repository.pack(target, expected_digest="another")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.tar.gz"]


# gzip tries to finish the file again when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_not_taken_for_a_change(write: Write) -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        ModelRepository.read(write(IRIS)).pack(FullDisk())


@pytest.fixture(params=["isal", "zlib"])
def compressor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each compressor in turn: ISA-L, and zlib as on a platform for which ISA-L has no wheel."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    return str(request.param)


def test_both_compressors_write_an_archive_that_gzip_reads(write: Write, compressor: str) -> None:
    content = "".join(f"{number} " for number in range(700_000))  # several blocks
    repository = ModelRepository.read(write({**IRIS, "iris/1/text": content}))
    archive = packed(repository)
    assert packed(repository) == archive
    assert (archive[3], archive[4:8]) == (0, b"\0\0\0\0")  # neither name nor time
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        extracted = opened.extractfile("iris/1/text")
        assert extracted is not None
        assert extracted.read() == content.encode()


def test_the_digest_does_not_depend_on_the_compressor(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = ModelRepository.read(write({**IRIS, "iris/1/text": "abc" * 10_000}))
    default, digest = packed(repository), repository.digest()
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setattr(pack, "ZLIB_LEVEL", 9)
    other = io.BytesIO()
    assert repository.pack(other) == digest
    assert other.getvalue() != default
    assert gzip.decompress(other.getvalue()) == gzip.decompress(default)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_a_process_that_packs_needs_less_than_64_mib(write: Write, tmp_path: Path) -> None:
    root = write(IRIS)
    with (root / "iris" / "1" / "weights").open("wb") as weights:
        block = random.Random(1).randbytes(1 << 20)
        for _ in range(128):
            weights.write(block)
    code = (
        "import sys; from pathlib import Path; from infra.triton.repository import ModelRepository;"
        "ModelRepository.read(sys.argv[1]).pack(Path(sys.argv[2])); print(Path('/proc/self/status').read_text())"
    )
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "model.tar.gz")]
    status = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert int(peak[1]) < 64 << 10
