"""A stack's configuration as a whole: its settings, and the model repositories that they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from infra import models
from infra.diagnostics.problem import ConfigurationError
from infra.models import Models
from infra.settings.load import load, valid_endpoints
from infra.settings.stack import Settings


def read(
    config: Mapping[str, str], project: str, secret: Collection[str], root: Path, stack: str | None = None
) -> tuple[Settings, Models]:
    """The settings in Pulumi's `config`, and the models that they name, relative to `root`.

    Args:
        secret: the keys of `config` that hold a secret, at any depth.
        stack: its name, for the commands that errors name.

    Raises:
        ConfigurationError: with every problem of both at once.
    """
    try:
        settings = load(config, project, secret, stack)
    except ConfigurationError as error:
        problems = list(error.problems)
        try:
            models.read(valid_endpoints(config, project), root, project)
        except ConfigurationError as of_models:
            problems += of_models.problems
        raise ConfigurationError(problems) from None
    return settings, models.read(settings.endpoints, root, project)
