"""Stacks of a small project on a running sandbox, with the real engine."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.home import PROJECT, Sandbox, SandboxError, exclusive
from sandbox.stacks import Stack, StackFailed, stacks
from tests.sandbox.conftest import eventually
from tests.sandbox.small_project import write_small_project

THINGS = {"small:things": {"a": 1, "b": 2}}


@pytest.fixture(scope="module")
def module_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """In a directory with a space in its name."""
    root = write_small_project(tmp_path_factory.mktemp("stacks") / "a project")
    sandbox = Sandbox(root / ".sandbox", root, print)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def said(module_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the sandbox says during a test."""
    lines: list[str] = []
    monkeypatch.setattr(module_sandbox, "say", lines.append)
    return lines


@pytest.fixture
def new_stack(module_sandbox: Sandbox, request: pytest.FixtureRequest) -> Callable[..., Stack]:
    """Makes a stack of the test's own."""

    def new(**config: object) -> Stack:
        name = re.sub(r"\W", "-", request.node.name)
        return Stack(module_sandbox, name, {f"small:{key}": value for key, value in config.items()})

    return new


def operations(steps: object) -> dict[str, str]:
    """What happened to the small project's things."""
    return {step.name: step.operation for step in steps if step.type.endswith(":Thing")}  # type: ignore[attr-defined]


def test_a_second_up_changes_nothing(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack(things={"a": 1, "b": 2})
    lines: list[str] = []

    first = stack.up(lines.append)
    second = stack.up()

    assert operations(first.steps) == {"a": "create", "b": "create"}
    assert not first.unchanged
    assert stack.outputs()["things"] == {"a": 1, "b": 2}
    assert first.output == "\n".join(lines)
    assert second.unchanged
    assert operations(second.steps) == {"a": "same", "b": "same"}


def test_an_engine_that_the_project_does_not_accept_changes_nothing(tmp_path: Path) -> None:
    root = write_small_project(tmp_path / "project")
    with (root / "Pulumi.yaml").open("a") as project:
        project.write('requiredPulumiVersion: ">=99.0.0"\n')
    sandbox = Sandbox(root / ".sandbox", root, print)
    sandbox.start()
    try:
        for operation in (Stack(sandbox, "dev").preview, Stack(sandbox, "dev").up):
            with pytest.raises(StackFailed, match=r'does not satisfy the version range ">=99.0.0"'):
                operation()
        assert [each["type"] for each in Stack(sandbox, "dev").resources()] == []
    finally:
        sandbox.stop()


def test_up_does_what_the_configuration_changed(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack(things={"a": 1, "b": 2})
    stack.up()

    stack.config = {"small:things": {"b": 3, "c": 4}}
    preview = stack.preview()
    update = stack.up()

    assert operations(update.steps) == {"a": "delete", "b": "update", "c": "create"}
    assert preview.changes == update.changes
    assert stack.outputs()["things"] == {"b": 3, "c": 4}


def test_an_error_of_the_program_is_shown_once_and_without_a_traceback(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack(problem="minimum over maximum")

    with pytest.raises(StackFailed) as failure:
        stack.up()

    assert failure.value.errors == ("minimum over maximum",)
    assert str(failure.value) == "minimum over maximum"
    diagnostics = failure.value.output.partition("Diagnostics:")[2]
    assert diagnostics.count("minimum over maximum") == 1
    assert "Traceback" not in failure.value.output


def test_a_program_that_waits_when_a_resource_fails_is_ended(new_stack: Callable[..., Stack]) -> None:
    def unfinished() -> list[object]:
        return [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]

    others = unfinished()
    with pytest.raises(StackFailed, match="no capacity"):
        new_stack(things={"a": 1, "b": 2, "c": 3}, error="no capacity").up()

    assert [each for each in unfinished() if each not in others] == []


def test_the_tracked_files_stay_and_the_private_copies_leave_out_what_only_aws_can_use(
    module_sandbox: Sandbox, said: list[str]
) -> None:
    files = {path: path.read_bytes() for path in module_sandbox.root.iterdir() if path.is_file()}

    stack = Stack(module_sandbox, "dev")
    stack.up()

    assert stack.outputs() == {"things": {"a": 1, "b": 2}, "key": "sandbox-placeholder"}
    assert {path: path.read_bytes() for path in files} == files
    assert "Pulumi.dev.yaml: these secrets are placeholders here: small:key" in said[0]
    assert "aws:profile" in said[1]


def test_a_stack_without_a_file_is_named_with_those_that_have_one(module_sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match=r"Pulumi\.prud\.yaml.*Pulumi\.dev\.yaml"):
        Stack(module_sandbox, "prud").up()


@pytest.mark.parametrize("name", ["", "../dev", "a/b"])
def test_a_name_that_is_no_stack_name_is_refused(module_sandbox: Sandbox, name: str) -> None:
    with pytest.raises(SandboxError, match="no name for a stack"):
        Stack(module_sandbox, name)


def test_export_is_what_pulumi_prints(module_sandbox: Sandbox, new_stack: Callable[..., Stack]) -> None:
    stack = new_stack(things={"a": 1})
    stack.up()

    exported = json.loads(stack.export_text())

    assert exported == stack.export()
    assert [r["id"] for r in exported["deployment"]["resources"] if r["type"].endswith(":Thing")] == ["id-1"]
    assert stack.name in [each.name for each in stacks(module_sandbox)]


@pytest.mark.parametrize("operation", ["destroy", "refresh", "export", "outputs"])
def test_what_needs_a_state_says_so_where_there_is_none(new_stack: Callable[..., Stack], operation: str) -> None:
    with pytest.raises(SandboxError, match="holds no stack"):
        getattr(new_stack(), operation)()


def test_protected_resources_are_destroyed_where_that_is_ignored(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack(things={"a": 1}, protect=True)
    stack.up()

    with pytest.raises(StackFailed, match="protected"):
        stack.destroy()
    stack.destroy(ignore_protect=True)

    assert stack.resources() == []


def test_a_stack_that_another_process_works_on_is_left_alone(
    module_sandbox: Sandbox, new_stack: Callable[..., Stack]
) -> None:
    stack = new_stack(things={"a": 1})
    stack.directory.mkdir(parents=True)

    with (
        exclusive(stack.directory.with_name(f"{stack.name}.lock")),
        pytest.raises(SandboxError, match="Another process"),
    ):
        stack.up()


UP = """
import sys
from pathlib import Path
from sandbox.home import Sandbox
from sandbox.stacks import Stack

home, root, name, hold = sys.argv[1:]
Stack(Sandbox(Path(home), Path(root)), name, {"small:things": {"a": 1}, "small:hold": hold}).up(print)
"""


@pytest.fixture
def interrupted_up(
    module_sandbox: Sandbox, new_stack: Callable[..., Stack], tmp_path: Path
) -> Iterator[psutil.Process]:
    """A process that runs `up` and is in the midst of creating `a`."""
    hold = tmp_path / "hold"
    process = subprocess.Popen(
        [sys.executable, "-c", UP, module_sandbox.home, module_sandbox.root, new_stack().name, hold],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    eventually(hold.exists)
    yield psutil.Process(process.pid)
    hold.unlink()
    process.kill()
    process.communicate()


def engine_of(process: psutil.Process) -> psutil.Process:
    return next(child for child in process.children() if child.name() == "pulumi")


def test_after_a_killed_engine_the_next_up_goes_on(
    interrupted_up: psutil.Process, new_stack: Callable[..., Stack], said: list[str]
) -> None:
    stack = new_stack(things={"a": 1})
    with pytest.raises(SandboxError, match="Another process"):
        stack.up()

    engine_of(interrupted_up).kill()
    interrupted_up.wait()
    update = stack.up()

    assert operations(update.steps) == {"a": "create"}
    assert "its lock is removed" in said[0]
    assert "pending operations" in update.output
    stack.refresh()
    assert "pending operations" not in stack.up().output


def test_after_a_killed_command_the_next_up_goes_on(
    interrupted_up: psutil.Process, new_stack: Callable[..., Stack]
) -> None:
    engine = engine_of(interrupted_up)
    interrupted_up.kill()
    interrupted_up.wait()

    update = new_stack(things={"a": 1}).up()

    assert operations(update.steps) == {"a": "create"}
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


def test_an_engine_that_lost_its_program_is_ended_by_the_next_up(
    interrupted_up: psutil.Process, new_stack: Callable[..., Stack], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.stacks._ORPHAN_SECONDS", 0.1)
    engine = engine_of(interrupted_up)
    engine.suspend()  # it can neither notice that its program is gone nor follow a request to end
    interrupted_up.kill()
    interrupted_up.wait()

    update = new_stack(things={"a": 1}).up()

    assert operations(update.steps) == {"a": "create"}
    assert f"process {engine.pid}" in said[0]
