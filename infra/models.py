"""The model repositories on disk that a stack releases, read and checked before any resource is registered."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.aws import instance_types
from infra.diagnostics.location import Location
from infra.diagnostics.problem import ConfigurationError, Problem
from infra.settings.endpoint import EndpointSettings
from infra.settings.model import ModelArtifactSettings
from infra.settings.variant import VariantSettings
from infra.triton import problem as triton
from infra.triton.check import check_repository
from infra.triton.problem import ModelRepositoryError
from infra.triton.repository import ModelRepository
from infra.triton.sample_request import SampleRequest, UnsupportedModel, request_for_repository

MAX_SHOWN = 20
"""Problems of one model repository."""


@dataclass(frozen=True)
class Model:
    """What a variant serves.

    Attributes:
        source: a model repository on disk, or the key of an artifact in the bucket.
        default_model_name: the model that answers; None lets Triton take the only one in the artifact.
        sample_request: a request that the model answers, if it could be made from its configuration.
    """

    source: ModelRepository | str
    default_model_name: str | None
    sample_request: SampleRequest | None = None


@dataclass(frozen=True)
class Models:
    """The models that a stack releases.

    Attributes:
        by_endpoint: of each endpoint the model of each variant.
        warnings: what Triton would pass over in silence.
    """

    by_endpoint: Mapping[str, Mapping[str, Model]]
    warnings: tuple[Problem, ...]


def read(endpoints: Mapping[str, EndpointSettings], root: Path, project: str) -> Models:
    """Read and check every `model.path`, relative to `root`.

    Raises:
        ConfigurationError: with every problem of every repository.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    by_endpoint: dict[str, dict[str, Model]] = {}
    for name, endpoint in endpoints.items():
        models = by_endpoint.setdefault(name, {})
        for variant, served in endpoint.production_variants.items():
            key = f"{project}:endpoints", name, *endpoint.key(variant, "model.path").split(".")
            try:
                model, found = _read(served, root, key)
            except ConfigurationError as error:
                problems += error.problems
            else:
                models[variant] = model
                warnings += found
    if problems:
        raise ConfigurationError(problems)
    return Models(by_endpoint, tuple(warnings))


def _read(variant: VariantSettings, root: Path, key: Location) -> tuple[Model, list[Problem]]:
    """The model of a variant, and warnings about it; an artifact is not read."""
    default = variant.model.default_model_name
    if isinstance(variant.model, ModelArtifactSettings):
        return Model(variant.model.artifact, default), []
    path = variant.model.path
    try:
        repository = ModelRepository.read(root / path)
        default = default or repository.default_model_name()
    except ModelRepositoryError as error:
        raise ConfigurationError(_worth_showing(key, path, error.problems)) from None
    except OSError as error:
        raise ConfigurationError([Problem(key, f"{path} cannot be read: {error}")]) from None
    gpu = instance_types.has_gpu(variant.instance_type)
    found = check_repository(repository, default, gpu=gpu, environment=variant.environment)
    if errors := [each for each in found if each.severity == "error"]:
        raise ConfigurationError(_worth_showing(key, path, errors))
    sample_request = None
    with contextlib.suppress(UnsupportedModel):
        sample_request = request_for_repository(repository, default)
    return Model(repository, default, sample_request), [Problem(key, _at(path, each), "warning") for each in found]


def _worth_showing(key: Location, path: str, found: Sequence[triton.Problem]) -> list[Problem]:
    """The first of many: a directory that is no model repository at all has as many as it has files."""
    shown = [Problem(key, _at(path, each)) for each in found[:MAX_SHOWN]]
    if left := len(found) - len(shown):
        shown.append(Problem(key, f"{path}: and {left} problems more. Is it the model repository that was meant?"))
    return shown


def _at(path: str, found: triton.Problem) -> str:
    """A finding with its place as the stack file spells it: `examples/models/iris/config.pbtxt:3: …`."""
    place = path if found.file == "." else f"{path}/{found.file}"
    return f"{place}{'' if found.line is None else f':{found.line}'}: {found.message}"
