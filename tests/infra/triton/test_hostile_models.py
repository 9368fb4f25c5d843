"""Model repositories and artifacts that nobody makes by accident: refused within bounds that the message names."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from infra.triton import archive as reader
from infra.triton import check, model_files, repository
from infra.triton.check import check_repository
from infra.triton.config import MAX_CONFIG_BYTES, ConfigError, parse_config
from infra.triton.model_files import UnsupportedModel
from infra.triton.repository import MAX_DEPTH, ModelRepository, ModelRepositoryError
from infra.triton.sample_request import request_for_repository

from .archives import archive, compress, header, member, request_for_artifact

CONFIG = """
name: "m" backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
"""


def model(root: Path, config: str = CONFIG) -> Path:
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "1" / "model.py").touch()
    (root / "m" / "config.pbtxt").write_text(config)
    return root


def findings(root: Path) -> str:
    """What is wrong with a repository, as it is printed."""
    try:
        found = check_repository(ModelRepository.read(root).listing, "m")
    except ModelRepositoryError as error:
        found = list(error.problems)
    lines = [str(each) for each in found]
    assert all(line.isprintable() for line in lines)
    return "\n".join(lines)


# config.pbtxt


@pytest.mark.parametrize("text", ["dims: 1\n", "input {}\n", "# comment\n", 'name: "m"\n'])
def test_a_configuration_of_millions_of_elements_is_not_parsed(tmp_path: Path, text: str) -> None:
    model(tmp_path, text * (2 * MAX_CONFIG_BYTES // len(text)))
    assert f"has more than {MAX_CONFIG_BYTES:,} bytes, and is not checked" in findings(tmp_path)
    with pytest.raises(UnsupportedModel, match=f"is larger than {MAX_CONFIG_BYTES:,} bytes"):
        request_for_repository(ModelRepository.read(tmp_path), "m")


@pytest.mark.parametrize(
    ("written", "line", "said"),
    [
        ("data_type: 9999", 3, "9999 is none of TYPE_INVALID, TYPE_BOOL"),
        ("data_type: -1", 3, "-1 is none of TYPE_INVALID"),
        ("data_type: TYPE_FP32 format: 77", 3, "77 is none of FORMAT_NONE"),
    ],
)
def test_an_enum_value_out_of_range_is_an_error_at_its_line(written: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parse_config(CONFIG.replace("data_type: TYPE_FP32", written, 1), "m/config.pbtxt")
    assert refused.value.line == line


@pytest.mark.parametrize(
    "more",
    [
        "instance_group { kind: 42 }",
        "instance_group { secondary_devices { kind: 42 } }",
        "optimization { priority: 42 }",
        "sequence_batching { control_input { name: 'c' control { kind: 42 } } }",
        "model_warmup { name: 'w' batch_size: 1 inputs { key: 'x' value { data_type: 9999 } } }",
        "input { name: 'z' data_type: 9999 }",
    ],
)
def test_an_enum_value_out_of_range_is_found_wherever_it_is(tmp_path: Path, more: str) -> None:
    model(tmp_path, CONFIG + more)
    assert " is none of " in findings(tmp_path)


@pytest.mark.parametrize(
    "dims",
    ["dims: [" + ", ".join(["9223372036854775807"] * 10_000) + "]", "dims: 9223372036854775807 dims: 3", "dims: -5"],
)
@pytest.mark.parametrize("warmup", [False, True])
def test_a_tensor_that_fits_nowhere_is_no_question(tmp_path: Path, dims: str, warmup: bool) -> None:
    config = CONFIG.replace("dims: 4", dims) + (
        f"model_warmup {{ name: 'w' inputs {{ key: 'x' value {{ {dims} input_data_file: 'f' }} }} }}" if warmup else ""
    )
    model(tmp_path, config)
    (tmp_path / "m" / "warmup").mkdir()
    (tmp_path / "m" / "warmup" / "f").write_bytes(b"x" * 16)
    with pytest.raises(UnsupportedModel) as refused:
        request_for_repository(ModelRepository.read(tmp_path), "m")
    assert len(str(refused.value)) < 200


def test_many_inputs_that_fit_one_by_one_are_no_question(tmp_path: Path) -> None:
    inputs = "\n".join(f"input {{ name: 'x{n}' data_type: TYPE_INT8 dims: 3000000 }}" for n in range(1000))
    model(tmp_path, CONFIG + inputs)
    with pytest.raises(UnsupportedModel, match="x2 of 3,000,000 elements after the others is more"):
        request_for_repository(ModelRepository.read(tmp_path), "m")


def test_findings_that_multiply_are_cut_off_rule_by_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MAX_OF_A_RULE", 10)
    maps = "input_map {{ key: 'a' value: 't{0}' }} output_map {{ key: 'b' value: 'u{0}' }}"
    step = f"step {{{{ model_name: 'm' model_version: -1 {maps} }}}}\n"
    steps = "".join(map(step.format, range(100)))
    model(tmp_path, CONFIG + "".join(f"input {{ name: 'x{n}' data_type: TYPE_INT8 dims: 1 }}" for n in range(100)))
    (tmp_path / "e" / "1").mkdir(parents=True)
    (tmp_path / "e" / "config.pbtxt").write_text(f"platform: 'ensemble' ensemble_scheduling {{ {steps} }}")
    found = [
        each.rule for each in check_repository(ModelRepository.read(tmp_path).listing, "e") if each.severity == "error"
    ]
    assert Counter(found) == {"ensemble-step-tensor": 10, "ensemble-dangling": 10}


# The directory


def test_links_that_make_a_walk_exponential_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "MAX_ENTRIES", 1000)
    model(tmp_path)
    folders = [tmp_path / "m" / f"d{level}" for level in range(40)]
    for folder in folders:
        folder.mkdir()
    for above, below in pairwise(folders):
        for name in "abc":
            (above / name).symlink_to(below)
    assert "has more than 1,000 files and directories" in findings(tmp_path)


def test_a_link_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one at the end of a path through more links than Linux follows."""

    def too_many(_: Path) -> Path:
        raise OSError(errno.ELOOP, "Too many levels of symbolic links")

    (model(tmp_path) / "m" / "a").symlink_to("1")
    monkeypatch.setattr(Path, "readlink", too_many)
    assert "cannot be read: Too many levels of symbolic links" in findings(tmp_path)


@pytest.mark.parametrize(("folder", "shown"), [("m/1", "m/1: "), ("", ".: ")])
def test_a_directory_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, shown: str
) -> None:
    model(tmp_path)
    listed = os.listdir

    def denied(path: Path) -> list[str]:
        if path == tmp_path / folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", denied)
    assert f"{shown}cannot be read: Permission denied [unreadable]" in findings(tmp_path)


def test_a_tree_without_end_in_depth_is_refused(tmp_path: Path) -> None:
    folder = model(tmp_path) / "m"
    for _ in range(MAX_DEPTH + 5):
        folder = folder / "d"
    folder.mkdir(parents=True)
    assert f"is within more than {MAX_DEPTH} directories" in findings(tmp_path)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\u202egnp", "a'; rm -rf ~ #"])
def test_names_of_files_are_printed_in_a_line_and_quoted_in_commands(tmp_path: Path, name: str) -> None:
    model(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / "m" / name).symlink_to("/etc")
    said = findings(tmp_path)
    assert "outside of the repository" in said
    if "'" in name:
        assert """(cp -rL 'm/a'"'"'; rm -rf ~ #' …)""" in said


def test_warm_up_files_that_nobody_names_are_not_read(tmp_path: Path) -> None:
    """Sparse files of exabytes here; whoever reads one runs out of memory."""
    model(tmp_path)
    (tmp_path / "m" / "warmup").mkdir()
    for number in range(1000):
        with (tmp_path / "m" / "warmup" / str(number)).open("wb") as file:
            os.truncate(file.fileno(), 2**40)
    assert request_for_repository(ModelRepository.read(tmp_path), "m").text == "x=[1, 1, 1, 1]"


def test_warm_up_files_that_are_too_large_are_no_question(tmp_path: Path) -> None:
    warmup = "model_warmup { name: 'w' inputs { key: 'x' value { dims: 4 input_data_file: 'f' } } }"
    model(tmp_path, CONFIG + warmup)
    (tmp_path / "m" / "warmup").mkdir()
    with (tmp_path / "m" / "warmup" / "f").open("wb") as file:
        os.truncate(file.fileno(), 2**40)
    with pytest.raises(UnsupportedModel, match="warm-up files hold more than 6,291,456 bytes"):
        request_for_repository(ModelRepository.read(tmp_path), "m")


# The artifact


WITH_CONFIG = member("m/config.pbtxt", CONFIG.encode())


@pytest.mark.parametrize("content", [b"", b"zip", archive(WITH_CONFIG)[:-40], compress(header("a", 2**62))])
def test_a_damaged_artifact_has_no_sample_request(content: bytes) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        request_for_artifact(content, "m")
    assert str(refused.value).isprintable()


def test_an_artifact_that_takes_too_long_has_no_sample_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "MAX_SECONDS", 0)
    with pytest.raises(UnsupportedModel, match="in time"):
        request_for_artifact(archive(WITH_CONFIG), "m")


def test_an_artifact_of_thousands_of_warm_up_files_is_read_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_HELD_BYTES", 10_000)
    files = [member(f"m/warmup/{number}", bytes(1000)) for number in range(100)]
    with pytest.raises(UnsupportedModel, match="over 10,000 bytes"):
        request_for_artifact(archive(WITH_CONFIG, *files), "m")


def test_the_files_of_other_models_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_HELD_BYTES", 10_000)
    files = [member(f"other/warmup/{number}", bytes(1000)) for number in range(100)]
    assert request_for_artifact(archive(WITH_CONFIG, *files), "m").text == "x=[1, 1, 1, 1]"


def test_the_names_in_an_artifact_are_printed_in_a_line() -> None:
    content = archive(*(header(f"d{number}\n\x1b[2J/f", 0) for number in range(200)))
    with pytest.raises(UnsupportedModel) as refused:
        request_for_artifact(content, None)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1000


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"outputs": ' + b"[" * 100_000, b'{"outputs": 5}', b"5", b"\xff"])
def test_an_answer_of_another_kind_is_no_traceback(body: bytes) -> None:
    asked = request_for_artifact(archive(WITH_CONFIG), "m")
    with pytest.raises(ValueError, match="not an inference response"):
        asked.answer(body)


def test_an_ordinary_archive_is_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as written:
        entry = tarfile.TarInfo("m/config.pbtxt")
        entry.size = len(CONFIG)
        written.addfile(entry, io.BytesIO(CONFIG.encode()))
    assert request_for_artifact(buffer.getvalue(), None).text == "x=[1, 1, 1, 1]"
