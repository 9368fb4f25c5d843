"""`python -m infra model`: checks, lists, packs and runs a repository."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.__main__ import main
from tests.infra.mock_runtime import ROOT
from tests.infra.triton.archives import archive, member

EXAMPLES = ROOT / "examples"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A repository with an error in line 2."""
    (tmp_path / "models/m/1").mkdir(parents=True)
    (tmp_path / "models/m/1/model.py").touch()
    (tmp_path / "models/m/config.pbtxt").write_text('backend: "python"\nmax_batch_size: -1\n')
    return tmp_path / "models"


def run(*arguments: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["model", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_valid_repository_has_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", EXAMPLES / "models") == 0
    assert "no errors" in capsys.readouterr().out


def test_an_error_has_its_place_and_exit_code(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", broken) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{broken}/m/config.pbtxt:2")
    assert line.endswith("[max-batch-size]")


def test_problems_are_printed_for_programs(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", broken, "--json") == 1
    (problem,) = json.loads(capsys.readouterr().out)
    assert (problem["rule"], problem["line"], problem["severity"]) == ("max-batch-size", 2, "error")
    assert run("check", broken, "--format", "github") == 1
    assert capsys.readouterr().out.startswith(f"::error file={broken}/m/config.pbtxt,line=2")


def test_several_models_require_a_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", EXAMPLES / "ensemble/models") == 1
    assert "[default-model]" in capsys.readouterr().out
    assert run("check", EXAMPLES / "ensemble/models", "--default-model", "iris") == 0


def test_the_target_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.py").touch()
    (tmp_path / "m/config.pbtxt").write_text('backend: "python" instance_group { kind: KIND_GPU }')
    assert run("check", tmp_path, "--instance-type", "ml.g5.xlarge") == 0
    assert run("check", tmp_path, "--instance-type", "ml.c5.xlarge") == 1
    assert run("check", tmp_path, "--image", "24.09-py3-cpu") == 1
    assert run("check", tmp_path, "--env", "SAGEMAKER_TRITON_LOG_VERBOSE") == 2
    assert run("check", tmp_path, "--instance-type", "g5.xlarge") == 2


def test_an_archive_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(archive(member("models/m/config.pbtxt", b'backend: "python"'), member("models/m/1/model.py")))
    assert run("check", file) == 1
    assert "[wrapping-directory]" in capsys.readouterr().out
    file.write_bytes(b"")
    assert run("check", file) == 1
    assert capsys.readouterr().out.startswith(f"{file}: ")


@pytest.mark.parametrize("source", ["s3://models", "s3://models/missing.tar.gz"])
def test_a_source_that_cannot_be_read_is_an_error_without_a_traceback(
    source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        assert run("check", source) == 2
    assert source in capsys.readouterr().err


def test_an_artifact_in_s3_is_checked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="models")
        s3.put_object(Bucket="models", Key="m.tar.gz", Body=archive(member("m/config.pbtxt", b"?"), member("m/1/a")))
        assert run("check", "s3://models/m.tar.gz") == 1
    assert capsys.readouterr().out.startswith("s3://models/m.tar.gz/m/config.pbtxt:1")


def test_models_are_listed_with_what_they_accept_and_return(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert run("list", EXAMPLES / "ensemble/models") == 0
    output = capsys.readouterr().out
    for text in ("classify", "onnxruntime", "measurements FP32 [4]", "millimetres FP32 [4]", "ensemble", "64"):
        assert text in output


def test_a_repository_is_packed_as_up_packs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pack", EXAMPLES / "models", "-o", tmp_path / "model.tar.gz") == 0
    with tarfile.open(tmp_path / "model.tar.gz") as packed:
        assert "iris/config.pbtxt" in packed.getnames()
    assert "sha256:" in capsys.readouterr().out
    assert run("check", tmp_path / "model.tar.gz") == 0


def test_packing_into_a_directory_that_does_not_exist_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pack", EXAMPLES / "models", "-o", tmp_path / "missing" / "model.tar.gz") == 2
    assert str(tmp_path / "missing") in capsys.readouterr().err


@pytest.mark.triton
def test_a_model_answers_its_sample_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", EXAMPLES / "models") == 0
    assert "species=virginica" in capsys.readouterr().out


@pytest.mark.triton
@pytest.mark.parametrize(("model", "response"), [("preprocess", "measurements=[0.1, 0.1"), ("postprocess", "species=")])
def test_the_python_steps_of_an_ensemble_run_alone(
    model: str, response: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("test", EXAMPLES / "ensemble/models", "--default-model", model) == 0
    assert response in capsys.readouterr().out


@pytest.mark.triton
def test_a_decoupled_model_is_loaded_and_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", EXAMPLES / "text/models") == 0
    assert "no sample request" in capsys.readouterr().out


@pytest.mark.triton
def test_a_model_that_does_not_load_fails_with_tritons_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.py").write_text("raise ValueError('no weights here')")
    (tmp_path / "m/config.pbtxt").write_text('backend: "python"')
    assert run("test", tmp_path) == 1
    assert "no weights here" in capsys.readouterr().err
