"""Docker's credentials for a registry."""

from __future__ import annotations

import base64
import json
import traceback
from pathlib import Path

import pytest

from infra.image import credentials
from infra.image.credentials import NoCredentials, basic_authorization

SECRET = "not-to-be-shown"
LOGIN = base64.b64encode(f"user:{SECRET}".encode()).decode()
HEADER = f"Basic {LOGIN}"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration, and a place for helpers on PATH."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def configure(directory: Path, **config: object) -> None:
    (directory / "config.json").write_text(json.dumps(config))


def helper(directory: Path, script: str, name: str = "test") -> None:
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("nvcr.io", "nvcr.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("localhost:5000", "http://localhost:5000/v2/"),
        ("docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_a_login_is_stored_under_a_host_or_a_url(directory: Path, registry: str, name: str) -> None:
    configure(directory, auths={"other.test": {"auth": "b3RoZXI6"}, name: {"auth": LOGIN}})
    assert basic_authorization(registry) == HEADER


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"auths": {"nvcr.io.test": {"auth": LOGIN}}},
        {"auths": {"nvcr.io": {}}},
        {"credHelpers": {"other.test": "absent"}},
    ],
)
def test_a_registry_may_have_no_login(directory: Path, config: dict[str, object]) -> None:
    configure(directory, **config)
    assert basic_authorization("nvcr.io") is None


def test_docker_may_not_be_configured(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert basic_authorization("nvcr.io") is None
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(directory))
    assert basic_authorization("nvcr.io") is None
    (directory / ".docker").mkdir()
    configure(directory / ".docker", auths={"nvcr.io": {"auth": LOGIN}})
    assert basic_authorization("nvcr.io") == HEADER


@pytest.mark.parametrize(
    ("registry", "config", "server"),
    [
        ("nvcr.io", {"credHelpers": {"nvcr.io": "test"}, "credsStore": "absent"}, "nvcr.io"),
        ("nvcr.io", {"credsStore": "test"}, "nvcr.io"),
        ("docker.io", {"credsStore": "test"}, "https://index.docker.io/v1/"),
    ],
)
def test_a_helper_is_asked_on_its_input(directory: Path, registry: str, config: dict[str, object], server: str) -> None:
    configure(directory, **config)
    helper(directory, f'[ "$*" = get ] && cat > {directory}/asked; echo \'{{"Username":"user","Secret":"{SECRET}"}}\'')
    assert basic_authorization(registry) == HEADER
    assert (directory / "asked").read_text() == server


def test_what_a_helper_does_not_have_may_be_in_the_file(directory: Path) -> None:
    configure(directory, credsStore="test", auths={"nvcr.io": {"auth": LOGIN}})
    helper(directory, "echo credentials not found in native keychain; exit 1")
    assert basic_authorization("nvcr.io") == HEADER


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ([], "config.json is not a valid configuration"),
        ({"auths": {"nvcr.io": {"auth": f"!{SECRET}"}}}, "config.json is not a valid configuration"),
        ({"auths": {"nvcr.io": {"auth": LOGIN, "identitytoken": SECRET}}}, "identity token"),
        ({"credsStore": "absent"}, "docker-credential-absent did not run: FileNotFoundError"),
        ({"credsStore": "slow"}, "docker-credential-slow did not run: TimeoutExpired"),
        ({"credsStore": "broken"}, r"docker-credential-broken did not return credentials \(exit code 3\)"),
        ({"credsStore": "token"}, "identity token"),
    ],
)
def test_credentials_that_cannot_be_used_are_named_and_not_shown(
    directory: Path, monkeypatch: pytest.MonkeyPatch, config: object, says: str
) -> None:
    monkeypatch.setattr(credentials, "_HELPER_SECONDS", 1)
    (directory / "config.json").write_text(json.dumps(config))
    helper(directory, "exec sleep 20", "slow")
    helper(directory, f"echo {SECRET}; echo {SECRET} >&2; exit 3", "broken")
    helper(directory, f'echo \'{{"Username":"<token>","Secret":"{SECRET}"}}\'', "token")
    with pytest.raises(NoCredentials, match=says) as raised:
        basic_authorization("nvcr.io")
    assert SECRET not in "".join(traceback.format_exception(raised.value))
