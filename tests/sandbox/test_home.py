"""A sandbox's directory, its AWS process, and what clients of it have in their environment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.aws.access import AccessKey
from sandbox.home import Aws, Sandbox, SandboxError, client_environment, default_home

KEY = AccessKey("AKIDEXAMPLE", "hidden")
AWS = Aws(7, 1000.0, "http://127.0.0.1:5000", "ap-northeast-1", "123456789012", None, KEY)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path / "home", tmp_path, print)
    yield sandbox
    sandbox.stop()


def test_aws_is_started_once_answers_and_is_stopped(sandbox: Sandbox) -> None:
    assert sandbox.aws is None

    aws = sandbox.start()
    assert Sandbox(sandbox.home, sandbox.root, print).start() == aws
    assert sandbox.client("sts").get_caller_identity()["Account"] == aws.account
    sandbox.stop()

    assert sandbox.aws is None
    assert not psutil.pid_exists(aws.pid)


def test_providers_that_killed_engines_left_end_with_the_sandbox(sandbox: Sandbox) -> None:
    script = sandbox.home / "bin" / "pulumi-resource-x"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\nsleep 600\n")
    script.chmod(0o755)
    orphan = psutil.Process(subprocess.Popen([script]).pid)
    while not orphan.children():
        time.sleep(0.01)
    left = [orphan, *orphan.children()]
    sandbox.stop()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert alive == []


def test_an_aws_that_does_not_come_up_shows_the_end_of_its_log(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/ls")

    with pytest.raises(SandboxError, match=r"ended with code [^0].*aws\.log"):
        sandbox.start()


def test_a_process_that_only_has_the_id_is_neither_used_nor_stopped(sandbox: Sandbox) -> None:
    sandbox.home.mkdir()
    facts = {"pid": os.getpid(), "url": "", "region": "", "account": "", "triton": None}
    (sandbox.home / "aws.json").write_text(json.dumps(facts))

    assert sandbox.aws is None
    sandbox.stop()  # would end this very test


def test_an_aws_that_does_not_answer_is_named_with_the_way_out(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = sandbox.start()
    facts = json.loads((sandbox.home / "aws.json").read_text())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        facts["url"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (sandbox.home / "aws.json").write_text(json.dumps(facts))

        with pytest.raises(SandboxError, match=f"process {aws.pid}.*does not answer.*down --force"):
            sandbox.start()


def test_a_state_is_of_one_process_and_not_of_its_id() -> None:
    assert AWS.is_the_one({"pid": 7, "started": 1000.4})
    assert not AWS.is_the_one({"pid": 7, "started": 2000.0})
    assert not AWS.is_the_one({"pid": 8, "started": 1000.0})


def test_a_directory_with_other_things_is_neither_used_nor_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    sandbox = Sandbox(tmp_path, tmp_path, print)

    with pytest.raises(SandboxError, match="is no sandbox"):
        sandbox.start()
    with pytest.raises(SandboxError, match="is no sandbox"):
        sandbox.forget()

    assert (tmp_path / "thesis.tex").exists()


def test_the_home_is_in_the_project_unless_sandbox_home_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_HOME", "")
    assert default_home(tmp_path) == tmp_path / ".sandbox"
    monkeypatch.setenv("SANDBOX_HOME", "/elsewhere")
    assert default_home(tmp_path) == Path("/elsewhere")


def test_a_client_gets_the_address_the_access_key_and_no_file_of_the_user(tmp_path: Path) -> None:
    assert client_environment(AWS, tmp_path, {"PATH": "/bin"}) == {
        "AWS_ENDPOINT_URL": AWS.url,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_REGION": "ap-northeast-1",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_CONFIG_FILE": str(tmp_path / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AWS_PROFILE", "production", "default"),
        ("AWS_SESSION_TOKEN", "secret", ""),
        ("AWS_ENDPOINT_URL_S3", "https://elsewhere", AWS.url),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", "false"),
    ],
)
def test_what_would_lead_a_client_elsewhere_is_overridden(tmp_path: Path, name: str, value: str, expected: str) -> None:
    assert client_environment(AWS, tmp_path, {name: value})[name] == expected


def test_a_proxy_is_not_asked_for_the_sandbox(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "internal"}

    assert client_environment(AWS, tmp_path, environment)["no_proxy"] == "internal,127.0.0.1"
