"""The process around one Triton: its network, its end, and what it leaves behind."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.triton import container

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are a matter of Linux")

PORT = 8080
# Listens on every interface as Triton does, says where, and answers each connection with its port.
SERVER = """
import socket, sys
listening = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("listening", flush=True)
while True:
    connection, _ = listening.accept()
    connection.sendall(sys.argv[1].encode())
    connection.close()
"""
WITHOUT_NETWORK = """
import socket, sys
sys.path.insert(0, sys.argv.pop(1))
import container
container.enter_own_network = lambda: False
descriptor, prefix, port, model, *command = sys.argv[1:]
sys.exit(container.run(socket.socket(fileno=int(descriptor)), prefix, int(port), model, command))
"""


@dataclass
class Running:
    process: subprocess.Popen[str]
    control: socket.socket
    shared_memory: str

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def connect(self) -> socket.socket | None:
        self.control.send(container.CONNECT)
        _, descriptors, _, _ = socket.recv_fds(self.control, 1, maxfds=1)
        return socket.socket(fileno=descriptors[0]) if descriptors else None

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@dataclass
class Runner:
    started: list[Running]

    def __call__(
        self,
        *command: str,
        script: tuple[str, ...] = (container.__file__,),
        port: int = PORT,
        model: str = "",
        ready: bytes = container.READY,
    ) -> Running:
        control, theirs = socket.socketpair()
        shared_memory = f"test-{secrets.token_hex(6)}-"
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *script, str(theirs.fileno()), shared_memory, str(port), model, *command],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert control.recv(1) == ready
        running = Running(process, control, shared_memory)
        self.started.append(running)
        return running


@pytest.fixture
def run() -> Iterator[Runner]:
    runner = Runner([])
    yield runner
    for running in runner.started:
        running.control.close()
        running.process.wait(30)
        assert running.process.stdout is not None
        running.process.stdout.close()


def serving(run: Runner, **options: Any) -> Running:
    return run(sys.executable, "-c", SERVER, "{port}", **options)


def read(connection: socket.socket | None) -> str:
    assert connection is not None
    with connection:
        return connection.recv(16).decode()


def test_connections_lead_into_the_container(run: Runner) -> None:
    running = serving(run)
    while running.line().strip() != "listening":
        pass
    assert read(running.connect()).isdigit()


def test_there_is_no_connection_while_nobody_listens(run: Runner) -> None:
    assert run("sleep", "60").connect() is None


def test_two_containers_with_networks_of_their_own_listen_on_the_same_port(run: Runner) -> None:
    first, second = serving(run), serving(run)
    said = [first.line(), second.line()]
    if said[0].startswith("No network namespace"):
        pytest.skip("no network namespace is allowed here")
    assert said == ["listening\n", "listening\n"]
    assert [read(first.connect()), read(second.connect())] == [str(PORT), str(PORT)]


def test_without_a_network_of_its_own_nothing_is_started(run: Runner) -> None:
    """Triton listens on 0.0.0.0, whatever it is asked: on a shared machine that is open to everybody."""
    running = serving(run, script=("-c", WITHOUT_NETWORK, str(Path(container.__file__).parent)), ready=b"")
    assert running.line() == "No network namespace is allowed here.\n"
    assert running.process.wait(30) == 1


def test_a_container_that_may_share_the_network_of_the_host_takes_a_free_port_and_says_so(run: Runner) -> None:
    running = serving(run, port=0)
    said = {running.line(), running.line()}
    port = read(running.connect())
    assert port != str(PORT)
    assert said == {"listening\n", f"No network of its own: port {port} is open on every interface.\n"}


def mounts_are_allowed() -> bool:
    return subprocess.run([sys.executable, container.__file__, "probe-mount"]).returncode == 0


def test_the_model_is_where_sagemaker_has_it_and_all_else_where_it_was(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("seven")
    on_host = sorted(each.name for each in container.MODEL.parents[1].iterdir() if each.name != "ml")
    running = run("sh", "-c", "cat /opt/ml/model/weights; echo; ls /opt; pwd; echo end", model=str(tmp_path))
    if not mounts_are_allowed():
        pytest.skip("no mount is allowed here")
    said = list(iter(lambda: running.line().strip(), "end"))
    assert (said[0], sorted(set(said[1:-1]) - {"ml"}), said[-1]) == ("seven", on_host, os.getcwd())
    assert not (container.MODEL / "weights").exists(), "on the host there is nothing of it"


def test_two_containers_have_a_model_of_their_own_each(run: Runner, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    commands = [run("sh", "-c", "cat /opt/ml/model/weights; echo", model=str(tmp_path / name)) for name in ("a", "b")]
    if not mounts_are_allowed():
        pytest.skip("no mount is allowed here")
    assert [each.line() for each in commands] == ["a\n", "b\n"]


def test_the_probe_says_what_a_container_would_find(run: Runner) -> None:
    code = subprocess.run([sys.executable, container.__file__, "probe-network"]).returncode
    assert (serving(run, ready=b"" if code else container.READY).line() == "listening\n") == (code == 0)


def test_its_exit_code_is_the_one_of_the_command(run: Runner) -> None:
    assert run("sh", "-c", "exit 7").process.wait(30) == 7


def test_sigterm_goes_to_the_command(run: Runner) -> None:
    running = run("sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    assert running.line() == "ready\n"
    running.process.terminate()
    assert running.line() == "bye\n"
    assert running.process.wait(30) == 3


def test_all_processes_end_when_the_parent_lets_go(run: Runner) -> None:
    running = run("sh", "-c", "trap '' TERM; sleep 60 & echo ready; wait")
    assert running.line() == "ready\n"
    processes = running.children()
    assert len(processes) == 2
    running.control.close()
    assert running.process.wait(30) == 128 + 9
    assert psutil.wait_procs(processes, timeout=30)[1] == []


def test_all_processes_end_when_the_parent_goes_without_reading_its_answers(run: Runner) -> None:
    running = run("sleep", "60")
    processes = running.children()
    shared = Path(f"/dev/shm/{running.shared_memory}a")
    shared.touch()
    running.control.send(container.CONNECT * 3)
    running.control.close()
    assert running.process.wait(30) == 128 + 9
    assert psutil.wait_procs(processes, timeout=30)[1] == []
    assert not shared.exists()


def test_processes_left_behind_by_the_command_end_with_it(run: Runner) -> None:
    running = run("sh", "-c", "sleep 60 & echo $!; exit 0")
    left_behind = int(running.line())
    assert running.process.wait(30) == 0
    assert not psutil.pid_exists(left_behind) or psutil.Process(left_behind).status() == psutil.STATUS_ZOMBIE


def test_the_command_dies_with_a_container_that_is_killed(run: Runner) -> None:
    running = run("sleep", "60")
    processes = running.children()
    running.process.kill()
    assert psutil.wait_procs(processes, timeout=30)[1] == []


def test_shared_memory_of_its_prefix_is_removed_and_no_other(run: Runner) -> None:
    running = run("sh", "-c", "echo ready; sleep 60")
    assert running.line() == "ready\n"
    mine, other = Path(f"/dev/shm/{running.shared_memory}a"), Path(f"/dev/shm/other-{running.shared_memory}")
    mine.touch()
    other.touch()
    try:
        running.control.close()
        running.process.wait(30)
        assert (mine.exists(), other.exists()) == (False, True)
    finally:
        other.unlink()
