"""Programs in Go that are built once from a pinned module and kept in the user's cache.

Standard library only: it runs while the virtual environment is still being installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Say = Callable[[str], None]


class BuildError(Exception):
    """The program cannot be built; the message says what to install."""


@dataclass(frozen=True)
class GoProgram:
    """What to build, and from which module.

    Attributes:
        name: what messages call it, and the prefix of each of them.
        title: what is built, with its version.
        module: the directory of go.mod and go.sum.
        package: the package to build, as `go build` accepts it.
        label: the start of its directory's name in the cache.
        command: where the executable is in that directory.
        flags: what `go build` gets besides those that every program gets.
        version: the version that the executable must print; None asks it for none.
        ways: what else somebody without Go can do; the last part of each error.
    """

    name: str
    title: str
    module: Path
    package: str
    label: str
    command: str
    flags: tuple[str, ...] = ("-ldflags=-s -w",)
    version: str | None = None
    ways: str = ""

    def cached(self, environment: Mapping[str, str]) -> Path | None:
        """The executable, if it was built before."""
        command = self.directory(environment) / self.command
        return command if command.exists() else None

    def build(self, say: Say, environment: Mapping[str, str]) -> Path:
        """Build it into the cache; of several processes that try, one builds and the others wait for it.

        Raises:
            BuildError: Go is missing or too old, or the build fails.
        """
        go = self.usable_go(environment)
        directory = self.directory(environment)
        self._make(directory.parent)
        with self._alone(directory.parent / f"{directory.name}.lock", say):
            if (command := self.cached(environment)) is not None:
                return command
            for unfinished in directory.parent.glob(f".{directory.name}-*"):
                shutil.rmtree(unfinished)
            source = f"{self.module.name}/go.sum"
            say(f"{self.name}: building {self.title} from {source}, once: about 5 minutes on two cores")
            started = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
                kept = Path(scratch, "kept")
                self._compile(go, kept / self.command, say, environment)
                kept.replace(directory)
            say(f"{self.name}: built in {minutes(time.monotonic() - started)}, kept in {directory}")
        return directory / self.command

    def build_flags(self) -> list[str]:
        """What `go build` gets: no module is changed, and the binary is stripped."""
        return ["-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false", *self.flags]

    def usable_go(self, environment: Mapping[str, str]) -> str:
        """The `go` on PATH, able to build the module; Go itself fetches a newer toolchain when it is allowed to."""
        go = shutil.which("go", path=environment.get("PATH", os.defpath))
        if go is None:
            raise BuildError(f"this machine has neither {self.title} nor Go to build it.\n{self.ways}")
        asked = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd=self.module, env=go_environment(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        version, needed = numbers(asked.stdout), self.needed_go()
        if asked.returncode != 0 or version is None or version < needed:
            said = (asked.stderr or asked.stdout).strip() or f"it ended with code {asked.returncode}"
            raise BuildError(f"{go} cannot build {self.title}, which needs Go {dotted(needed)}: {said}\n{self.ways}")
        return go

    def needed_go(self) -> tuple[int, ...]:
        """The `go` line of go.mod."""
        return numbers(in_go_mod(self.module, r"^go (\S+)")) or ()

    def directory(self, environment: Mapping[str, str]) -> Path:
        """Where it is kept: one directory a platform and content of the module."""
        base = environment.get("XDG_CACHE_HOME") or home_directory(environment) / ".cache"
        sources = [self.module / "go.mod", self.module / "go.sum", *sorted(self.module.glob("*.go"))]
        pins = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
        machine = f"{platform.system()}-{platform.machine()}".lower()
        return Path(base, "triton-sagemaker", f"{self.label}-{machine}-{pins[:12]}")

    def _compile(self, go: str, command: Path, say: Say, environment: Mapping[str, str]) -> None:
        """Compile to `command`, saying once a minute how far it is."""
        packages = subprocess.run(
            [go, "list", "-mod=readonly", "-deps", self.package],
            cwd=self.module, env=go_environment(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        if packages.returncode != 0:
            raise BuildError(f"Go could not fetch the modules of {self.title}:\n{tail(packages.stderr)}\n{self.ways}")
        total = len(packages.stdout.split())
        process = subprocess.Popen(
            [go, "build", "-v", *self.build_flags(), "-o", str(command), self.package],
            cwd=self.module, env=go_environment(environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        output = self._follow(process.stderr, total, say)
        if process.wait() != 0:
            raise BuildError(f"Go could not build {self.title}:\n{tail(output)}\n{self.ways}")
        if self.version is not None and (version := version_of(command, environment)) != self.version:
            raise BuildError(f"what Go built says version {version}, not {self.version}: {command}")

    def _follow(self, lines: IO[str], total: int, say: Say) -> str:
        """Read `go build -v`, one line a compiled package, and say once a minute how many of `total` are done."""
        read: list[str] = []
        started = last = time.monotonic()
        for line in lines:
            read.append(line)
            if (now := time.monotonic()) - last >= 60:
                last = now
                say(f"{self.name}: {len(read)} of {total} packages compiled after {minutes(now - started)}")
        return "".join(read)

    def _make(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildError(
                f"{self.title} cannot be kept in {directory}: {error.strerror}. "
                "Set XDG_CACHE_HOME to a directory that can be written."
            ) from None

    @contextlib.contextmanager
    def _alone(self, lock: Path, say: Say) -> Iterator[None]:
        """Hold `lock`; the kernel lets go of it when this process ends, however it ends."""
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{self.name}: another process is building it; waiting for that")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def in_go_mod(module: Path, pattern: str) -> str:
    """What the pattern's group matches in the go.mod of a module."""
    found = re.search(pattern, (module / "go.mod").read_text(), re.MULTILINE)
    assert found, f"go.mod has no line like {pattern}"
    return found[1]


def go_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, with a home for Go's caches where HOME is unset, and no C compiler asked for."""
    return {**environment, "HOME": str(home_directory(environment)), "CGO_ENABLED": "0"}


def home_directory(environment: Mapping[str, str]) -> Path:
    """The user's home, also where HOME is empty or unset."""
    return Path(environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)


def version_of(command: Path, environment: Mapping[str, str]) -> str | None:
    """What `COMMAND version` prints, without its `v`; None when it does not run or prints no version."""
    try:
        ran = subprocess.run(
            [command, "version"],
            env={**environment, "PULUMI_SKIP_UPDATE_CHECK": "true"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = ran.stdout.strip().removeprefix("v")
    return version if ran.returncode == 0 and numbers(version) else None


def numbers(text: str) -> tuple[int, ...] | None:
    """The first dotted version in `text`: `go1.26.8` gives (1, 26, 8)."""
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else None


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def tail(text: str) -> str:
    """The last lines of a command's output, where the cause is."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-12:])
