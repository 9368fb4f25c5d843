"""The check of an artifact: its form, then the repository in it by the rules of one on disk."""

from __future__ import annotations

import io
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra.triton import archive as reader
from infra.triton.archive import FileSource
from infra.triton.artifact import ArtifactTarget, check_artifact
from infra.triton.check import check_repository
from infra.triton.repository import ModelRepository
from tests.infra.mock_runtime import ROOT

from .archives import archive, compress, directory, member

IRIS = ROOT / "examples" / "models"
CONFIG = b'name: "iris" backend: "python" max_batch_size: 0'
MODEL = (member("iris/config.pbtxt", CONFIG), member("iris/1/model.py", b"pass"))


def rules(tmp_path: Path, content: bytes, default_model: str | None = None, **target: Any) -> set[tuple[str, str]]:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(content)
    problems = check_artifact(FileSource(file), ArtifactTarget(default_model, **target))
    assert all(str(problem).isprintable() for problem in problems)
    return {(problem.rule, problem.severity) for problem in problems}


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("iris/config.pbtxt", CONFIG)
    return buffer.getvalue()


def test_a_good_artifact_has_no_problem(tmp_path: Path) -> None:
    assert rules(tmp_path, archive(*MODEL)) == set()
    assert rules(tmp_path, archive(directory("./"), directory("./iris"), *MODEL), "iris") == set()


def test_what_model_pack_writes_has_no_problem(tmp_path: Path) -> None:
    ModelRepository.read(IRIS).pack(tmp_path / "packed.tar.gz")
    assert rules(tmp_path, (tmp_path / "packed.tar.gz").read_bytes()) == set()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (archive(*MODEL, directory(".ipynb_checkpoints")), "default-model"),
        (archive(member("models/iris/config.pbtxt", CONFIG), member("models/iris/1/model.py")), "wrapping-directory"),
        (archive(member("config.pbtxt", CONFIG), member("1/model.py")), "config-at-top"),
        (b"".join(MODEL) + bytes(1024), "archive-format"),
        (lzma.compress(b"".join(MODEL)), "archive-format"),
        (zipped(), "archive-format"),
        (archive(*MODEL, member("iris/1/weights", bytes(range(256)) * 1000))[:-60], "archive-truncated"),
        (b"", "archive-format"),
        (archive(*(member(f"/iris/{name}", CONFIG) for name in ("config.pbtxt", "1/model.py"))), "archive-name"),
    ],
    ids=["checkpoints", "wrapped", "at the top", "plain tar", "xz", "zip", "truncated", "empty", "absolute names"],
)
def test_each_wrong_kind_of_archive_is_an_error(tmp_path: Path, content: bytes, rule: str) -> None:
    assert {found for found, severity in rules(tmp_path, content) if severity == "error"} == {rule}


def test_a_hidden_directory_is_harmless_beside_a_default_model(tmp_path: Path) -> None:
    found = rules(tmp_path, archive(*MODEL, directory(".ipynb_checkpoints"), member("__MACOSX/._iris")), "iris")
    assert {severity for _, severity in found} == {"warning"}


@pytest.mark.parametrize("config", [b'name: "other" backend: "python"', b"max_batch_size: -1", b"input {", b"\xff"])
def test_the_rules_are_those_of_a_repository_on_disk(tmp_path: Path, config: bytes) -> None:
    (tmp_path / "models/iris/1").mkdir(parents=True)
    (tmp_path / "models/iris/1/model.py").write_bytes(b"pass")
    (tmp_path / "models/iris/config.pbtxt").write_bytes(config)
    on_disk = check_repository(ModelRepository.read(tmp_path / "models").listing, "iris")
    in_archive = rules(tmp_path, archive(member("iris/config.pbtxt", config), MODEL[1]), "iris")
    assert {(problem.rule, problem.severity) for problem in on_disk} == in_archive


def test_the_target_counts(tmp_path: Path) -> None:
    plan = archive(member("iris/config.pbtxt", b'name: "iris" platform: "tensorrt_plan"'), member("iris/1/model.plan"))
    assert "error" not in {severity for _, severity in rules(tmp_path, plan)}
    assert rules(tmp_path, plan, hardware="ml.c5.xlarge")


def test_reading_is_reported_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(archive(*MODEL))
    steps: list[tuple[int, int]] = []
    check_artifact(FileSource(file), ArtifactTarget(), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (file.stat().st_size,) * 2


def test_an_archive_that_takes_too_long_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reader.read
    monkeypatch.setattr("infra.triton.artifact.read", lambda stream, wanted: read(stream, wanted, 0))
    assert rules(tmp_path, archive(*MODEL)) == {("archive-unread", "warning")}


def test_a_bomb_of_headers_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_ENTRIES", 50)
    content = compress(b"".join(member(f"iris/{number}") for number in range(99)))
    assert rules(tmp_path, content) == {("archive-unread", "warning")}
