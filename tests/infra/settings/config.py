"""A valid configuration to change, and the problems of a changed one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from infra.cli.explain import matching
from infra.diagnostics.problem import ConfigurationError, Problem
from infra.settings.endpoint import EndpointSettings
from infra.settings.load import load
from infra.settings.reference import keys
from infra.settings.stack import Settings
from infra.stack import Stack

PROJECT = "triton-sagemaker"
KEYS = keys()
MODEL = {"path": "examples/models"}
VALID: dict[str, Any] = {
    "aws:region": "ap-northeast-1",
    f"{PROJECT}:environment": "staging",
    f"{PROJECT}:tags": {"CostEnv": "prod", "CostService": "ranking"},
    f"{PROJECT}:endpoints": {
        "ranking": {
            "model": {"artifact": "artifacts/model_7.tar.gz"},
            "instanceType": "ml.r5.xlarge",
            "autoscaling": {"min": 2, "max": 10},
        }
    },
}


def settings(config: dict[str, Any], secret: Collection[str] = (), stack: str | None = None) -> Settings:
    """The settings in a configuration before its values are JSON."""
    return load(_texts(config), PROJECT, secret, stack)


def warnings(config: dict[str, Any], secret: Collection[str] = ()) -> list[Problem]:
    """The warnings about a valid configuration."""
    return [*Stack.read(_texts(config), PROJECT, secret, Path(__file__).parents[3]).warnings]


def _texts(config: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def changed(path: str, value: Any) -> dict[str, Any]:
    """VALID with one value set, or removed if it is None. `ranking` stands for `endpoints.ranking`."""
    config = deepcopy(VALID)
    path = re.sub(r"^ranking\b", "endpoints.ranking", path)
    *parents, last = [path] if path.startswith("aws:") else f"{PROJECT}:{path}".split(".")
    section: Any = config
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    if value is None:
        del section[last]
    return config


def endpoint(**keys: Any) -> EndpointSettings:
    """The endpoint of VALID with more keys."""
    return settings(with_keys(**keys)).endpoints["ranking"]


def with_keys(**keys: Any) -> dict[str, Any]:
    """VALID with more keys of the endpoint."""
    return changed("ranking", VALID[f"{PROJECT}:endpoints"]["ranking"] | keys)


def problems(config: dict[str, Any], secret: Collection[str] = (), stack: str | None = None) -> tuple[Problem, ...]:
    """The problems of a configuration, of which there must be some."""
    with pytest.raises(ConfigurationError) as refused:
        settings(config, secret, stack)
    return refused.value.problems


def broken(config: dict[str, Any], secret: Collection[str] = ()) -> list[tuple[str, str]]:
    """The key of each problem, without the project, and its rule. Every key but an unknown one must be explained."""
    pairs = [(problem.key.removeprefix(f"{PROJECT}:"), problem.rule) for problem in problems(config, secret)]
    assert [key for key, rule in pairs if not rule.startswith("unknown-") and not matching(KEYS, key)] == []
    return pairs


def assert_broken(path: str, value: Any, rule: str, at: str | None = None) -> None:
    """A wrong value breaks one rule, at its own key or at another one."""
    assert broken(changed(path, value)) == [(re.sub(r"^ranking\b", "endpoints.ranking", at or path), rule)]
