"""The credentials that `docker login` stored for a registry: in config.json, or with a credential helper.

Formats: docker CLI reference, `docker login`, "Credential stores" and "Credential helper protocol".
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from infra.image.manifest import UNREADABLE

_SERVERS = {"docker.io": "https://index.docker.io/v1/"}
"""What docker calls a registry that it does not call by its host."""

_HELPER_SECONDS = 30


class NoCredentials(Exception):
    """Docker may have credentials for the registry, but they cannot be used. The message has none of them."""


def basic_authorization(registry: str) -> str | None:
    """The value of the Authorization header for a registry; None if docker has no credentials for it.

    Raises:
        NoCredentials
    """
    try:
        file = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    except RuntimeError:  # no home directory
        return None
    try:
        config = json.loads(file.read_bytes())
        server = _SERVERS.get(registry, registry)
        helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
        if helper and (credentials := _from_helper(helper, server)):
            return credentials
        entries = [entry for name, entry in config.get("auths", {}).items() if _host(name) == _host(server)]
        return next((_from_entry(entry) for entry in entries if entry.get("auth")), None)
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE):
        raise NoCredentials(f"{file} is not a valid configuration of docker.") from None


def _from_helper(helper: str, server: str) -> str | None:
    """The credentials that the program `docker-credential-HELPER` has."""
    program = f"docker-credential-{helper}"
    try:
        answer = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCredentials(f"{program} did not run: {type(error).__name__}.") from None
    if answer.returncode and b"credentials not found" in answer.stdout:
        return None
    try:
        stored = json.loads(answer.stdout)
        return _basic(stored["Username"], stored["Secret"])
    except UNREADABLE:
        raise NoCredentials(f"{program} did not return credentials (exit code {answer.returncode}).") from None


def _from_entry(entry: dict[str, Any]) -> str:
    """The credentials of an entry of `auths`."""
    user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    return _basic("<token>" if entry.get("identitytoken") else user, password)


def _basic(user: str, password: str) -> str:
    if user == "<token>":  # as helpers name it
        raise NoCredentials("docker has an identity token, which is not supported. Log in with an access token.")
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _host(server: str) -> str:
    """The host of a name in `auths`, which may be a URL."""
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]
