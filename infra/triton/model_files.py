"""The files of the model that answers, in a repository or in an artifact, as far as requests depend on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import BinaryIO

from infra.diagnostics.printable import printable
from infra.triton import archive
from infra.triton.archive import ArchiveError
from infra.triton.config import CONFIG_FILE, MAX_CONFIG_BYTES, ConfigError, ModelConfig, parse_config
from infra.triton.repository import ModelRepository

MAX_BODY_BYTES = 6_291_456  # InvokeEndpoint's limit
MAX_SECONDS = 60.0
"""For reading an artifact."""
MAX_LISTED = 20


class UnsupportedModel(Exception):
    """No request can be generated or checked for a model; the message gives the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))


@dataclass(frozen=True)
class ModelFiles:
    """The `config.pbtxt` and the warm-up samples of one model.

    Attributes:
        model: its directory.
        contents: maps each path of the repository to a function that reads the first bytes of the file, because few of
            many files are read.
    """

    model: str
    contents: Mapping[str, Callable[[int], bytes]]

    @classmethod
    def of_repository(cls, repository: ModelRepository, model: str) -> ModelFiles:
        """The files of a model of a repository on disk."""
        return cls(model, {path: partial(repository.head, path) for path in repository.files})

    @classmethod
    def of_artifact(cls, stream: BinaryIO, default_model: str | None) -> ModelFiles:
        """The files of the default model of an artifact, which is read once.

        Without a default model, `serve` loads the only directory of the artifact.

        Raises:
            UnsupportedModel: the artifact cannot be read, or it has several models and no default model.
        """

        def wanted(path: str) -> int:
            model, _, file = path.partition("/")
            if model != (default_model or model):
                return 0
            if file == CONFIG_FILE:
                return MAX_CONFIG_BYTES + 1
            return MAX_BODY_BYTES + 1 if file.startswith("warmup/") else 0

        try:
            contents = archive.read(stream, wanted, MAX_SECONDS)
        except ArchiveError as error:
            raise UnsupportedModel(str(error)) from error
        if contents.unread:
            raise UnsupportedModel(contents.unread)
        names = contents.top_directories
        if not default_model and len(names) != 1:
            raise UnsupportedModel(f"several models ({', '.join(names[:MAX_LISTED])}) and no default model")
        return cls(default_model or names[0], {path: partial(contents.read, path) for path in contents.sizes})

    @cached_property
    def config(self) -> ModelConfig:
        """The model's configuration.

        Raises:
            UnsupportedModel: the model has no `config.pbtxt`, or it does not parse.
        """
        path = f"{self.model}/{CONFIG_FILE}"
        if path not in self.contents:
            raise UnsupportedModel(f"{self.model} has no {CONFIG_FILE}")
        try:
            return parse_config(self.contents[path](MAX_CONFIG_BYTES + 1).decode(errors="replace"), path)
        except ConfigError as error:
            raise UnsupportedModel(str(error)) from error

    def warmup(self) -> Mapping[str, bytes]:
        """The files that the first warm-up sample names, by their names in the `warmup` directory.

        Raises:
            UnsupportedModel: they are larger than a request.
        """
        inputs = self.config.model_warmup[0].inputs.values() if self.config.model_warmup else ()
        files: dict[str, bytes] = {}
        for name in {tensor.input_data_file for tensor in inputs}:
            if read := self.contents.get(f"{self.model}/warmup/{name}"):
                files[name] = read(MAX_BODY_BYTES + 1)
            if sum(map(len, files.values())) > MAX_BODY_BYTES:
                raise UnsupportedModel(f"its warm-up files hold more than {MAX_BODY_BYTES:,} bytes, SageMaker's 6 MB")
        return files
