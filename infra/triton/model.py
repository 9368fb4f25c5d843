"""One model directory of a repository, as Triton's core reads it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from infra.diagnostics.problem import Problem
from infra.triton.config import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    ConfigError,
    ModelConfig,
    field_lines,
    messages,
    parse_config,
)
from infra.triton.repository import ModelRepository

# Subdirectories of a model directory that are never versions: kWarmupDataFolder and its kin in Triton's constants.h.
FOLDERS = ("warmup", "initial_state", "configs")

# What each backend loads from a version directory when `default_model_filename` names nothing (constants.h).
BACKEND_FILES: Mapping[str, tuple[str, ...]] = {
    "tensorrt": ("model.plan",),
    "onnxruntime": ("model.onnx",),
    "openvino": ("model.xml",),
    "pytorch": ("model.pt", "model.pt2"),
    "python": ("model.py",),
    "tensorflow": ("model.savedmodel", "model.graphdef"),
}
PLATFORM_BACKENDS: Mapping[str, str] = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
}
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Model:
    """A model directory: what it holds and what its configuration says.

    `config` is an empty message where there is no `config.pbtxt`, or one that does not parse (`unparsed` says why).
    """

    name: str
    files: frozenset[str]
    """Paths of files, relative to the model directory."""
    directories: frozenset[str]
    """Names of the directories in the model directory."""
    config: ModelConfig
    configured: bool
    lines: Mapping[str, int] = field(default_factory=dict)
    unparsed: Problem | None = None

    @cached_property
    def _folders(self) -> frozenset[str]:
        """Every directory that a file is in, at any depth."""
        found: set[str] = set()
        for file in self.files:
            while (file := file.rpartition("/")[0]) and file not in found:
                found.add(file)
        return frozenset(found)

    @property
    def config_file(self) -> str:
        return f"{self.name}/{CONFIG_FILE}"

    @property
    def is_ensemble(self) -> bool:
        return bool(self.config.platform == ENSEMBLE or self.config.HasField("ensemble_scheduling"))

    @cached_property
    def versions(self) -> list[int]:
        """The version directories that Triton counts (VersionsToLoad in model_lifecycle.cc), newest first."""
        return sorted((int(name) for name in self.directories if re.fullmatch(r"0|[1-9][0-9]*", name)), reverse=True)

    @property
    def loaded_versions(self) -> list[int]:
        """Those of them that the version policy loads; without a policy the newest one."""
        policy = self.config.version_policy
        if policy.HasField("specific"):
            wanted = set(policy.specific.versions)
            return [version for version in self.versions if version in wanted]
        if policy.HasField("all"):
            return self.versions
        return self.versions[: policy.latest.num_versions or 1]

    @property
    def backend(self) -> str | None:
        """The backend that Triton takes: the named one, or inferred as AutoCompleteBackendFields does; None without."""
        if self.config.backend:
            return str(self.config.backend)
        if self.is_ensemble:
            return ENSEMBLE
        if self.config.platform:
            return PLATFORM_BACKENDS.get(self.config.platform)
        held = [self.config.default_model_filename] if self.config.default_model_filename else self._in_versions()
        for backend, files in BACKEND_FILES.items():
            if any(file in held for file in files):
                return backend
        return self.name.partition(".")[2] or None

    def holds(self, path: str) -> bool:
        """Whether the model directory has a file, or a directory with files, of this path."""
        return path in self.files or path in self._folders

    def line(self, path: str) -> int | None:
        """The line of a field such as `input[0].dims[1]`, or of the nearest one around it that is written down."""
        segments = [segment if segment.endswith("]") else f"{segment}[0]" for segment in path.split(".")]
        for length in range(len(segments), 0, -1):
            line = self.lines.get(".".join(segments[:length]))
            if line is not None:
                return line
        return None

    def error(self, message: str, at: str = "") -> Problem:
        return self._problem("error", message, at)

    def warning(self, message: str, at: str = "") -> Problem:
        return self._problem("warning", message, at)

    def _problem(self, severity: Literal["error", "warning"], message: str, at: str) -> Problem:
        """A finding about a field of the configuration, or about the directory when there is none to point at."""
        if self.configured and at:
            return Problem("", message, severity, file=self.config_file, line=self.line(at))
        return Problem("", message, severity, file=self.name)

    def _in_versions(self) -> set[str]:
        in_versions = (file.split("/") for file in self.files if file.count("/") >= 1)
        return {parts[1] for parts in in_versions if parts[0].isdigit()}


def read_models(repository: ModelRepository) -> list[Model]:
    files, directories = _by_top(repository.files), _by_top(repository.directories)
    return [_read_model(repository, name, files[name], directories[name]) for name in repository.model_names]


def _read_model(repository: ModelRepository, name: str, below: Collection[str], folders: Collection[str]) -> Model:
    files, directories = frozenset(below), frozenset(path for path in folders if "/" not in path)
    config, lines, unparsed = messages().ModelConfig(), {}, None
    if CONFIG_FILE in files:
        filename = f"{name}/{CONFIG_FILE}"
        try:
            with repository.files[filename].open("rb") as file:
                text = file.read(MAX_CONFIG_BYTES + 1).decode()
            config, lines = parse_config(text, filename), field_lines(text)
        except ConfigError as error:
            unparsed = Problem("config-syntax", error.reason, file=filename, line=error.line)
        except UnicodeDecodeError as error:
            unparsed = Problem("config-syntax", f"is not UTF-8: {error.reason}", file=filename)
    return Model(name, files, directories, config, CONFIG_FILE in files, lines, unparsed)


def _by_top(paths: Iterable[str]) -> Mapping[str, list[str]]:
    """Paths relative to the directory at the top that they are in."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        top, _, below = path.partition("/")
        if below:
            found[top].append(below)
    return found
