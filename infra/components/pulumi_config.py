"""The configuration that the engine runs the program with."""

from __future__ import annotations

from pulumi.runtime import config


def stack_config() -> dict[str, str]:
    """The whole configuration of the stack.

    `pulumi.Config` reads single keys only, and a key that nobody asks for could not be refused.
    """
    return {**config.get_config_env(), **config.CONFIG.get()}


def secret_keys() -> set[str]:
    """The keys of that configuration which hold a secret, at any depth."""
    return {key for key in stack_config() if config.is_config_secret(key)}
