"""A real Triton Inference Server for one model artifact, started as AWS's image starts it.

The server is the one in NVIDIA's `nvidia-pytriton` wheel, which has the SageMaker service and the Python backend.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import importlib.util
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.triton import container
from infra.triton.serve_script import ArchiveError, Serve, ServeError, serve, unpack

__all__ = ["ArchiveError", "ServeError", "TritonServer", "unavailable"]

SAGEMAKER_PORT = 8080  # what a SageMaker container listens on
#: The environment variable that lets Triton listen on 0.0.0.0, which its SageMaker server always does.
EXPOSE = "TRITON_EXPOSE"
PING_TIMEOUT_SECONDS = 2.0  # "Custom Inference Code with Hosting Services", SageMaker's developer guide
INVOKE_TIMEOUT_SECONDS = 60.0
STOP_GRACE_SECONDS = 10.0


def unavailable() -> str | None:
    """Why no Triton can run here, or None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"nvidia-pytriton's Triton runs on Linux x86_64 only; this is {platform.system()} {platform.machine()}"
    wheel = installed_wheel()
    if wheel is None:
        return (
            "the nvidia-pytriton wheel, which carries tritonserver, is not installed in this Python "
            "(pip installs it on Linux x86_64 with glibc 2.35 or later)"
        )
    if not wheel.stub.exists():
        versions = ", ".join(sorted((stub.name for stub in wheel.stub.parent.parent.iterdir()), key=_version_key))
        return f"nvidia-pytriton lacks a Python backend for Python {_python_version()}; it has {versions}"
    numpy = _installed("numpy")
    if numpy is None or _version_key(numpy) >= (2,):
        return (
            f"Triton's Python backend needs numpy below 2, and this Python {_python_version()} has {numpy or 'none'} "
            "(numpy 1.26 has wheels for Python 3.11 and 3.12)"
        )
    if wheel.libpython is None:
        return (
            f"Triton's Python backend needs libpython{_python_version()}.so.1.0, which the Python at {sys.base_prefix} "
            f"lacks (Debian and Ubuntu: apt install libpython{_python_version()}; pyenv: build it with --enable-shared)"
        )
    if shutil.which("tar") is None:
        return "the tar command, which unpacks model artifacts, is not on PATH"
    if not _has_networks() and not _may_be_exposed():
        return (
            "the kernel allows no network namespaces here (as under Docker's default profile), and without one Triton "
            f"listens on every interface of this machine. To accept that, set {EXPOSE}=1 before"
        )
    return None


@cache
def _has_networks() -> bool:
    """Whether the kernel lets this user give a process a network of its own."""
    return _probed("probe-network")


@cache
def _has_mounts() -> bool:
    """Whether the kernel lets this user mount a directory where SageMaker has the model."""
    return _probed("probe-mount")


def _probed(what: str) -> bool:
    probe = subprocess.run([sys.executable, "-I", "-S", container.__file__, what], capture_output=True)
    return probe.returncode == 0


def _may_be_exposed() -> bool:
    return os.environ.get(EXPOSE) == "1"


@dataclass(frozen=True)
class Wheel:
    """Where the parts of the installed nvidia-pytriton wheel are."""

    server: Path
    backends: Path
    libraries: Path
    stub: Path
    libpython: Path | None

    def backend_directory(self, directory: Path) -> Path:
        """Create a backend directory below `directory`, with the stub of this Python version next to its library."""
        python = directory / "backends" / "python"
        python.mkdir(parents=True)
        for part in (self.backends / "python").iterdir():
            if part.is_file():
                (python / part.name).symlink_to(part)
        (python / self.stub.name).symlink_to(self.stub)
        return python.parent

    def packages(self, directory: Path) -> Path:
        """Create a directory of the packages that models may import besides the standard library: numpy alone.

        It is Triton's working directory, because the stubs of Python 3.11 and later ignore PYTHONPATH (pybind11 2.10
        embeds an isolated interpreter) and put the working directory first.
        """
        numpy = importlib.util.find_spec("numpy")
        assert numpy is not None
        assert numpy.origin is not None
        packages = directory / "packages"
        packages.mkdir()
        site = Path(numpy.origin).parent.parent
        for name in ("numpy", "numpy.libs"):
            if (site / name).exists():
                (packages / name).symlink_to(site / name)
        return packages

    def environment(self, directory: Path) -> dict[str, str]:
        """The variables that the server and the Python in the stub need."""
        assert self.libpython is not None
        return {
            # The Python in the stub finds its standard library next to the first `python3` on PATH.
            "PATH": f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(directory),
            "LD_LIBRARY_PATH": f"{self.libpython.parent}:{self.libraries}",
        }


def installed_wheel() -> Wheel | None:
    package = importlib.util.find_spec("pytriton")
    if package is None or package.origin is None:
        return None
    root = Path(package.origin).parent
    tritonserver = root / "tritonserver"
    libraries = root.parent / "nvidia_pytriton.libs"
    if not (tritonserver / "bin" / "tritonserver").exists():
        return None
    return Wheel(
        server=tritonserver / "bin" / "tritonserver",
        backends=tritonserver / "backends",
        libraries=libraries,
        stub=tritonserver / "python_backend_stubs" / _python_version() / "triton_python_backend_stub",
        libpython=_libpython(libraries),
    )


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version_key(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _libpython(libraries: Path) -> Path | None:
    """The shared library of this interpreter's version; the wheel brings the one of Python 3.13 itself."""
    name = f"libpython{_python_version()}.so.1.0"
    directories = [
        sysconfig.get_config_var("LIBDIR") or "",
        f"{sys.base_prefix}/lib",
        f"/usr/lib/{sysconfig.get_config_var('MULTIARCH') or ''}",
    ]
    candidates = [Path(directory, name) for directory in directories if directory]
    major, minor = _python_version().split(".")
    candidates += sorted(libraries.glob(f"libpython{major}-*.{minor}.so.1.0"))
    return next((path for path in candidates if path.exists()), None)


class TritonServer:
    """One container of an endpoint: an unpacked artifact and the Triton that serves it.

    `archive` is the artifact (.tar.gz), `environment` the Model's, `directory` an empty directory of its own, `log` is
    called with each line that the container prints, from a thread of this object.
    """

    def __init__(
        self, archive: Path, environment: Mapping[str, str], directory: Path, log: Callable[[str], None]
    ) -> None:
        self._archive = archive
        self._environment = dict(environment)
        self._directory = directory
        self._log = log
        self._repository = directory / "model"
        self._shared_memory = f"triton-{secrets.token_hex(6)}-"
        self._process: subprocess.Popen[str] | None = None
        self._control: socket.socket | None = None
        self._control_lock = threading.Lock()
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Unpacks the artifact and starts Triton; returns as soon as its process runs, see `ping`.

        Raises `ArchiveError` for what cannot be unpacked and `ServeError` where `serve` would exit with 1.
        """
        self._repository.mkdir(parents=True)
        unpack(self._archive, self._repository)
        try:
            decided = serve(self._repository, self._environment, container.MODEL if _has_mounts() else None)
        except ServeError as error:
            for line in str(error).splitlines():
                self._log(line)
            raise
        for line in decided.output:
            self._log(line)
        if not _has_mounts():
            self._log(
                f"NOTE: the kernel allows no mounts here, so the model is at {self._repository} instead "
                f"of {container.MODEL}: a path below that does not exist"
            )
        self._run(decided)

    def ping(self) -> bool:
        """Whether the container passes SageMaker's health check: GET /ping answers 200 within 2 seconds."""
        try:
            status, _, _ = self._request("GET", "/ping", None, {}, PING_TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200

    def invoke(
        self, body: bytes, headers: Mapping[str, str], timeout_seconds: float = INVOKE_TIMEOUT_SECONDS
    ) -> tuple[int, dict[str, str], bytes]:
        """POST /invocations: status, headers and body of Triton's answer; OSError when there is none in this time."""
        try:
            return self._request("POST", "/invocations", body, headers, timeout_seconds)
        except http.client.HTTPException as error:
            raise ConnectionError(f"Triton ended its answer early: {error!r}") from error

    @property
    def pid(self) -> int | None:
        """The process of the container, whose children are Triton's; None before it starts."""
        return self._process.pid if self._process else None

    @property
    def exited(self) -> int | None:
        """The exit code once the container has ended (its last log line is delivered by then), else None."""
        if self._process is None or self._process.poll() is None:
            return None
        self._wait_for_log()
        return self._process.returncode

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Ends Triton, by SIGTERM and after the grace period by SIGKILL, and waits; stopping again does nothing.

        Triton needs about two seconds to unload its models; without a grace period it is killed at once.
        """
        if self._process is None or self._control is None:
            return
        if grace_seconds > 0:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        with self._control_lock:
            self._control.close()  # the container kills what has not ended by now
        self._process.wait()
        self._wait_for_log()

    def _run(self, decided: Serve) -> None:
        wheel = installed_wheel()
        if wheel is None or wheel.libpython is None or not (_has_networks() or _may_be_exposed()):
            raise RuntimeError(f"Triton cannot run here: {unavailable()}")
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", container.__file__),
                    *(str(theirs.fileno()), self._shared_memory, str(SAGEMAKER_PORT if _has_networks() else 0)),
                    str(self._repository) if _has_mounts() else "",
                    *(str(wheel.server), *decided.arguments),
                    "--sagemaker-port={port}",
                    f"--backend-directory={wheel.backend_directory(self._directory)}",
                    f"--backend-config=python,shm-region-prefix-name={self._shared_memory}",
                ],
                env=decided.environment | wheel.environment(self._directory),
                cwd=wheel.packages(self._directory),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C in the terminal is for the parent to act on
            )
        self._reader = threading.Thread(target=self._read_log, name=f"log of Triton {self._process.pid}", daemon=True)
        self._reader.start()
        self._control.recv(1)

    def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._log(line.rstrip("\n"))

    def _wait_for_log(self) -> None:
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", SAGEMAKER_PORT)
        connection.sock = self._connect()
        connection.sock.settimeout(timeout)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _connect(self) -> socket.socket:
        if self._control is None:
            raise ConnectionError("Triton has not been started")
        with self._control_lock:
            self._control.send(container.CONNECT)
            _, descriptors, _, _ = socket.recv_fds(self._control, 1, maxfds=1)
        if not descriptors:
            raise ConnectionRefusedError("Triton does not listen yet, or no longer")
        return socket.socket(fileno=descriptors[0])
