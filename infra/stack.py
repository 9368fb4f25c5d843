"""A stack as it is read: its settings, and the model repositories that they name."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.diagnostics.problem import ConfigurationError, Location, Problem
from infra.settings.endpoint_sections import Variant
from infra.settings.load import validate
from infra.settings.model import ModelArtifactSettings
from infra.settings.section import InvalidSetting
from infra.settings.stack import Settings
from infra.triton.artifact import ArtifactTarget
from infra.triton.check import check_repository
from infra.triton.model_files import UnsupportedModel
from infra.triton.repository import ModelRepository, ModelRepositoryError
from infra.triton.sample_request import SampleRequest, request_for_repository

MAX_SHOWN = 20
"""Problems of one model repository."""


@dataclass(frozen=True)
class Model:
    """What a variant serves.

    Attributes:
        source: a model repository on disk, or the key of an artifact in the bucket.
        default_model_name: the model that answers; None lets Triton serve the only one in the artifact.
        sample_request: a request that the model answers, if it could be made from its configuration.
        check_for: what an artifact is checked for before it is released; None skips the check.
    """

    source: ModelRepository | str
    default_model_name: str | None
    sample_request: SampleRequest | None = None
    check_for: ArtifactTarget | None = None


@dataclass(frozen=True)
class Stack:
    """A valid stack.

    Attributes:
        models: by endpoint and variant.
        warnings: what SageMaker or Triton would accept or ignore, but is probably a mistake.
        root: the directory of the project.
    """

    settings: Settings
    models: Mapping[str, Mapping[str, Model]]
    warnings: tuple[Problem, ...]
    root: Path

    @classmethod
    def read(
        cls,
        config: Mapping[str, str],
        project: str,
        secret: Collection[str],
        root: Path,
        stack: str | None = None,
        misread: Collection[Location] = (),
    ) -> Stack:
        """Read the settings in Pulumi's `config`, and check every model repository that they name, relative to `root`.

        Args:
            secret: the keys of `config` that hold a secret, at any depth.
            stack: its name, which commands in errors contain.
            misread: the paths in the stack file of errors that `config` does not show.

        Raises:
            ConfigurationError: with every problem of the settings and of the repositories.
        """
        settings, validation = validate(config, project, secret, stack)
        image = None
        with contextlib.suppress(InvalidSetting):
            image = settings.image.tag or None
        models: dict[str, dict[str, Model]] = {}
        checked: list[tuple[Variant, list[Problem]]] = []
        for name, variant, served in _variants(settings):
            key = validation.path(("endpoints", name, "variants", variant, "model", "path"))
            with contextlib.suppress(InvalidSetting):
                model, problems = _read(served, root, key, image)
                checked.append((served, problems))
                if model is not None:
                    models.setdefault(name, {})[variant] = model
        validation.add_warnings(misread)
        for served, problems in checked:
            certain = _is_valid(settings, served)
            validation.problems += [problem for problem in problems if certain or problem.severity == "error"]
        warnings = [problem for problem in validation.problems if problem.severity == "warning"]
        if f"{project}:endpoints" in secret:  # Pulumi does not report which of its values are
            warnings = [warning for warning in warnings if warning.rule != "plaintext-variable"]
        if validation.errors:
            raise ConfigurationError(validation.errors, warnings)
        return cls(settings, models, tuple(warnings), root)


def moved(created: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Problem]:
    """The problems of a stack that moves, because an endpoint cannot.

    Args:
        created: `accountId` and `region` of the first deployment.
        now: those of this deployment.
    """
    if created["region"] != now["region"]:
        yield Problem(
            "region-changed",
            f"is {now['region']}, but the stack was created in {created['region']}, and an endpoint cannot move. "
            f"Set it back to {created['region']}. To serve from {now['region']}, create another stack (`pulumi "
            "stack init`), move the callers, and destroy this one.",
            path=("aws:region",),
        )
    if created["accountId"] != now["accountId"]:
        yield Problem(
            "account-changed",
            f"the credentials are of account {now['accountId']}, but the stack was created in account "
            f"{created['accountId']}. Use credentials of that account. For another account, create another stack.",
            path=("aws",),
        )


def _variants(settings: Settings) -> Iterator[tuple[str, str, Variant]]:
    """The variants by their endpoints and names, as far as these are valid."""
    with contextlib.suppress(InvalidSetting):
        for name, endpoint in settings.endpoints.items():
            with contextlib.suppress(InvalidSetting):
                for variant, served in endpoint.variants.items():
                    yield name, variant, served


def _is_valid(settings: Settings, variant: Variant) -> bool:
    """Whether the settings with which a variant's repository was checked have no error."""
    with contextlib.suppress(InvalidSetting):
        model = variant.model.model_dump()
        return bool((settings.image.tag, model, variant.hardware, variant.readable_environment))
    return False


def _read(variant: Variant, root: Path, key: Location, image: str | None) -> tuple[Model | None, list[Problem]]:
    """The model of a variant, unless there are errors; and its problems. An artifact in the bucket is not read."""
    default = variant.model.default_model_name
    if isinstance(variant.model, ModelArtifactSettings):
        target = ArtifactTarget(default, variant.hardware, variant.readable_environment, image)
        return Model(variant.model.artifact, default, check_for=target if variant.model.check_artifact else None), []
    path = variant.model.path
    try:
        repository = ModelRepository.read(root / path)
        default = default or repository.only_model
    except ModelRepositoryError as error:
        return None, _shown(key, path, error.problems)
    except OSError as error:
        return None, [Problem("model-unreadable", f"{path} cannot be read: {error.strerror}.", path=key)]
    problems = check_repository(
        repository.listing,
        default,
        hardware=variant.hardware,
        environment=variant.readable_environment,
        image=image,
    )
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors or default is None:  # without a default model there is an error
        return None, _shown(key, path, errors)
    sample_request = None
    with contextlib.suppress(UnsupportedModel):
        sample_request = request_for_repository(repository, default)
    return Model(repository, default, sample_request), [_at(key, path, problem) for problem in problems]


def _shown(key: Location, path: str, problems: Sequence[Problem]) -> list[Problem]:
    """The first of many: a directory that is not a model repository has as many problems as files."""
    shown = [_at(key, path, problem) for problem in problems[:MAX_SHOWN]]
    if left := len(problems) - len(shown):
        shown.append(
            Problem(
                "more",
                f"{path} has {left} more problems. Run `python -m infra model check {path}` to list them. Is it the "
                "intended model repository?",
                path=key,
            )
        )
    return shown


def _at(key: Location, path: str, problem: Problem) -> Problem:
    """A problem of the repository at `path`, with the key that names it and a file relative to Pulumi.yaml."""
    if problem.file == ".":  # all of the repository: perhaps `path` is wrong
        return replace(problem, path=key, file=None, message=f"{path}: {problem.message}")
    return replace(problem, path=key, file=f"{path}/{problem.file}")
