"""Reading a model repository from disk: what belongs to it, what is refused, its digest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.triton.check import check_repository
from infra.triton.repository import ModelRepository, ModelRepositoryError

from .conftest import Write

IRIS = {"iris/config.pbtxt": 'name: "iris" backend: "python"', "iris/1/model.py": "pass"}
EXAMPLES = Path(__file__).parents[3] / "examples" / "models"


def refused(path: Path) -> str:
    with pytest.raises(ModelRepositoryError) as error:
        ModelRepository.read(path)
    return str(error.value)


def test_files_are_listed_by_sorted_posix_paths(write: Write) -> None:
    root = write({**IRIS, "README.md": "", "iris/warmup/x": ""})
    repository = ModelRepository.read(root)
    assert list(repository.files) == ["README.md", "iris/1/model.py", "iris/config.pbtxt", "iris/warmup/x"]
    assert repository.directories == ("iris", "iris/1", "iris/warmup")
    assert repository.files["iris/1/model.py"] == root / "iris" / "1" / "model.py"
    assert repository.listing.model_names == ("iris",)


def test_hidden_files_and_byte_code_are_left_out(write: Write) -> None:
    plain = ModelRepository.read(write(IRIS))
    rubbish = ["iris/._config.pbtxt", ".git/HEAD", "iris/1/__pycache__/model.pyc", ".DS_Store", "iris/1/.ipynb/x"]
    littered = ModelRepository.read(write(dict.fromkeys(rubbish, "rubbish")))
    assert (littered.files, littered.directories) == (plain.files, plain.directories)
    assert littered.digest() == plain.digest()


def test_an_empty_version_directory_belongs_to_the_repository(write: Write) -> None:
    repository = ModelRepository.read(write({"flow/config.pbtxt": 'platform: "ensemble"', "flow/1/.gitkeep": ""}))
    assert "flow/1" in repository.directories
    assert repository.listing.model_names == ("flow",)


def test_a_model_needs_a_configuration_or_a_version_directory(write: Write) -> None:
    root = write({"a/config.pbtxt": "", "b/1/model.onnx": "", "docs/readme.txt": ""})
    assert ModelRepository.read(root).listing.model_names == ("a", "b")


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "models")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").touch()
    assert "is not a directory" in refused(tmp_path / "model.tar.gz")


def test_a_link_inside_the_repository_is_what_it_points_to(write: Write) -> None:
    root = write(IRIS)
    (root / "iris" / "2").symlink_to("1")
    (root / "iris" / "labels.txt").symlink_to(root / "iris" / "config.pbtxt")
    repository = ModelRepository.read(root)
    assert repository.files["iris/2/model.py"].read_text(encoding="utf-8") == "pass"
    assert {"iris/labels.txt", "iris/2/model.py"} < set(repository.files)


def test_links_that_lead_out_to_nothing_or_in_a_circle_are_refused_all_at_once(write: Write, tmp_path: Path) -> None:
    root = write(IRIS)
    outside = tmp_path / "weights.bin"
    outside.touch()
    (root / "iris" / "1" / "weights.bin").symlink_to(outside)
    (root / "iris" / "1" / "gone").symlink_to("nowhere")
    (root / "iris" / "again").symlink_to("..")
    message = refused(root)
    assert f"iris/1/weights.bin: is a symbolic link to {outside}" in message
    assert "cp -rL" in message
    assert "iris/1/gone: is a symbolic link to nowhere" in message
    assert "iris/again: is a symbolic link to .." in message


def test_what_is_neither_file_nor_directory_is_refused(write: Write) -> None:
    root = write(IRIS)
    os.mkfifo(root / "iris" / "pipe")
    assert "iris/pipe: is neither a file nor a directory" in refused(root)


def test_a_name_that_is_not_utf8_is_refused(write: Write) -> None:
    root = write(IRIS)
    Path(os.fsdecode(os.fsencode(root / "iris") + b"/\xff")).touch()
    assert r"iris/\udcff: has a name that is not UTF-8" in refused(root)


def test_the_only_model_is_the_default_one(write: Write) -> None:
    assert ModelRepository.read(write(IRIS)).only_model == "iris"
    assert ModelRepository.read(write({**IRIS, "wine/config.pbtxt": ""})).only_model is None


def test_an_ensemble_without_a_version_directory_gets_one(write: Write) -> None:
    root = write(
        {"flow/config.pbtxt": 'platform: "ensemble"', "other/config.pbtxt": "", "v/config.pbtxt": "", "v/1/": ""}
    )
    repository = ModelRepository.read(root)
    assert repository.added == ("flow/1",)
    assert repository.directories == ("flow", "flow/1", "other", "v", "v/1")
    assert "ensemble-version" in {problem.rule for problem in check_repository(repository.listing, "flow")}
    (root / "flow" / "1").mkdir()
    assert ModelRepository.read(root).digest() == repository.digest()


def test_the_digest_is_over_paths_and_contents(write: Write) -> None:
    root = write(IRIS)
    digests = [ModelRepository.read(root).digest()]
    (root / "iris" / "1" / "model.py").write_text("pass ", encoding="utf-8")
    digests.append(ModelRepository.read(root).digest())
    (root / "iris" / "1" / "model.py").rename(root / "iris" / "1" / "model2.py")
    digests.append(ModelRepository.read(root).digest())
    (root / "iris" / "2").mkdir()
    digests.append(ModelRepository.read(root).digest())
    assert len(set(digests)) == 4
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_is_blind_to_times_and_permissions(write: Write) -> None:
    root = write(IRIS)
    before = ModelRepository.read(root).digest()
    os.utime(root / "iris" / "1" / "model.py", (1, 1))
    (root / "iris" / "1" / "model.py").chmod(0o700)
    assert ModelRepository.read(root).digest() == before


def test_what_moves_between_path_and_content_changes_the_digest(write: Write) -> None:
    one = ModelRepository.read(write({"a/1/b": "c", "a/1/d": ""})).digest()
    (write({}) / "a" / "1" / "b").write_text("", encoding="utf-8")
    two = ModelRepository.read(write({"a/1/d": "c"})).digest()
    assert one != two


def test_the_example_repository_is_one_and_has_no_problem() -> None:
    repository = ModelRepository.read(EXAMPLES)
    assert repository.only_model == "iris"
    assert check_repository(repository.listing, "iris") == []
