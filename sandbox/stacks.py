"""A stack in the sandbox: the project's own program, run by the Pulumi engine through the Automation API."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent, StepEventMetadata

from infra.release.freeze import OVERRIDE_VARIABLE
from sandbox import settings_files
from sandbox.home import PROJECT, Sandbox, SandboxError, end_process, exclusive
from sandbox.program import Program

OnOutput = Callable[[str], None]
"""Gets each line as the engine prints it."""

_PASSPHRASE = "sandbox"
_ORPHAN_SECONDS = 15.0
_PROVIDERS = {"pulumi-resource-aws": "sandbox.provider", "pulumi-resource-pulumi-python": "pulumi.dynamic"}
"""Providers by the names that the engine looks for, and the Python modules that they are here."""


@dataclass(frozen=True)
class Step:
    """What the engine did to one resource: `create`, `update`, `delete`, `same`, `create-replacement`, …"""

    operation: str
    type: str
    name: str


@dataclass(frozen=True)
class Update:
    """What an operation of the engine did.

    Attributes:
        changes: how many resources, by operation: `{"create": 3, "same": 20}`.
        steps: each resource's operation, in the order in which they ended.
        output: what the engine printed.
    """

    changes: Mapping[str, int]
    steps: tuple[Step, ...]
    output: str

    @property
    def unchanged(self) -> bool:
        return set(self.changes) <= {"same", "read"}


class StackFailed(Exception):
    """The engine did not do what it was asked.

    Attributes:
        output: everything that the engine printed.
        errors: its error messages alone.
        steps: what it had done before.
    """

    def __init__(self, message: str, output: str = "", errors: Sequence[str] = (), steps: Sequence[Step] = ()) -> None:
        super().__init__(message)
        self.output = output
        self.errors = tuple(errors)
        self.steps = tuple(steps)


class Stack:
    """A stack of the sandbox's project.

    Args:
        config: its configuration, as below `config:` in a stack file; by default `Pulumi.<name>.yaml` of the project,
            read again at every operation.
    """

    python = Path(sys.executable)
    """The Python that providers run in."""

    def __init__(self, sandbox: Sandbox, name: str, config: Mapping[str, Any] | None = None) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
            raise SandboxError(f"{name!r} is no name for a stack: letters, digits, '-', '_' and '.' only.")
        self.sandbox = sandbox
        self.name = name
        self.config = config
        self.directory = sandbox.home / "stacks" / name

    @property
    def exists(self) -> bool:
        """Whether the sandbox holds a state of this stack."""
        return any(self._state_files())

    def _state_files(self) -> Iterator[Path]:
        return (self.sandbox.state / ".pulumi" / "stacks").glob(f"*/{self.name}.json")

    def require_file(self) -> Path:
        """The project's file of this stack; `SandboxError` names those that there are."""
        file = self.sandbox.root / f"Pulumi.{self.name}.yaml"
        if not file.exists():
            there = ", ".join(sorted(path.name for path in file.parent.glob("Pulumi.*.yaml"))) or "none"
            raise SandboxError(f"{file.name} does not exist. Stack files: {there}.")
        return file

    def up(self, on_output: OnOutput | None = None, color: str = "never", ignore_protect: bool = False) -> Update:
        """`pulumi up`.

        Args:
            on_output: gets each line as the engine prints it.
            color: `always` or `never`.
            ignore_protect: whether protected resources are deleted and replaced too.

        Raises:
            StackFailed: when the engine, the program or a resource failed.
            SandboxError: when the stack has no file, or somebody else works on it.
        """
        with self._operation(ignore_protect=ignore_protect) as stack:
            return _run("up", stack.up, on_output, color=color)

    def preview(
        self,
        on_output: OnOutput | None = None,
        color: str = "never",
        diff: bool = False,
        ignore_protect: bool = False,
    ) -> Update:
        """`pulumi preview`; see `up`."""
        with self._operation(ignore_protect=ignore_protect) as stack:
            return _run("preview", stack.preview, on_output, color=color, diff=diff)

    def refresh(self, on_output: OnOutput | None = None, color: str = "never") -> Update:
        """`pulumi refresh`, which also clears what a killed engine left as pending; see `up`."""
        with self._operation(existing=True) as stack:
            return _run("refresh", stack.refresh, on_output, color=color, clear_pending_creates=True)

    def destroy(
        self,
        on_output: OnOutput | None = None,
        color: str = "never",
        ignore_protect: bool = False,
        override_freeze: str | None = None,
    ) -> Update:
        """`pulumi destroy`: refused, as everywhere, while a resource is protected or a freeze window is open; see `up`.

        Args:
            override_freeze: why it goes through a window.
        """
        with self._operation(True, ignore_protect, override_freeze) as stack:
            return _run("destroy", stack.destroy, on_output, color=color)

    def rename(self, name: str) -> None:
        """`pulumi stack rename`, which renames the stack's file too."""
        with self._operation(existing=True):
            self._pulumi("stack", "rename", name)
            self.directory = self.directory.rename(self.directory.with_name(name))
        self.name = name

    def export(self) -> dict[str, Any]:
        """The stack's state as `pulumi stack export` gives it, read without the engine."""
        self._require_state()
        stored = json.loads(next(self._state_files()).read_text())
        return {"version": stored["version"], "deployment": stored["checkpoint"]["latest"]}

    def export_text(self) -> str:
        """The very text that `pulumi stack export` prints."""
        self._require_state()
        return self._pulumi("stack", "export")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in plain text."""
        self._require_state()
        outputs: dict[str, Any] = json.loads(self._pulumi("stack", "output", "--json", "--show-secrets"))
        return outputs

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the stack's state, as `pulumi stack export` lists them."""
        found: list[dict[str, Any]] = self.export()["deployment"].get("resources", [])
        return found

    @contextlib.contextmanager
    def _operation(
        self, existing: bool = False, ignore_protect: bool = False, override_freeze: str | None = None
    ) -> Iterator[automation.Stack]:
        """The engine's stack, held by this process alone, with files as they are now and no lock of a dead engine."""
        self.sandbox.running()
        if existing:
            self._require_state()
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with exclusive(self.directory.with_name(f"{self.name}.lock")):
                if not existing:
                    self._write_files()
                self._clear_locks()
                program = Program(self.sandbox.root, self.sandbox.environment())
                mode = StackInitMode.SELECT if self.exists else StackInitMode.CREATE
                try:
                    more = {OVERRIDE_VARIABLE: override_freeze} if override_freeze else {}
                    yield _EngineStack(self.name, self._workspace(program, ignore_protect, more), mode)
                finally:
                    program.end()
        except BlockingIOError:
            raise SandboxError(f"Another process works on the stack {self.name}. Wait for it, or stop it.") from None

    def _require_state(self) -> None:
        if not self.exists:
            raise SandboxError(f"The sandbox holds no stack {self.name}. `make up STACK={self.name}` deploys it.")

    def _workspace(
        self, program: Program | None = None, ignore_protect: bool = False, variables: Mapping[str, str] = {}
    ) -> _Workspace:
        sandbox = self.sandbox
        return _Workspace(
            work_dir=str(self.directory),
            program=program,
            pulumi_home=str(sandbox.home / "pulumi"),
            pulumi_command=_pulumi_command(sandbox.engine.root),
            env_vars={
                **sandbox.environment(),
                "PULUMI_BACKEND_URL": sandbox.state.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
                "PULUMI_PYTHON_CMD": str(self.python),
                "PULUMI_OPTION_IGNORE_PROTECT": str(ignore_protect).lower(),  # the Automation API has no argument
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PYTHONPATH": os.pathsep.join(dict.fromkeys((str(sandbox.root), str(PROJECT)))),
                **variables,
            },
        )

    def _write_files(self) -> None:
        copy = self.directory / f"Pulumi.{self.name}.yaml"
        if self.config is not None:
            text = settings_files.stack_file_of(self.config)
        else:
            text, notes = settings_files.stack_copy(self.require_file())
            for note in notes:
                self.sandbox.say(f"sandbox: {note}")
        copy.write_text(settings_files.with_salt_of(text, copy))
        providers = self.sandbox.home / "bin"
        _write_providers(providers)
        project = settings_files.project_copy(self.sandbox.root / "Pulumi.yaml", providers)
        (self.directory / "Pulumi.yaml").write_text(project)

    def _clear_locks(self) -> None:
        """Remove the locks that interrupted runs left, and end their engines.

        Whoever drives an engine holds this stack's own lock meanwhile: an engine that still runs has lost its program.
        """
        locks = (self.sandbox.state / ".pulumi" / "locks").glob(f"organization/*/{self.name}/*.json")
        for lock in locks:
            with contextlib.suppress(psutil.NoSuchProcess):
                engine = psutil.Process(json.loads(lock.read_text())["pid"])
                runs = engine.name() == "pulumi" and engine.status() != psutil.STATUS_ZOMBIE
                if runs and engine.create_time() <= lock.stat().st_mtime:
                    self.sandbox.say(f"sandbox: ending the engine that an interrupted run left (process {engine.pid})")
                    end_process(engine, lambda process: process.send_signal(signal.SIGINT), _ORPHAN_SECONDS)
            for file in lock.parent.glob(f"{lock.name}*"):
                file.unlink(missing_ok=True)
            self.sandbox.say(f"sandbox: the last run on {self.name} did not end by itself; its lock is removed")

    def _pulumi(self, *arguments: str) -> str:
        """What a command prints for which the Automation API has no method, or one that runs the engine twice."""
        workspace = self._workspace()
        environment = {"PULUMI_HOME": str(workspace.pulumi_home), **workspace.env_vars}
        command = [*arguments, "--stack", self.name]
        try:
            return workspace.pulumi_command.run(command, workspace.work_dir, environment).stdout
        except automation.CommandError as error:
            raise StackFailed(f"pulumi {' '.join(arguments)} failed on {self.name}: {error}") from None


def stacks(sandbox: Sandbox) -> list[Stack]:
    """Every stack that the sandbox holds a state of."""
    files = (sandbox.state / ".pulumi" / "stacks").glob("*/*.json")
    return [Stack(sandbox, name) for name in sorted(file.stem for file in files)]


@cache
def _pulumi_command(root: Path) -> automation.PulumiCommand:
    """The engine's command; making it runs it once, to ask for its version."""
    return automation.PulumiCommand(str(root))


class _Workspace(automation.LocalWorkspace):
    """One that runs the engine for what is asked alone."""

    def select_stack(self, stack_name: str) -> None:
        """Every command names its stack."""

    def stack_outputs(self, stack_name: str) -> automation.OutputMap:
        """Two runs after every `up`, where few want to know; see `Stack.outputs`."""
        return {}


class _EngineStack(automation.Stack):
    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        """What the engine's history says, another run after every operation, is in its events."""
        return automation.UpdateSummary(
            kind="", start_time=datetime.min, message="", environment={}, config={}, result=""
        )


class _Recorder:
    """Follows the engine's events."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.errors: list[str] = []
        self.changes: dict[str, int] = {}

    def __call__(self, event: EngineEvent) -> None:
        if event.res_outputs_event:
            self.steps.append(_step(event.res_outputs_event.metadata))
        elif event.summary_event:
            self.changes = {str(operation): count for operation, count in event.summary_event.resource_changes.items()}
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.errors.append(_without_colors(event.diagnostic_event.message).strip())


def _run(operation: str, run: Callable[..., Any], on_output: OnOutput | None, **options: Any) -> Update:
    recorder, output = _Recorder(), list[str]()

    def line(text: str) -> None:
        output.append(_without_colors(text))
        if on_output:
            on_output(text)

    try:
        run(on_output=line, on_error=line, on_event=recorder, **options)
    except automation.CommandError as error:
        message = _failure(operation, str(error), recorder.errors)
        raise StackFailed(message, "\n".join(output), recorder.errors, recorder.steps) from None
    return Update(recorder.changes, tuple(recorder.steps), "\n".join(output))


def _failure(operation: str, error: str, errors: list[str]) -> str:
    code = re.search(r"code: (-?\d+)", error)
    if code and int(code[1]) < 0:
        return f"The engine was killed ({signal.Signals(-int(code[1])).name}) during {operation}."
    return "\n".join(errors) or f"pulumi {operation} failed:{error}"


def _step(metadata: StepEventMetadata) -> Step:
    return Step(str(metadata.op.value), metadata.type, metadata.urn.rpartition("::")[2])


def _without_colors(text: str) -> str:
    """Text without terminal colours (of the engine's output) and Pulumi's marks for them (in its events)."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|<\{%[^%]*%\}>", "", text)


def _write_providers(directory: Path) -> None:
    """The executables by which the engine starts a provider; replaced at once, as an engine may be starting one."""
    directory.mkdir(exist_ok=True)
    for name, module in _PROVIDERS.items():
        script = directory / f".{name}"
        # Pulumi's own script for dynamic providers stays between engine and provider; a provider of its own does not
        exec_ = "" if module == "pulumi.dynamic" else "exec "
        script.write_text(f'#!/bin/sh\n{exec_}"$PULUMI_PYTHON_CMD" -u -m {module} "$@"\n')
        script.chmod(0o755)
        script.replace(directory / name)
