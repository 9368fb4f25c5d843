"""The container of one instance, as far as a single process needs one; `triton.py` starts this file as a script.

Gives a command a network of its own, and ends it, with every process it started and the
shared memory it left, as soon as the parent ends or lets go of the control socket. Needs the standard library only.

    python container.py CONTROL_FD SHARED_MEMORY_PREFIX PORT COMMAND...
    python container.py probe                 exits with 0 where the kernel allows a network of its own

Each byte on the control socket asks for a connection to PORT on the container's loopback. The answer carries the
descriptor of the connected socket (SCM_RIGHTS), or none when nobody listens. `{port}` in the command stands for PORT.
With PORT 0 the command shares the network of the host and gets a free port, which it opens on every interface.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

CONNECT = b"c"
READY = b"r"

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1  # linux/if.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def enter_own_network() -> bool:
    """Moves this process into a network namespace that holds nothing but loopback; False where that is not allowed."""
    # Root needs no user namespace; everyone else gets a network namespace inside of one, where the kernel is set so.
    if _libc.unshare(_CLONE_NEWNET) != 0 and _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    interface = struct.Struct("16sh14x")
    # Ubuntu 24.04 lets anyone enter a user namespace, but without the right to bring up loopback in it.
    with contextlib.suppress(PermissionError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _, flags = interface.unpack(fcntl.ioctl(control, _SIOCGIFFLAGS, interface.pack(b"lo", 0)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, interface.pack(b"lo", flags | _IFF_UP))
        return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def remove_shared_memory(prefix: str) -> None:
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def run(control: socket.socket, shared_memory_prefix: str, port: int, command: list[str]) -> int:
    """Runs the command until it ends or the control socket closes; returns the exit code that a shell would show."""
    if port == 0:
        port = free_port()
        print(f"No network of its own: port {port} is open on every interface.", file=sys.stderr)
    elif not enter_own_network():
        print("No network namespace is allowed here.", file=sys.stderr)
        return 1
    process = subprocess.Popen(
        [argument.replace("{port}", str(port)) for argument in command],
        start_new_session=True,  # a process group, so that what it forks can be ended with it
        preexec_fn=_die_with_parent,
    )
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
    with contextlib.suppress(OSError):
        control.send(READY)
    _answer_until_over(control, port, process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    remove_shared_memory(shared_memory_prefix)
    return code if code >= 0 else 128 - code


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer_until_over(control: socket.socket, port: int, pid: int) -> None:
    """Answers the parent until it lets go of the socket or the process has ended, which is left to be reaped."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with woken, wake, selectors.DefaultSelector() as events:
        events.register(control, selectors.EVENT_READ)
        events.register(woken, selectors.EVENT_READ)
        parent_holds_on = True
        while parent_holds_on and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            for key, _ in events.select():
                if key.fileobj is woken:
                    woken.recv(64)
                else:
                    parent_holds_on = _answer(control, port)
        signal.set_wakeup_fd(-1)


def _answer(control: socket.socket, port: int) -> bool:
    """Hands the parent the connection it asked for; False when the parent has let go."""
    try:
        if not control.recv(1):
            return False
        with contextlib.ExitStack() as handed_over:
            connections = []
            with contextlib.suppress(OSError):
                connection = handed_over.enter_context(socket.create_connection(("127.0.0.1", port), timeout=2))
                connection.setblocking(True)
                connections.append(connection.fileno())
            socket.send_fds(control, [CONNECT], connections)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1:] == ["probe"]:
        sys.exit(not enter_own_network())
    sys.exit(run(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
