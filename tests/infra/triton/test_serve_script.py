"""The rules of AWS's `serve` script, on unpacked artifacts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from infra.triton.serve_script import ArchiveError, Serve, ServeError, serve, unpack


def repository(path: Path, *files: str) -> Path:
    for file in files:
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).touch()
    return path


def iris(path: Path, **environment: str) -> Serve:
    variables = {f"SAGEMAKER_TRITON_{name}": value for name, value in environment.items()}
    return serve(repository(path, "iris/config.pbtxt", "iris/1/model.py"), variables)


def test_the_only_directory_is_the_default_model_and_serve_warns_about_it(tmp_path: Path) -> None:
    decided = iris(tmp_path)
    assert "--load-model=iris" in decided.arguments
    assert decided.environment["SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"] == "iris"
    assert decided.output[1].strip() == "Starting with the only existing model directory iris"


def test_a_named_default_model_is_loaded_alone_and_without_a_word(tmp_path: Path) -> None:
    repository(tmp_path, "wine/config.pbtxt")
    decided = iris(tmp_path, DEFAULT_MODEL_NAME="iris")
    assert [each for each in decided.arguments if each.startswith("--load-model")] == ["--load-model=iris"]
    assert "--model-control-mode=explicit" in decided.arguments
    assert decided.output == []


def test_a_configuration_at_the_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="Incorrect directory structure"):
        serve(repository(tmp_path, "config.pbtxt", "1/model.py"), {})


def test_a_default_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="DEFAULT_MODEL_NAME wine does not exist"):
        iris(tmp_path, DEFAULT_MODEL_NAME="wine")


def test_an_artifact_without_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="No model found in model repository"):
        serve(repository(tmp_path, "README.md"), {})


@pytest.mark.parametrize("other", ["wine", "__MACOSX", ".ipynb_checkpoints"])
def test_a_second_directory_without_a_default_model_is_refused(tmp_path: Path, other: str) -> None:
    (tmp_path / other).mkdir()
    with pytest.raises(ServeError, match="More than 1 model directory") as refused:
        iris(tmp_path)
    assert other in str(refused.value)


def test_a_link_to_a_directory_does_not_count_as_a_directory(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("iris")
    assert "--load-model=iris" in iris(tmp_path).arguments


def test_an_unknown_inference_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="Invalid SAGEMAKER_TRITON_INFERENCE_TYPE 'chat'"):
        iris(tmp_path, INFERENCE_TYPE="chat")


def test_without_environment_the_log_is_verbose_and_the_other_services_are_off(tmp_path: Path) -> None:
    assert {
        "--log-verbose=true",
        "--allow-sagemaker=true",
        "--allow-http=false",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--model-namespacing=true",
        "--backend-config=python,shm-default-byte-size=16777216",
        "--backend-config=python,shm-growth-byte-size=1048576",
    } <= set(iris(tmp_path).arguments)


@pytest.mark.parametrize(
    ("name", "value", "argument"),
    [
        ("LOG_VERBOSE", "false", "--log-verbose=false"),
        ("LOG_INFO", "false", "--log-info=false"),
        ("LOG_WARNING", "false", "--log-warning=false"),
        ("LOG_ERROR", "false", "--log-error=false"),
        ("THREAD_COUNT", "2", "--sagemaker-thread-count=2"),
        ("BUFFER_MANAGER_THREAD_COUNT", "3", "--buffer-manager-thread-count=3"),
        ("SHM_DEFAULT_BYTE_SIZE", "1024", "--backend-config=python,shm-default-byte-size=1024"),
        ("SHM_GROWTH_BYTE_SIZE", "64", "--backend-config=python,shm-growth-byte-size=64"),
        ("ALLOW_GRPC", "true", "--allow-grpc=true"),
        ("GRPC_PORT", "9001", "--grpc-port=9001"),
        ("ALLOW_METRICS", "true", "--allow-metrics=true"),
        ("METRICS_PORT", "9002", "--metrics-port=9002"),
        ("TENSORFLOW_VERSION", "2", "--backend-config=tensorflow,version=2"),
        ("DISABLE_MODEL_NAMESPACING", "false", "--model-namespacing=false"),
        ("ADDITIONAL_ARGS", "--rate-limit=off --load-model=child", "--load-model=child"),
    ],
)
def test_an_environment_variable_becomes_an_argument(tmp_path: Path, name: str, value: str, argument: str) -> None:
    assert argument not in iris(tmp_path).arguments
    assert argument in iris(tmp_path, **{name: value}).arguments


def test_the_ping_mode_reaches_triton_only_where_the_environment_has_one(tmp_path: Path) -> None:
    assert "SAGEMAKER_TRITON_PING_MODE" not in iris(tmp_path, OVERRIDE_PING_MODE="live").environment
    overridden = iris(tmp_path, OVERRIDE_PING_MODE="live", PING_MODE="ready")
    assert overridden.environment["SAGEMAKER_TRITON_PING_MODE"] == "live"


def test_a_path_with_a_blank_stays_one_argument(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert f"--model-repository={tmp_path / 'a b'}" in iris(tmp_path / "a b").arguments


def test_multi_model_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="multi-model"):
        serve(repository(tmp_path, "iris/config.pbtxt"), {"SAGEMAKER_MULTI_MODEL": "true"})


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as target:
        for member in members:
            target.addfile(member, io.BytesIO(b"\0" * member.size))
    return path


def test_unpacking_leaves_hidden_files_and_macos_remains_where_they_are(tmp_path: Path) -> None:
    names = ["iris/config.pbtxt", "iris/._config.pbtxt", "__MACOSX/iris", ".DS_Store"]
    target = tmp_path / "model"
    target.mkdir()
    unpack(archive(tmp_path / "model.tar.gz", *map(tarfile.TarInfo, names)), target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == sorted(names)


@pytest.mark.parametrize("name", ["../outside", "iris/../../outside"])
def test_unpacking_refuses_a_path_that_leads_out(tmp_path: Path, name: str) -> None:
    target = tmp_path / "model"
    target.mkdir()
    with pytest.raises(ArchiveError, match="outside"):
        unpack(archive(tmp_path / "model.tar.gz", tarfile.TarInfo(name)), target)
    assert not (tmp_path / "outside").exists()


def test_unpacking_writes_nothing_through_a_link_that_leads_out(tmp_path: Path) -> None:
    target, outside = tmp_path / "model", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    with pytest.raises(ArchiveError):
        unpack(archive(tmp_path / "model.tar.gz", link, tarfile.TarInfo("link/file")), target)
    assert not list(outside.iterdir())


def test_what_is_not_gzip_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "model.tar.gz"
    with tarfile.open(plain, "w") as target:
        target.addfile(tarfile.TarInfo("iris/config.pbtxt"))
    with pytest.raises(ArchiveError, match=r"model\.tar\.gz cannot be unpacked: .*gzip"):
        unpack(plain, tmp_path)
