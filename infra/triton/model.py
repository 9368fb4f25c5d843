"""One model directory of a repository, as Triton's core reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from infra.triton.backends import BACKENDS, ENSEMBLE, PAIRS, PLATFORMS, Backend
from infra.triton.config import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    ConfigError,
    ModelConfig,
    field_lines,
    messages,
    parse_config,
)
from infra.triton.listing import MAX_READ_BYTES, Listing

# Subdirectories of a model directory that are never versions: kWarmupDataFolder and its kin in Triton's constants.h.
WARMUP, INITIAL_STATE = "warmup", "initial_state"
FOLDERS = (WARMUP, INITIAL_STATE, "configs")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_VERSION = 2**63 - 1


class Tensor(NamedTuple):
    """A declared input or output: its place in the configuration, whether it is an input, and the message."""

    at: str
    kind: str
    config: Any

    @property
    def label(self) -> str:
        return f"{self.kind} {self.config.name}" if self.config.name else self.at


@dataclass(frozen=True)
class Model:
    """A model directory: what it holds and what its configuration says.

    Attributes:
        files: the files by path relative to the model directory, with their bytes.
        directories: the directories at any depth, relative to the model directory.
        config: an empty message where there is no `config.pbtxt`, or one that does not parse.
        configured: whether there is a `config.pbtxt`.
        lines: the line of each field of it.
        unparsed: why it does not parse.
        scripts: the text of `model.py` of each version directory, unless it is larger than what the check reads.
    """

    name: str
    files: Mapping[str, int]
    directories: frozenset[str]
    config: ModelConfig
    configured: bool
    lines: Mapping[str, int] = field(default_factory=dict)
    unparsed: ConfigError | None = None
    byte_order_mark: bool = False
    scripts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, listing: Listing, name: str) -> Model:
        files = listing.files_of.get(name, {})
        directories = listing.directories_of.get(name, frozenset())
        scripts = {
            version: listing.read(f"{name}/{version}/model.py", MAX_READ_BYTES).decode(errors="replace")
            for version in directories
            if files.get(f"{version}/model.py", MAX_READ_BYTES) < MAX_READ_BYTES and "/" not in version
        }
        if CONFIG_FILE not in files:
            return cls(name, files, directories, messages().ModelConfig(), False, scripts=scripts)
        content = listing.read(f"{name}/{CONFIG_FILE}", MAX_READ_BYTES)
        mark = content.startswith(BYTE_ORDER_MARK)
        text = content.decode("utf-8-sig", errors="replace")
        try:
            config, lines = parse_config(text, f"{name}/{CONFIG_FILE}"), field_lines(text)
        except ConfigError as error:
            return cls(name, files, directories, messages().ModelConfig(), True, {}, error, mark, scripts)
        return cls(name, files, directories, config, True, lines, None, mark, scripts)

    @property
    def config_file(self) -> str:
        return f"{self.name}/{CONFIG_FILE}"

    @property
    def is_too_large(self) -> bool:
        """Whether the configuration is larger than what the check parses."""
        return self.files.get(CONFIG_FILE, 0) > MAX_CONFIG_BYTES

    @property
    def is_ensemble(self) -> bool:
        return bool(self.config.platform == ENSEMBLE or self.config.HasField("ensemble_scheduling"))

    @cached_property
    def subdirectories(self) -> list[str]:
        """Names of the directories in the model directory, sorted as Triton's std::set."""
        return sorted((path for path in self.directories if "/" not in path), key=str.encode)

    @cached_property
    def versions(self) -> list[int]:
        """The versions that Triton counts, newest first: std::stoll reads `1` of `1.0` and `1_old` as well
        (VersionsToLoad in model_lifecycle.cc)."""
        numbers = set()
        for name in self.subdirectories:
            number = re.match(r"\s*[+-]?[0-9]+", name)
            if number and name not in FOLDERS and not (len(name) > 1 and name.startswith("0")):
                numbers.add(int(number[0]))
        return sorted(numbers, reverse=True)

    @property
    def loaded_versions(self) -> list[int]:
        """Those of them that the version policy loads; without a policy the newest one."""
        policy = self.config.version_policy
        if not self.config.HasField("version_policy"):
            return self.versions[:1]
        if policy.HasField("specific"):
            wanted = set(policy.specific.versions)
            return [version for version in self.versions if version in wanted]
        if policy.HasField("latest"):
            return self.versions[: policy.latest.num_versions]
        return self.versions

    @cached_property
    def backend_name(self) -> str | None:
        """The backend as named or as inferred by `AutoCompleteBackendFields`; None without."""
        if self.config.backend:
            return str(self.config.backend)
        if self.is_ensemble:
            return ENSEMBLE
        platform, filename = self.config.platform, self.config.default_model_filename
        if platform in PLATFORMS or (platform and not filename):
            return PLATFORMS.get(platform)
        held = {filename} if filename else self._first_directory
        for backend, files in _INFERRED_FROM:
            if not held.isdisjoint(files):
                return backend
        if filename:
            return None
        return self.name.partition(".")[2] or None

    @cached_property
    def backend(self) -> Backend:
        return BACKENDS.get(self.backend_name or "", Backend())

    @property
    def platform(self) -> str:
        """The platform as given or as `AutoCompleteBackendFields` sets it."""
        if self.config.platform:
            return str(self.config.platform)
        return PAIRS.get(self.backend_name or "", ("",))[0]

    @property
    def brings_backend(self) -> bool:
        """Whether the model directory or a version directory has the backend's library."""
        library = f"libtriton_{self.backend_name}.so"
        return any(path == library or path.endswith(f"/{library}") for path in self.files)

    @property
    def tensors(self) -> Iterator[Tensor]:
        """The declared inputs, then the outputs."""
        for kind, tensors in (("input", self.config.input), ("output", self.config.output)):
            for index, tensor in enumerate(tensors):
                yield Tensor(f"{kind}[{index}]", kind, tensor)

    def holds(self, path: str) -> bool:
        """Whether the model directory has a file or a directory of this path."""
        return path in self.files or path in self.directories

    def line(self, path: str) -> int | None:
        """The line of a field such as `input[0].dims[1]`, or of the nearest one around it that is written down."""
        segments = [segment if segment.endswith("]") else f"{segment}[0]" for segment in path.split(".")]
        for length in range(len(segments), 0, -1):
            line = self.lines.get(".".join(segments[:length]))
            if line is not None:
                return line
        return None

    @cached_property
    def _first_directory(self) -> set[str]:
        """What is in the first subdirectory, the only one from which Triton infers the backend."""
        if not self.subdirectories:
            return set()
        prefix = f"{self.subdirectories[0]}/"
        below = [path.removeprefix(prefix) for path in (*self.files, *self.directories) if path.startswith(prefix)]
        return {path for path in below if "/" not in path}


_INFERRED_FROM = (
    ("tensorflow", ("model.savedmodel", "model.graphdef")),
    ("tensorrt", ("model.plan",)),
    ("onnxruntime", ("model.onnx",)),
    ("openvino", ("model.xml",)),
    ("pytorch", ("model.pt", "model.pt2")),
    ("python", ("model.py",)),
)
"""In the order of `AutoCompleteBackendFields`."""
