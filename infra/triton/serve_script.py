"""The rules of `docker/sagemaker/serve`, which starts Triton in AWS's image (triton-inference-server/server).

The same environment variables, the same refusals in the same words, the same arguments.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "SAGEMAKER_TRITON_"


class ServeError(Exception):
    """`serve` ends with exit code 1 before it starts Triton; the message holds its own lines."""


class ArchiveError(ServeError):
    """The artifact is not a gzip-compressed tar archive, so SageMaker cannot unpack it."""


def unpack(archive: Path, target: Path) -> None:
    """What `tar xzf` leaves of the archive, hidden files included; it writes nothing outside of `target`.

    Raises `ArchiveError` with tar's own words.
    """
    command = ["tar", "--extract", "--gzip", "--no-same-owner", f"--file={archive.absolute()}", f"--directory={target}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise ArchiveError(f"{archive.name} cannot be unpacked: {done.stderr.strip()}")


@dataclass(frozen=True)
class Serve:
    """What `serve` decides before it runs Triton: the server's arguments, its environment, and what it prints."""

    arguments: list[str]
    environment: dict[str, str]
    output: list[str]


def serve(repository: Path, environment: Mapping[str, str], at: Path | None = None) -> Serve:
    """The decisions of AWS's `serve` script for an unpacked artifact; raises `ServeError` where it exits with 1.

    Args:
        at: where Triton finds the repository, if not where it is here.
    """
    if environment.get("SAGEMAKER_MULTI_MODEL") == "true":
        raise ServeError("SAGEMAKER_MULTI_MODEL=true: multi-model endpoints cannot run here")
    variables = dict(environment)
    # `serve` sets the ping mode without exporting it: Triton sees it only where the container's environment has one.
    if f"{_PREFIX}PING_MODE" in variables:
        variables[f"{_PREFIX}PING_MODE"] = variables.get(f"{_PREFIX}OVERRIDE_PING_MODE") or "ready"
    if (repository / "config.pbtxt").is_file():
        raise ServeError(
            "ERROR: Incorrect directory structure.\n       Model directory needs to contain the top level folder"
        )
    _check_inference_type(variables.get(f"{_PREFIX}INFERENCE_TYPE", ""))
    name, output = _default_model(repository, variables.get(f"{_PREFIX}DEFAULT_MODEL_NAME", ""))
    variables[f"{_PREFIX}DEFAULT_MODEL_NAME"] = name
    # The script's unquoted $SAGEMAKER_ARGS: the shell splits every value at blanks and knows no quotes.
    arguments = " ".join([*_arguments(variables), f"--load-model={name}"]).split()
    return Serve([f"--model-repository={at or repository}", *arguments], variables, output)


def _check_inference_type(inference_type: str) -> None:
    if inference_type not in ("", "infer", "generate", "generate_stream"):
        raise ServeError(
            f"ERROR: Invalid {_PREFIX}INFERENCE_TYPE '{inference_type}'\n"
            "       Must be one of: infer, generate, generate_stream"
        )


def _arguments(environment: Mapping[str, str]) -> Iterator[str]:
    def value(name: str) -> str:
        return environment.get(f"{_PREFIX}{name}", "")

    yield "--allow-sagemaker=true"
    yield "--allow-http=false"
    yield "--model-control-mode=explicit"
    yield f"--model-namespacing={value('DISABLE_MODEL_NAMESPACING') or 'true'}"
    if environment.get("SAGEMAKER_SAFE_PORT_RANGE"):
        yield f"--sagemaker-safe-port-range={environment['SAGEMAKER_SAFE_PORT_RANGE']}"
    yield f"--allow-grpc={value('ALLOW_GRPC') or 'false'}"
    yield f"--allow-metrics={value('ALLOW_METRICS') or 'false'}"
    for name, argument in (
        ("METRICS_PORT", "metrics-port"),
        ("GRPC_PORT", "grpc-port"),
        ("BUFFER_MANAGER_THREAD_COUNT", "buffer-manager-thread-count"),
        ("THREAD_COUNT", "sagemaker-thread-count"),
    ):
        if value(name):
            yield f"--{argument}={value(name)}"
    yield f"--log-verbose={value('LOG_VERBOSE') or 'true'}"
    for level in ("INFO", "WARNING", "ERROR"):
        if value(f"LOG_{level}"):
            yield f"--log-{level.lower()}={value(f'LOG_{level}')}"
    yield f"--backend-config=python,shm-default-byte-size={value('SHM_DEFAULT_BYTE_SIZE') or 16777216}"
    yield f"--backend-config=python,shm-growth-byte-size={value('SHM_GROWTH_BYTE_SIZE') or 1048576}"
    if value("TENSORFLOW_VERSION"):
        yield f"--backend-config=tensorflow,version={value('TENSORFLOW_VERSION')}"
    # SAGEMAKER_TRITON_MODEL_LOAD_GPU_LIMIT adds one argument for each GPU; there is none here.
    yield value("ADDITIONAL_ARGS")


def _default_model(repository: Path, name: str) -> tuple[str, list[str]]:
    """The model that `serve` loads, and the warning it prints if no model is named."""
    if name:
        if not (repository / name).is_dir():
            raise ServeError(f"ERROR: Directory with provided {_PREFIX}DEFAULT_MODEL_NAME {name} does not exist")
        return name, []
    directories = sorted(path.name for path in repository.iterdir() if path.is_dir() and not path.is_symlink())
    if not directories:
        raise ServeError("ERROR: No model found in model repository")
    if len(directories) > 1:
        raise ServeError(
            "ERROR: More than 1 model directory found in model repository.\n"
            f"       Either provide a single directory or set {_PREFIX}DEFAULT_MODEL_NAME "
            "to run the ensemble backend.\n"
            f"       Directories found in model repository: {' '.join(directories)}"
        )
    return directories[0], [
        f"WARNING: No {_PREFIX}DEFAULT_MODEL_NAME provided.",
        f"         Starting with the only existing model directory {directories[0]}",
    ]
