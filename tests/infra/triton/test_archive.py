"""Reading a model artifact: what it lists, and what bounds it keeps with hostile ones."""

from __future__ import annotations

import bz2
import io
import lzma
import subprocess
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.triton import archive as reader
from infra.triton.archive import ARCHIVE_RULES, ArchiveError, Contents, FileSource, identify, read

from .archives import archive, compress, directory, header, link, member, pax

CONFIG = member("iris/config.pbtxt", b'name: "iris"')
EXABYTES = 2**62
SPARSE = ("GNU.sparse.major=1", "GNU.sparse.minor=0")


def source(tmp_path: Path, content: bytes) -> FileSource:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(content)
    return FileSource(file)


def contents(content: bytes, wanted: int = 100, seconds: float = 60) -> Contents:
    return read(io.BytesIO(content), lambda path: wanted if path.endswith("config.pbtxt") else 0, seconds)


def rule_of(call: Callable[[], object]) -> str:
    with pytest.raises(ArchiveError) as raised:
        call()
    assert str(raised.value).isprintable()
    return raised.value.problem.rule


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("iris/config.pbtxt", "")
    return buffer.getvalue()


# The beginning and the end


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "archive-format"),
        (CONFIG + bytes(1024), "archive-format"),
        (lzma.compress(CONFIG), "archive-format"),
        (bz2.compress(CONFIG), "archive-format"),
        (zipped(), "archive-format"),
        (b"<html>Not found</html>", "archive-format"),
        (compress(b"weights" * 1000), "archive-format"),
        (b"\x1f\x8b" + b"\xff" * 100, "archive-damaged"),
    ],
)
def test_an_archive_of_another_form_is_refused_by_a_small_read(tmp_path: Path, content: bytes, rule: str) -> None:
    assert rule_of(lambda: identify(source(tmp_path, content))) == rule


@pytest.mark.parametrize(
    "content",
    [
        archive(CONFIG),
        archive(),
        compress(CONFIG) + compress(bytes(1024)),  # pigz -i, concatenated files
        archive(CONFIG) + bytes(512),  # padded
    ],
)
def test_an_archive_that_tar_unpacks_is_accepted(tmp_path: Path, content: bytes) -> None:
    identify(source(tmp_path, content))
    assert not contents(content).unread


def test_the_parts_of_a_gzip_file_may_have_any_length(tmp_path: Path) -> None:
    tar = CONFIG + bytes(1024)
    content = compress(tar[:700]) + compress(tar[700:])
    identify(source(tmp_path, content))
    assert set(contents(content).sizes) == {"iris/config.pbtxt"}


@pytest.mark.parametrize("kind", [b"V", b"D"])
def test_labels_of_gnu_tar_and_its_lists_of_directories_are_ignored(kind: bytes) -> None:
    listed = contents(archive(header("backup", 0, kind), CONFIG))
    assert (set(listed.sizes), listed.problems) == ({"iris/config.pbtxt"}, [])


# The listing


def test_names_sizes_and_first_bytes_are_listed() -> None:
    listed = contents(archive(directory("./"), directory("./iris/"), CONFIG, member("./iris/1/w", bytes(3000))), 4)
    assert listed.directories == {"iris"}
    assert listed.sizes == {"iris/config.pbtxt": 12, "iris/1/w": 3000}
    assert (listed.read("iris/config.pbtxt", 100), listed.read("iris/1/w", 100)) == (b"name", b"")
    assert listed.problems == []


def test_what_gnu_tar_packs_is_listed(tmp_path: Path) -> None:
    deep = f"iris/1/{'a' * 120}/{'b' * 120}"
    (tmp_path / "models" / deep).mkdir(parents=True)
    (tmp_path / "models" / deep / "größe").write_bytes(b"x")
    for form in ("gnu", "pax"):
        command = ["tar", "czf", str(tmp_path / "a.tar.gz"), f"--format={form}", "-C", str(tmp_path / "models"), "."]
        subprocess.run(command, check=True)
        listed = contents((tmp_path / "a.tar.gz").read_bytes())
        assert listed.sizes == {f"{deep}/größe": 1}
        assert {"iris", "iris/1", deep} <= listed.directories


def test_a_link_is_listed_as_what_it_leads_to() -> None:
    content = archive(
        CONFIG,
        member("iris/1/w", b"weights"),
        link("iris/2", "1"),
        link("iris/w", "/opt/ml/model/iris/1/w"),
        link("other/config.pbtxt", "../iris/config.pbtxt"),
        link("iris/hard", "iris/1/w", tarfile.LNKTYPE),
        link("iris/chain", "hard"),
    )
    listed = contents(content)
    assert {listed.sizes[path] for path in ("iris/2/w", "iris/w", "iris/hard", "iris/chain")} == {7}
    assert listed.read("other/config.pbtxt", 100) == b'name: "iris"'
    assert listed.problems == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "missing", "b"])
def test_a_link_to_nothing_in_the_archive_is_a_warning(target: str) -> None:
    listed = contents(archive(CONFIG, link("iris/a", target), link("iris/b", "a")))
    assert {(each.rule, each.severity) for each in listed.problems} == {("archive-link", "warning")}


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        (member("/iris/1/model.py"), "archive-name"),
        (member("iris/../../etc/passwd"), "archive-name"),
        (pax(f"path={'a' * 5000}") + member("a"), "archive-name"),
        (header("iris/fifo", 0, tarfile.FIFOTYPE), "archive-entry"),
        (header("iris/disk", 0, tarfile.BLKTYPE), "archive-entry"),
    ],
)
def test_an_entry_that_cannot_be_unpacked_is_an_error(entry: bytes, rule: str) -> None:
    (problem,) = contents(archive(CONFIG, entry)).problems
    assert (problem.rule, problem.severity) == (rule, "error")


# Bounds


@pytest.mark.parametrize(
    "content",
    [
        compress(CONFIG + header("m/1/model.bin", EXABYTES)),
        compress(header("iris/config.pbtxt", EXABYTES)),
        compress(header("long", EXABYTES, tarfile.GNUTYPE_LONGNAME)),
        compress(header("long", 100_000_000, tarfile.GNUTYPE_LONGNAME) + bytes(100_000_000)),
        compress(header("pax", EXABYTES, tarfile.XHDTYPE)),
        archive(pax(f"size={EXABYTES}"), header("m/1/a", 0)),
        archive(pax("GNU.sparse.map=" + "9" * 5000 + ",1"), header("m/1/a", 0)),
        archive(pax(*SPARSE, f"GNU.sparse.realsize={EXABYTES}"), header("m/1/a", 0)),
        archive(pax(*SPARSE, "GNU.sparse.realsize=9"), header("m/1/a", 512), b"9" * 18 + b"\n" + bytes(493)),
        compress(header("m/config.pbtxt", EXABYTES, tarfile.GNUTYPE_SPARSE)),
        archive(CONFIG, b"\xff" * 512, member("iris/1/model.py")),
        archive(b"\xff" * 512),
        archive(CONFIG)[:-5] + b"wrong",
        archive(CONFIG)[:-8] + bytes(8),
        compress(CONFIG + bytes(1 << 20))[:-8] + bytes(8),
        archive(CONFIG)[:-20],
        archive(pax("comment=x") * 2000, CONFIG),
        b"\x1f\x8b",
        b"",
    ],
)
def test_a_damaged_archive_is_read_to_its_end_and_no_further(content: bytes) -> None:
    tracemalloc.start()
    assert rule_of(lambda: contents(content)) in ("archive-damaged", "archive-truncated")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def bomb(compressed_bytes: int) -> bytes:
    """Zeros, which deflate shrinks a thousand times, inside of one file that claims them all."""
    zeros = compress(bytes(1 << 24))
    count = compressed_bytes // len(zeros)
    return compress(CONFIG + header("iris/1/zeros", count << 24)) + zeros * count + compress(bytes(1024))


def test_a_bomb_costs_the_time_that_is_given_and_no_memory() -> None:
    content = bomb(2 << 20)  # 2 GB
    tracemalloc.start()
    started = time.process_time()
    listed = contents(content, seconds=0.3)
    assert time.process_time() - started < 5
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listed.unread
    assert peak < 8 << 20


def test_what_follows_the_end_of_the_tar_archive_costs_the_time_that_is_given() -> None:
    content = archive(CONFIG) + compress(bytes(1 << 24)) * 200
    assert contents(content, seconds=0.1).unread


def test_many_files_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_ENTRIES", 100)
    assert "100 files" in contents(archive(*(member(f"m/{number}") for number in range(200)))).unread


def test_many_configurations_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_HELD_BYTES", 10_000)
    files = [member(f"m{number}/config.pbtxt", bytes(1000)) for number in range(100)]
    assert "10,000 bytes" in contents(archive(*files), wanted=1000).unread
    assert not contents(archive(*files), wanted=0).unread


def test_the_headers_of_many_files_do_not_stay_in_memory() -> None:
    names = (member(f"{'n' * 90}/{number}") for number in range(5_000))
    content = archive(*names)
    tracemalloc.start()
    assert not contents(content).unread
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_the_attributes_for_all_files_do_not_add_up() -> None:
    parts = (pax(f"key{number}={'x' * 60_000}", kind=tarfile.XGLTYPE) + member(f"m/{number}") for number in range(400))
    content = archive(*parts)
    tracemalloc.start()
    assert not contents(content).unread
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_link_through_a_linked_directory_lists_its_files() -> None:
    files = member("real/1/model.py", b"x"), link("shared", "real"), link("m/1", "../shared/1")
    listed = contents(archive(*files))
    assert listed.sizes["m/1/model.py"] == 1
    assert listed.problems == []


def test_links_to_links_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these directories holds the one before it ten times."""
    monkeypatch.setattr(reader, "MAX_ENTRIES", 1000)
    levels = [link(f"m/{level}/{number}", f"../{level - 1}") for level in range(1, 8) for number in range(10)]
    listed = contents(archive(member("m/0/w", b"x"), *levels))
    assert len(listed.sizes) <= 1000


def test_long_targets_of_links_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.triton.archive.MAX_HELD_BYTES", 100)
    assert contents(archive(link("iris/a", "b" * 90), link("iris/b", "b" * 90))).unread


def test_many_problems_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(contents(archive(*(member(f"/m/{number}") for number in range(500)))).problems) == reader.MAX_PROBLEMS


def test_every_rule_has_a_reason_a_remedy_and_a_source() -> None:
    for rule in ARCHIVE_RULES:
        assert rule.reason.endswith("."), rule.id
        assert rule.remedy[0].isupper() and not rule.remedy.endswith("."), rule.id
        assert rule.source, rule.id
