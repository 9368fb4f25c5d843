"""A project's program, run within this process for the Pulumi engine, as Pulumi's own host for Python runs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import runpy
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation import _stack
from pulumi.automation._server import LanguageServer
from pulumi.runtime import _grpc_settings, config
from pulumi.runtime._callbacks import _CallbackServicer
from pulumi.runtime.proto.language_pb2 import RunResponse

from sandbox.settings_files import PLACEHOLDER, with_secret_values

_END_SECONDS = 10.0

_environments = threading.Lock()
_running: list[Program] = []
_outside: dict[str, str | None] = {}
"""What the environment was before."""


class Program:
    """The program of the project in `root`, for one operation of the engine.

    Args:
        environment: what the engine would give to a program in a process of its own.
    """

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root, self._environment = root, environment
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()
        self._over.set()

    def __call__(self) -> None:
        """Run the program; the Automation API calls this in the program's event loop."""
        self._over.clear()
        self._loop = asyncio.get_running_loop()
        if str(self._root) not in sys.path:
            sys.path.insert(0, str(self._root))
        _fill_placeholders()
        runpy.run_path(str(self._root / "__main__.py"), run_name="__main__")

    @contextlib.contextmanager
    def in_its_environment(self) -> Iterator[None]:
        """This process has the environment while the program runs. Programs that run at the same time share it."""
        with _environments:
            if not _outside:
                _outside.update({name: os.environ.get(name) for name in self._environment})
            os.environ.update(self._environment)
            _running.append(self)
        try:
            yield
        finally:
            with _environments:
                _running.remove(self)
                for name, value in () if _running else _outside.items():
                    os.environ.pop(name, None) if value is None else os.environ.update({name: value})
                if not _running:
                    _outside.clear()

    def end(self) -> None:
        """End the program with its engine: it may wait for an answer that nobody is there to give any more."""
        if not self._over.is_set() and (loop := self._loop):
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(loop.stop)
            self._over.wait(_END_SECONDS)

    def tidy(self) -> None:
        """Let whatever still waits in the program's event loop end in order; in the thread that ran it."""
        try:
            if (loop := self._loop) and not loop.is_closed():
                loop.set_exception_handler(lambda loop, context: None)
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    while not task.done():
                        # RuntimeError: the loop was asked to stop; any other one is the task's own and comes too late
                        with contextlib.suppress(Exception, asyncio.CancelledError):
                            loop.run_until_complete(task)
                with contextlib.suppress(Exception):  # the server of the hooks, which complains at exit otherwise
                    loop.run_until_complete(_CallbackServicer.shutdown())  # type: ignore[no-untyped-call]
                loop.close()
        finally:
            self._over.set()


def _fill_placeholders() -> None:
    """Give secrets of the stack file their value in the sandbox, and mark them as the secrets that they are."""
    values = config.CONFIG.get()
    filled = {key: _filled(key, text) for key, text in values.items() if PLACEHOLDER in text}
    secret = {key for key in values if config.is_config_secret(key)} | filled.keys()
    config.set_all_config({**values, **filled}, list(secret))


def _filled(key: str, text: str) -> str:
    return json.dumps(with_secret_values(json.loads(text))) if text[:1] in "{[" else str(with_secret_values(text, key))


class ProgramServer(LanguageServer):
    """The Automation API's server of an inline program, with two things mended that a person at the terminal sees.

    An error of the program is shown once: as in Pulumi's own host, `bail` says that it was shown. A program whose
    engine gave up ends in order: the Automation API's tidying asks the engine, which is gone by then, and leaves
    coroutines behind that complain later.
    """

    def Run(self, request: Any, context: Any) -> Any:
        assert isinstance(self.program, Program)
        try:
            with self.program.in_its_environment():
                response = super().Run(request, context)  # type: ignore[no-untyped-call]
            response.bail = bool(response.error)
            return response
        except grpc.RpcError:
            return RunResponse()
        finally:
            self.program.tidy()


_stack.LanguageServer = ProgramServer  # type: ignore[attr-defined]

# Otherwise all channels of a process share the connection to an address, and with it the wait before the next attempt:
# a program whose engine listens where an engine listened before fails at once with "Resource monitor has terminated".
_grpc_settings._GRPC_CHANNEL_OPTIONS.append(("grpc.use_local_subchannel_pool", 1))
