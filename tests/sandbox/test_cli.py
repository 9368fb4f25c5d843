"""`python -m sandbox` as people and scripts run it, on a small project."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from sandbox.home import PROJECT, Sandbox
from tests.sandbox.conftest import eventually
from tests.sandbox.small_project import write_small_project

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **more}


def sandbox_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sandbox", *arguments]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small project whose sandbox, if the test starts one, is gone afterwards."""
    monkeypatch.delenv("SANDBOX_HOME", raising=False)
    root = write_small_project(tmp_path / "project")
    yield root
    Sandbox(root=root).stop()


@pytest.fixture
def run(project: Path) -> Run:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            sandbox_command(*arguments), cwd=project, env=environment(**more), capture_output=True, text=True
        )

    return run


def configure(project: Path, config: str) -> None:
    (project / "Pulumi.dev.yaml").write_text(f"config: {{{config}}}\n")


def variables(exports: str) -> dict[str, str]:
    """What a shell would have after evaluating `exports`."""
    ran = subprocess.run(["sh", "-c", f"{exports}\nenv"], env={}, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in ran.stdout.splitlines())


@pytest.mark.parametrize("command", [["env"], ["status"], ["export"], ["destroy"], ["refresh"], ["logs", "endpoint"]])
def test_without_a_sandbox_a_command_says_so_on_stderr_alone(run: Run, command: list[str]) -> None:
    ran = run(*command)

    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith("sandbox: ")
    assert "make up" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_stack_without_a_file_starts_nothing(run: Run, project: Path) -> None:
    ran = run("up", "-s", "prod")

    assert ran.returncode == 1
    assert ran.stderr == "sandbox: Pulumi.prod.yaml does not exist. Stack files: Pulumi.dev.yaml.\n"
    assert not (project / ".sandbox").exists()


def test_the_life_of_a_stack(run: Run, project: Path) -> None:
    configure(project, "small:things: {a: 1}, small:protect: true")

    first, second = run("up"), run("up")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.startswith("sandbox: AWS runs at http://127.0.0.1:")
    assert "+ 2 created" in first.stdout
    assert first.stdout.splitlines()[-1] == "dev: deployed."
    assert "AWS runs at" not in second.stdout
    assert second.stdout.splitlines()[-1] == "dev: nothing changed."
    assert first.stderr == second.stderr == ""

    exported = run("export", "-s", "dev")
    assert exported.stderr == ""
    assert [r["id"] for r in json.loads(exported.stdout)["deployment"]["resources"] if "id" in r][-1] == "id-1"

    destroyed = run("destroy")
    assert destroyed.returncode == 1
    assert "protected" in destroyed.stdout

    aws = Sandbox(root=project).running()
    down = run("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "dev: Thing id-1 is kept when its stack is destroyed" in down.stdout
    assert f"stopped AWS (process {aws.pid})" in down.stdout
    assert not psutil.pid_exists(aws.pid)
    assert not (project / ".sandbox").exists()


def test_a_program_that_fails_is_shown_last_and_without_a_traceback(run: Run, project: Path) -> None:
    configure(project, "small:problem: minimum over maximum")

    ran = run("up")

    assert ran.returncode == 1
    assert ran.stderr == "sandbox: up of dev failed\n"
    assert "minimum over maximum" in ran.stdout.partition("Diagnostics:")[2]
    assert ran.stdout.splitlines()[-1] == "minimum over maximum"
    assert "Traceback" not in ran.stdout


def test_a_resource_that_fails_is_shown_and_nothing_of_the_inside(run: Run, project: Path) -> None:
    configure(project, "small:things: {a: 1}")
    run("up")
    configure(project, "small:things: {a: 1, b: 2, c: 3}, small:error: no capacity")

    ran = run("up")

    assert ran.returncode == 1
    assert "no capacity" in ran.stdout.rpartition("Outputs:")[2], "after the outputs, which the engine marks as deleted"
    assert ran.stderr == "sandbox: up of dev failed\n"


def test_a_sandbox_whose_aws_died_starts_over_and_says_so(run: Run, project: Path) -> None:
    configure(project, "small:things: {a: 1}")
    run("up")
    aws = psutil.Process(Sandbox(root=project).running().pid)
    aws.kill()
    eventually(lambda: not aws.is_running() or aws.status() == psutil.STATUS_ZOMBIE)
    assert run("env").returncode == 1

    ran = run("up")

    assert "the AWS of the last `up` is gone" in ran.stdout
    assert "+ 2 created" in ran.stdout


def test_env_leads_any_client_to_the_sandbox_whatever_profile_it_had(run: Run, project: Path) -> None:
    (project / "config").write_text("[profile production]\nregion = eu-west-1\nservices = s\n[services s]\n")
    production: Mapping[str, str] = {
        "AWS_PROFILE": "production",
        "AWS_CONFIG_FILE": str(project / "config"),
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ENDPOINT_URL_STS": "https://sts.example.com",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "HTTP_PROXY": "http://proxy.example.com:3128",
    }
    aws = Sandbox(root=project).start()

    ran = run("env", **production)

    assert ran.stderr == ""
    assert all(line.startswith("export ") for line in ran.stdout.splitlines())
    exports = variables(ran.stdout)
    assert exports["AWS_ENDPOINT_URL"] == aws.url
    assert exports["AWS_REGION"] == exports["AWS_DEFAULT_REGION"] == aws.region
    assert (exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]) == astuple(aws.access_key)
    client = {**environment(**production), **exports}
    boto3 = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'], boto3.Session().region_name)"
    said = subprocess.run([sys.executable, "-c", boto3], env=client, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [aws.account, aws.region]
    cli = [sys.executable, "-m", "awscli", "sts", "get-caller-identity", "--query", "Account", "--output", "text"]
    said = subprocess.run(cli, env=client, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [aws.account]


def test_logs_of_an_unknown_endpoint_are_an_error(run: Run, project: Path) -> None:
    Sandbox(root=project).start()

    ran = run("logs", "nobody")

    assert ran.returncode == 1
    assert "/aws/sagemaker/Endpoints/nobody" in ran.stderr


def test_logs_are_what_cloudwatch_holds(run: Run, project: Path) -> None:
    sandbox = Sandbox(root=project)
    sandbox.start()
    client, group = sandbox.client("logs"), "/aws/sagemaker/Endpoints/iris"
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName="AllTraffic/i-1")
    now = datetime.now(UTC).replace(microsecond=250_000)
    event = {"timestamp": round(now.timestamp() * 1000), "message": "server started"}
    client.put_log_events(logGroupName=group, logStreamName="AllTraffic/i-1", logEvents=[event])

    assert run("logs", "iris").stdout == f"{now:%Y-%m-%dT%H:%M:%S}.250Z AllTraffic/i-1 server started\n"


def test_status_shows_aws_and_the_stacks(run: Run, project: Path) -> None:
    configure(project, "small:things: {a: 1}, small:protect: true")
    run("up")

    ran = run("status")

    assert ran.returncode == 0
    assert Sandbox(root=project).running().url in ran.stdout
    assert [cell.strip() for line in ran.stdout.splitlines() if "dev" in line for cell in line.split("│")[1:4]] == [
        "dev",
        "3",
        "1",
    ]


@pytest.fixture
def held_up(project: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """`up` on a terminal, in the midst of a creation: its process, the terminal and the file that holds it."""
    hold = tmp_path / "hold"
    configure(project, f"small:things: {{a: 1}}, small:hold: {hold}")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, os.ttyname(theirs), *sandbox_command("up")[1:]],
        cwd=project,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    eventually(hold.exists)
    yield process, ours, hold
    process.kill()
    process.wait()
    os.close(ours)
    os.close(theirs)


ON_A_TERMINAL = """
import os, sys
os.open(sys.argv[1], os.O_RDWR)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Becomes a command whose controlling terminal is the given one."""


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM"])
def test_an_interrupted_up_ends_in_order_and_asks_the_engine_once(
    held_up: tuple[subprocess.Popen[bytes], int, Path], run: Run, project: Path, how: str
) -> None:
    process, terminal, hold = held_up
    assert process.stdout is not None
    if how == "ctrl-c":
        os.write(terminal, b"\x03")
    else:
        os.kill(process.pid, signal.SIGTERM)
    output = b""
    while b"cancelling" not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    hold.unlink()
    output += process.stdout.read()
    text = output.decode()

    assert process.wait() == 1
    assert text.count("^C received") == 1
    assert "update canceled" in text
    assert "Traceback" not in text
    assert text.rstrip().endswith("sandbox: up of dev failed")
    configure(project, "small:things: {a: 1}")
    again = run("up")
    assert again.returncode == 0
    assert "lock" not in again.stdout
