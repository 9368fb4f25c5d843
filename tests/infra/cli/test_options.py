"""Every command refuses wrong usage and bad input alike: exit code 2, and a message that names the option."""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command

from infra.__main__ import COMMANDS, main
from infra.cli.options import name_of
from tests.messages.account import NOT_FOUND, Account, refusal

REQUIRED = {"--stack": "dev", "--input": "requests.jsonl", "--output": "model.tar.gz", "PATH": "models"}
REQUIRED |= {"JOB": "ranking-1", "SRC": "nvcr.io/nvidia/tritonserver:23.10-py3", "PRINCIPAL": "invoker"}
REQUIRED |= {"ENDPOINT": "ranking", "PATH|ARCHIVE|s3://BUCKET/KEY": "models"}
"""Valid values of required options and arguments."""


def commands() -> Iterator[tuple[str, Any]]:
    for name in COMMANDS:
        command = get_command(import_module(f"infra.cli.{name}").app)
        below: dict[str, Any] = getattr(command, "commands", {})
        if not below or command.invoke_without_command:  # type: ignore[attr-defined]
            yield name, command
        yield from ((f"{name} {inner}", each) for inner, each in below.items())


def options(kind: str) -> list[tuple[str, str]]:
    """The options and arguments of all commands of a kind, with a command line that has only the others."""
    listed = []
    for line, command in commands():
        for parameter in command.params:
            others = "".join(f" {_written(other)}" for other in command.params if other.required and other != parameter)
            if _kind(parameter) == kind:
                listed.append((f"{line}{others}", name_of(parameter)))
    return listed


def _written(parameter: Any) -> str:
    name = name_of(parameter)
    return f"{name} {REQUIRED[name]}" if name.startswith("-") else REQUIRED[name]


def _kind(parameter: Any) -> str:
    if parameter.type_descriptor.annotation in (int, float):
        return "number"
    return {"--stack": "stack", "ENDPOINT": "endpoint", "JOB": "job"}.get(name_of(parameter), "")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    missing = refusal("FilterLogEvents", "ResourceNotFoundException", "The specified log group does not exist.")
    with Account.made(describe_endpoint=NOT_FOUND, filter_log_events=missing) as account:
        yield account


def refused(line: str) -> str:
    """What a command line prints that is refused."""
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output), pytest.raises(SystemExit) as ended:
        main(shlex.split(line))
    assert ended.value.code == 2, output.getvalue()
    return output.getvalue()


@pytest.mark.parametrize("line", ["", *(line for line, _ in commands())])
def test_an_unknown_option_exits_with_2(account: Account, line: str) -> None:
    assert refused(f"{line} --nosuch").startswith("error: No such option: --nosuch")


@pytest.mark.parametrize(("line", "option"), options("stack"))
def test_an_unknown_stack_exits_with_2(account: Account, line: str, option: str) -> None:
    assert f"Invalid value for {option}: Pulumi.nosuch.yaml" in refused(f"{line} {option} nosuch")


@pytest.mark.parametrize("line", [line for kind in ("endpoint", "job") for line, _ in options(kind)])
def test_an_unknown_endpoint_or_job_exits_with_2(account: Account, line: str) -> None:
    stack = "" if "--stack" in line else " --stack dev"
    assert "nosuch" in refused(f"{line}{stack} nosuch")


@pytest.mark.parametrize("line", ["model check", "model list", "model pack -o a.tar.gz", "model test", "validate"])
def test_a_path_that_does_not_exist_exits_with_2(account: Account, line: str) -> None:
    assert "nosuch" in refused(f"{line} nosuch")


@pytest.mark.parametrize(("line", "option"), options("number"))
def test_what_is_not_a_number_is_refused_in_plain_words(account: Account, line: str, option: str) -> None:
    message = refused(f"{line} {option} many")
    assert f"Invalid value for {option}: must be a" in message and "not 'many'." in message


@pytest.mark.parametrize(
    ("line", "option"), [("batch status ranking-1", "--stack"), ("cost", "--stack"), ("model list", "PATH")]
)
def test_what_is_missing_is_named_without_quotes(account: Account, line: str, option: str) -> None:
    assert f" {option}." in refused(line)


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("policy -s dev deployr", "deployer"),
        ("validate --format jsn", "json"),
        ("model check models --format git", "github"),
    ],
)
def test_what_is_not_a_choice_is_refused_with_the_nearest(account: Account, line: str, nearest: str) -> None:
    assert f"not '{line.split()[-1]}'. Did you mean {nearest}?" in refused(line)


@pytest.mark.parametrize(
    ("line", "option", "other"),
    [
        ("invoke -s dev --concurrency 8", "--concurrency", "--bench"),
        ("dashboard -s dev --since 7d", "--since", "--png"),
        ("cost -s dev --request-seconds 1", "--request-seconds", "--requests-per-second"),
        ("cost -s dev --request-bytes 4000", "--request-bytes", "--requests-per-second"),
        ("cost -s dev --response-bytes 4000", "--response-bytes", "--from-metrics"),
        ("cost -s dev --idle 14 --from-metrics 14", "--idle", "--from-metrics"),
        ("cost -s dev --diff --requests-per-second 1", "--diff", "--requests-per-second"),
        ("cost --json compare -s dev ranking", "--json", "compare"),
        ("status -s dev --watch --json", "--watch", "--json"),
        ("batch status -s dev ranking-1 --follow --json", "--follow", "--json"),
        ("explain tags --write", "KEY", "--write"),
        ("validate --json --format github", "--json", "--format"),
        ("validate Pulumi.dev.yaml --cwd .", "FILE", "--cwd"),
        ("model check models --format text --json", "--json", "--format"),
    ],
)
def test_an_option_without_effect_is_refused(account: Account, line: str, option: str, other: str) -> None:
    message = refused(line)
    assert option in message and other in message
