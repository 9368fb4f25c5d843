"""The model repositories on disk that a stack releases, read and checked before any resource is registered."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra import instances
from infra.settings.error import ConfigurationError, Problem
from infra.settings.stack import Settings
from infra.triton import problem as triton
from infra.triton.problem import ModelRepositoryError
from infra.triton.question import CannotBeAskedError, Question, question_for_repository
from infra.triton.repository import ModelRepository


@dataclass(frozen=True)
class Model:
    """What an endpoint serves.

    Attributes:
        source: a model repository on disk, or the key of an artifact in the bucket.
        default_model_name: the model that answers; None lets Triton take the only one in the artifact.
        question: a request that the model answers, if it could be made from its configuration.
    """

    source: ModelRepository | str
    default_model_name: str | None
    question: Question | None = None


@dataclass(frozen=True)
class Models:
    """Of each endpoint its model, and what Triton would pass over in silence, as lines for the person deploying."""

    by_endpoint: Mapping[str, Model]
    warnings: tuple[str, ...]


def read(settings: Settings, root: Path, project: str) -> Models:
    """Read and check every `model.path`, relative to `root`.

    Raises:
        ConfigurationError: with every problem of every repository.
    """
    models: dict[str, Model] = {}
    problems: list[Problem] = []
    warnings: list[str] = []
    for name, endpoint in settings.endpoints.items():
        key = f"{project}:endpoints.{name}.model.path"
        if endpoint.model.path is None:
            models[name] = Model(endpoint.model.artifact or "", endpoint.model.default_model_name)
            continue
        try:
            repository = ModelRepository.read(root / endpoint.model.path)
            default = endpoint.model.default_model_name or repository.default_model_name()
        except ModelRepositoryError as error:
            problems += [Problem(key, _at(endpoint.model.path, found)) for found in error.problems]
            continue
        except OSError as error:
            problems.append(Problem(key, f"{endpoint.model.path} cannot be read: {error}"))
            continue
        question = None
        for found in repository.check(
            default, gpu=instances.has_gpu(endpoint.instance_type), environment=endpoint.environment
        ):
            if found.severity == "error":
                problems.append(Problem(key, _at(endpoint.model.path, found)))
            else:
                warnings.append(f"{key}: {_at(endpoint.model.path, found)}")
        with contextlib.suppress(CannotBeAskedError):
            question = question_for_repository(repository, default)
        models[name] = Model(repository, default, question)
    if problems:
        raise ConfigurationError(problems)
    return Models(models, tuple(warnings))


def _at(path: str, found: triton.Problem) -> str:
    """A finding with its place as the stack file spells it: `examples/models/iris/config.pbtxt:3: …`."""
    place = path if found.file == "." else f"{path}/{found.file}"
    return f"{place}{'' if found.line is None else f':{found.line}'}: {found.message}"
