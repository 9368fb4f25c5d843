"""Settings from a stack's configuration as Pulumi hands it over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from infra.settings.error import ConfigurationError, problems
from infra.settings.stack import Settings


def load(config: Mapping[str, str], project: str) -> Settings:
    """The settings in ``config``: Pulumi's flat map of ``namespace:key`` to text, structured values as JSON.

    Raises:
        ConfigurationError: with every problem of the configuration at once.
    """
    values: dict[str, Any] = {
        key.removeprefix(f"{project}:"): _value(text) for key, text in config.items() if key.startswith(f"{project}:")
    }
    if "aws:region" in config:
        values["region"] = config["aws:region"]
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(problems(error, Settings, project)) from None


def _value(text: str) -> Any:
    """Pulumi hands structured values over as JSON, and scalars as they are."""
    try:
        return json.loads(text) if text[:1] in "{[" else text
    except ValueError:
        return text
