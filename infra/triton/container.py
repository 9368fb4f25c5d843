"""The container of one instance, as far as a single process needs one; `triton.py` starts this file as a script.

Gives a command a network of its own and the model at /opt/ml/model, and ends it, with every process it started and the
shared memory it left, as soon as the parent ends or lets go of the control socket. Needs the standard library only.

    python container.py CONTROL_FD SHARED_MEMORY_PREFIX PORT MODEL COMMAND...
    python container.py probe-network         exits with 0 where the kernel allows a network of its own
    python container.py probe-mount           exits with 0 where the kernel allows to mount a directory at /opt/ml/model

Each byte on the control socket asks for a connection to PORT on the container's loopback. The answer carries the
descriptor of the connected socket (SCM_RIGHTS), or none if the port is closed. `{port}` in the command stands for PORT.
With PORT 0 the command shares the network of the host and gets a free port, which it opens on every interface. MODEL is
the directory to mount; it is not mounted if it is empty.
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
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1  # linux/if.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

MODEL = Path("/opt/ml/model")
"""Where SageMaker unpacks the artifact (SageMaker guide, Custom Inference Code with Hosting Services)."""

_libc = ctypes.CDLL(None, use_errno=True)


def _unshare(namespace: int) -> bool:
    """Moves this process into a namespace of its own. Root needs no more; everyone else gets it inside of a user
    namespace, where the kernel is set so, and stays the same user in there."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(namespace) == 0:
        return True
    if _libc.unshare(_CLONE_NEWUSER | namespace) != 0:
        return False
    for file, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with contextlib.suppress(OSError):
            Path("/proc/self", file).write_text(content)
    return True


def enter_own_network() -> bool:
    """Moves this process into a network namespace that holds nothing but loopback; False where that is not allowed."""
    if not _unshare(_CLONE_NEWNET):
        return False
    interface = struct.Struct("16sh14x")
    # Ubuntu 24.04 lets anyone enter a user namespace, but without the right to bring up loopback in it.
    with contextlib.suppress(PermissionError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _, flags = interface.unpack(fcntl.ioctl(control, _SIOCGIFFLAGS, interface.pack(b"lo", 0)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, interface.pack(b"lo", flags | _IFF_UP))
        return True
    return False


def mount_model(directory: Path) -> bool:
    """Moves this process into a mount namespace in which the directory is at `MODEL`; False where that is not allowed.

    Nothing is created on the host: a directory above `MODEL` is covered by one in memory, with all that is in it.
    """
    if not _unshare(_CLONE_NEWNS):
        return False
    try:
        _mount("none", Path("/"), _MS_REC | _MS_PRIVATE)  # what is mounted from here on is seen here only
        if not MODEL.is_dir():
            above = next(parent for parent in MODEL.parents if parent.is_dir())
            if above == Path("/"):
                return False
            _cover(above)
            MODEL.mkdir(parents=True)
        _mount(str(directory), MODEL, _MS_BIND | _MS_REC)
    except OSError:
        return False
    return True


def _cover(directory: Path) -> None:
    """Mounts a directory in memory over this one, which has the same entries and room for more."""
    entries = {path: os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in directory.iterdir()}
    links = {path: os.readlink(path) for path in entries if path.is_symlink()}
    directories = {path for path in entries if path.is_dir()}
    _mount("none", directory, 0, "tmpfs")
    for entry, descriptor in entries.items():
        if entry in links:
            entry.symlink_to(links[entry])
        else:
            entry.mkdir() if entry in directories else entry.touch()
            _mount(f"/proc/self/fd/{descriptor}", entry, _MS_BIND | _MS_REC)
        os.close(descriptor)


def _mount(source: str, target: Path, flags: int, kind: str = "") -> None:
    if _libc.mount(source.encode(), str(target).encode(), kind.encode() or None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"{source} cannot be mounted at {target}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def remove_shared_memory(prefix: str) -> None:
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def run(control: socket.socket, shared_memory_prefix: str, port: int, model: str, command: list[str]) -> int:
    """Runs the command until it ends or the control socket closes; returns the exit code that a shell would show."""
    if port == 0:
        port = free_port()
        print(f"No network of its own: port {port} is open on every interface.", file=sys.stderr)
    elif not enter_own_network():
        print("No network namespace is allowed here.", file=sys.stderr)
        return 1
    if model and not mount_model(Path(model)):
        print(f"No mount at {MODEL} is allowed here.", file=sys.stderr)
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
    match sys.argv[1:]:
        case ["probe-network"]:
            sys.exit(not enter_own_network())
        case ["probe-mount"]:
            sys.exit(not mount_model(Path(__file__).parent))
        case [descriptor, prefix, port, model, *command]:
            sys.exit(run(socket.socket(fileno=int(descriptor)), prefix, int(port), model, command))
