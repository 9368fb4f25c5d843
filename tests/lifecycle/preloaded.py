"""Providers that start in milliseconds: a process that has imported all their modules forks for each of them.

The engine starts two providers at every operation, and they spend most of their time on importing boto3 and Pulumi's
SDK. What a provider does, and that it ends with its engine, stays as it is. Tests that kill the engine start providers
as users do.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import pkgutil
import runpy
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3

import infra.dynamic
from sandbox.home import PROJECT
from tests import aws_descriptions

SERVICES = ("application-autoscaling", "cloudwatch", "ecr", "iam", "s3", "sagemaker", "sns", "sts")

#: It is the engine's child in the place of `python -u -m MODULE …`, and lives as long as the provider.
CLIENT = """#!{python} -IS
import marshal, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, [b"+"], [0, 1, 2])
connection.sendall(marshal.dumps((sys.argv[1:], dict(os.environ), os.getcwd())))
try:
    connection.recv(1)
except KeyboardInterrupt:  # the engine's way to end its providers
    pass
"""


@contextlib.contextmanager
def python(directory: Path) -> Iterator[Path]:
    """A command to give to the engine as its Python (`PULUMI_PYTHON_CMD`)."""
    address, client = directory / "preloaded", directory / "preloaded-python"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", __name__, str(listener.fileno())],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    yield client
    server.communicate()


def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    dynamic = [module.name for module in pkgutil.iter_modules(infra.dynamic.__path__, "infra.dynamic.")]
    for name in ("dill", "pulumi.dynamic", "sandbox.provider.server", *dynamic):
        importlib.import_module(name)
    aws_descriptions.share()
    for service in SERVICES:
        boto3.client(service, region_name="ap-northeast-1")
    gc.freeze()  # so that a collection in a fork does not copy the memory of all modules
    waiting = selectors.PollSelector()  # select() refuses descriptors from 1024 on, which a long worker gives
    waiting.register(sys.stdin, selectors.EVENT_READ)
    waiting.register(listener, selectors.EVENT_READ)
    while sys.stdin not in (ready := [key.fileobj for key, _ in waiting.select()]):
        if listener in ready:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become(connection)
            connection.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _become(connection: socket.socket) -> None:
    """Be what the client was started as: its command, environment, directory and terminal, until it ends."""
    _, fds, _, _ = socket.recv_fds(connection, 1, 3)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    with connection.makefile("rb") as sent:
        arguments, environment, directory = marshal.load(sent)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)

    def end_with_the_client() -> None:
        connection.recv(1)
        os._exit(0)

    threading.Thread(target=end_with_the_client, daemon=True).start()
    _, _, module, *sys.argv[1:] = arguments  # after -u -m
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
