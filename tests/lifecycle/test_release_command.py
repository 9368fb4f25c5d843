"""`python -m infra release` on releases with the real engine: what it shows, its exit codes, and its stop."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ruamel.yaml import YAML

from sandbox.home import PROJECT
from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import Account, consistent, development, write_model

CANARY = {"strategy": "canary", "instances": 1, "bakeSeconds": 3600, "timeoutSeconds": 28800}


class Commands:
    """The commands as a person runs them, in a project with the stack's file."""

    def __init__(self, account: Account, stack: Stack) -> None:
        self._account, self._stack = account, stack
        self._directory = account.directory / f"project-{stack.name}"
        self._directory.mkdir()
        (self._directory / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
        self.write(stack.config)

    def write(self, config: Mapping[str, Any] | None) -> None:
        """Edit the stack file."""
        with (self._directory / f"Pulumi.{self._stack.name}.yaml").open("w") as file:
            YAML().dump({"config": config}, file)

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "infra", "release", command, "-s", self._stack.name, *arguments],
            cwd=self._directory,
            env={**self._account.command_environment(), "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        """The exit code and what was printed."""
        return ended(self.start(command, *arguments))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=120)
    return process.returncode, printed


def test_a_canary_is_stopped_and_the_same_release_goes_through_later(account: Account) -> None:
    name, model = account.name(), account.model(1)
    alarms = {"errorRatePercent": 5}
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 2, "release": CANARY, "alarms": alarms}
    stack = account.stack(development({name: endpoint}))
    stack.operated = True
    commands = Commands(account, stack)
    stack.up()
    live = account.endpoint(name)["EndpointConfigName"]
    write_model(model, answer=2)
    with ThreadPoolExecutor(1) as thread, contextlib.ExitStack() as at_last:
        update = thread.submit(stack.up)
        at_last.callback(account.impose, timeFactor=1200)
        account.wait_for_stage(name, "Baking")
        new = account.endpoint(name)["PendingDeploymentSummary"]["EndpointConfigName"]
        watch = commands.start("watch")
        assert watch.stdout is not None
        assert f"{name}: Progressing (Updating); Baking, canary" in watch.stdout.readline()

        code, printed = commands.run("status", "--json")
        facts = json.loads(printed)
        assert (code, facts["status"], facts["endpointStatus"]) == (3, "Progressing", "Updating")
        assert [each["configuration"] for each in facts["fleets"]] == [live, new]
        compared = {each["name"]: (each["comparison"], each["threshold"]) for each in facts["alarms"]}
        assert compared[f"{new}-error-rate"] == (">", 5.0)

        commands.write(development({name: {**endpoint, "instanceTyp": "ml.c5.xlarge"}}))
        code, printed = commands.run("stop", "--yes")
        assert code == 0, printed
        assert "instanceTyp: unknown key" in printed, "a mistake in the file is a warning"
        commands.write(stack.config)
        assert f"stopped the release of {new}; {live} is live" in printed
        with pytest.raises(StackFailed) as failed:
            update.result()
    assert f"the release of {new} was stopped by `release stop`; {live} is live" in failed.value.output
    assert f"Alarm {new}-stop fired: arn:aws:" in failed.value.output, "and who did it"
    assert account.ask(name) == 1
    assert ended(watch)[0] == commands.run("status")[0] == 1
    consistent(account, stack)

    stack.up()
    assert account.endpoint(name)["EndpointConfigName"] == new, "its stop alarm does not fire any more"
    assert account.ask(name) == 2
    consistent(account, stack)
    assert commands.run("status")[0] == 0
    code, printed = commands.run("history", "--json")
    assert [each["result"] for each in json.loads(printed)][:2] == ["succeeded", "rolledBack"]

    commands.write(development({"another": endpoint}))
    assert commands.run("history", "--json", name) == (0, printed), "the endpoint's tag says that it is the stack's"
