"""A project's program, run within this process for the Pulumi engine, as Pulumi's own host for Python runs it."""

from __future__ import annotations

import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation import _stack
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto.language_pb2 import RunResponse


def run(root: Path) -> None:
    """Run the program of the project in `root`."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    runpy.run_path(str(root / "__main__.py"), run_name="__main__")


class ProgramServer(LanguageServer):
    """The Automation API's server of an inline program, with two things mended that a person at the terminal sees.

    An error of the program is shown once: as in Pulumi's own host, `bail` says that it was shown. A program that waits
    when the engine gives up is ended in order: the Automation API's own tidying asks the engine, which is gone by then,
    and leaves coroutines behind that complain later.
    """

    def Run(self, request: Any, context: Any) -> Any:
        loops: list[asyncio.AbstractEventLoop] = []
        program = self.program

        def program_with_its_loop() -> Any:
            loops.append(asyncio.get_running_loop())
            return program()

        self.program = program_with_its_loop
        try:
            response = super().Run(request, context)  # type: ignore[no-untyped-call]
        except grpc.RpcError:
            for loop in loops:
                _end(loop)
            return RunResponse()
        response.bail = bool(response.error)
        return response


def _end(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)

    async def ended() -> None:
        await asyncio.gather(*tasks, return_exceptions=True)

    for task in tasks:
        task.cancel()
    loop.run_until_complete(ended())
    loop.close()


_stack.LanguageServer = ProgramServer  # type: ignore[attr-defined]
