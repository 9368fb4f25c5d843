"""The Pulumi engine: the `pulumi` on PATH when it is new enough, else one built from the Go module beside this file.

Standard library only: it runs while the virtual environment is still being installed (`python3 -m sandbox.engine`).
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
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MODULE = Path(__file__).resolve().parent / "engine"
PACKAGE = "github.com/pulumi/pulumi/pkg/v3"
OLDEST = (3, 259, 0)
"""The oldest engine that the sandbox is tested with."""

Say = Callable[[str], None]


class EngineError(Exception):
    """There is no Pulumi engine and none can be built; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    """A Pulumi command line that runs: its absolute path and its version, such as `3.259.0`."""

    command: Path
    version: str

    @property
    def root(self) -> Path:
        """The directory that holds `bin/pulumi`, as the Automation API asks for it."""
        return self.command.parent.parent


def ensure(say: Say, environment: Mapping[str, str] = os.environ) -> Engine:
    """The engine to use; builds the pinned one once if need be and keeps it in the user's cache.

    Raises:
        EngineError: with neither a usable `pulumi` nor a usable Go.
    """
    return on_path(say, environment) or cached(environment) or build(say, environment)


def on_path(say: Say, environment: Mapping[str, str]) -> Engine | None:
    """The `pulumi` on PATH, unless it is missing, broken or older than `OLDEST`."""
    found = shutil.which("pulumi", path=environment.get("PATH", os.defpath))
    if found is None:
        return None
    version = version_of(Path(found), environment)
    if version is None:
        say(f"engine: {found} does not say its version; it is not used")
    elif not is_usable(version):
        say(f"engine: {found} is {version}, not {dotted(OLDEST)} or a later 3.x; it is not used")
    else:
        return Engine(Path(found).absolute(), version)
    return None


def cached(environment: Mapping[str, str]) -> Engine | None:
    """The pinned engine, if it was built before."""
    command = cache_directory(environment) / "bin" / "pulumi"
    return Engine(command, pinned_version()) if command.exists() else None


def build(say: Say, environment: Mapping[str, str]) -> Engine:
    """Build the pinned engine into the cache; of several processes that try, one builds and the others wait for it."""
    go = usable_go(environment)
    directory = cache_directory(environment)
    make_directory(directory.parent)
    with alone(directory.parent / f"{directory.name}.lock", say):
        if (engine := cached(environment)) is not None:
            return engine
        for unfinished in directory.parent.glob(f".{directory.name}-*"):
            shutil.rmtree(unfinished)
        say(f"engine: building Pulumi {pinned_version()} from {MODULE.name}/go.sum, once: about 5 minutes on two cores")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
            command = Path(scratch, "engine", "bin", "pulumi")
            compile_engine(go, command, say, environment)
            if (version := version_of(command, environment)) != pinned_version():
                raise EngineError(f"the engine that Go built says version {version}, not {pinned_version()}: {command}")
            Path(scratch, "engine").replace(directory)
        say(f"engine: built in {minutes(time.monotonic() - started)}, kept in {directory}")
    return Engine(directory / "bin" / "pulumi", pinned_version())


def compile_engine(go: str, command: Path, say: Say, environment: Mapping[str, str]) -> None:
    """Compile the module's tool to `command`, saying once a minute how far it is."""
    packages = subprocess.run(
        [go, "list", "-mod=readonly", "-deps", f"{PACKAGE}/cmd/pulumi"],
        cwd=MODULE, env=go_environment(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if packages.returncode != 0:
        raise EngineError(f"Go could not fetch the engine's modules:\n{tail(packages.stderr)}\n{_WAYS}")
    total = len(packages.stdout.split())
    process = subprocess.Popen(
        [go, "build", "-v", *build_flags(), "-o", str(command), f"{PACKAGE}/cmd/pulumi"],
        cwd=MODULE, env=go_environment(environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    output = follow(process.stderr, total, say)
    if process.wait() != 0:
        raise EngineError(f"Go could not build the engine:\n{tail(output)}\n{_WAYS}")


def follow(lines: IO[str], total: int, say: Say) -> str:
    """Read `go build -v`, one line a compiled package, and say once a minute how many of `total` are done."""
    read: list[str] = []
    started = last = time.monotonic()
    for line in lines:
        read.append(line)
        if (now := time.monotonic()) - last >= 60:
            last = now
            say(f"engine: {len(read)} of {total} packages compiled after {minutes(now - started)}")
    return "".join(read)


def build_flags() -> list[str]:
    """What `go build` gets: a stripped binary without debug information that knows its version."""
    version = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{pinned_version()}"
    return ["-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags=-s -w {version}"]


def usable_go(environment: Mapping[str, str]) -> str:
    """The `go` on PATH, able to build the module; Go itself fetches a newer toolchain when it is allowed to."""
    go = shutil.which("go", path=environment.get("PATH", os.defpath))
    if go is None:
        raise EngineError(f"There is no Pulumi engine and no Go to build one.\n{_WAYS}")
    asked = subprocess.run(
        [go, "env", "GOVERSION"],
        cwd=MODULE, env=go_environment(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    version = numbers(asked.stdout)
    if asked.returncode != 0 or version is None or version < needed_go():
        said = (asked.stderr or asked.stdout).strip() or f"it ended with code {asked.returncode}"
        raise EngineError(f"{go} cannot build the Pulumi engine, which needs Go {dotted(needed_go())}: {said}\n{_WAYS}")
    return go


def go_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, with a home for Go's caches where HOME is unset, and no C compiler asked for."""
    return {**environment, "HOME": str(home_directory(environment)), "CGO_ENABLED": "0"}


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Where the pinned engine is kept: one directory a platform and go.mod/go.sum."""
    base = environment.get("XDG_CACHE_HOME") or home_directory(environment) / ".cache"
    pins = hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()).hexdigest()
    machine = f"{platform.system()}-{platform.machine()}".lower()
    return Path(base, "triton-sagemaker", f"pulumi-{pinned_version()}-{machine}-{pins[:12]}")


def home_directory(environment: Mapping[str, str]) -> Path:
    """The user's home, also where HOME is empty or unset."""
    return Path(environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)


def make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The engine cannot be kept in {directory}: {error.strerror}. "
            "Set XDG_CACHE_HOME to a directory that can be written."
        ) from None


@contextlib.contextmanager
def alone(lock: Path, say: Say) -> Iterator[None]:
    """Hold `lock`; the kernel lets go of it when this process ends, however it ends."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("engine: another process is building it; waiting for that")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def version_of(command: Path, environment: Mapping[str, str]) -> str | None:
    """What `pulumi version` prints, without its `v`; None when it does not run or prints no version."""
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


def is_usable(version: str) -> bool:
    """Whether the sandbox works with an engine of this version."""
    found = numbers(version)
    return found is not None and found >= OLDEST and found[0] == OLDEST[0]


def pinned_version() -> str:
    """The engine's version in go.mod."""
    return _in_go_mod(rf"^\s*{re.escape(PACKAGE)} v(\S+)")


def needed_go() -> tuple[int, ...]:
    """The `go` line of go.mod."""
    return numbers(_in_go_mod(r"^go (\S+)")) or ()


def _in_go_mod(pattern: str) -> str:
    found = re.search(pattern, (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert found, f"go.mod has no line like {pattern}"
    return found[1]


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


_WAYS = f"""Either of these is enough:
  - Go {dotted(needed_go())} or later, from which the engine is built (https://go.dev/dl)
  - pulumi {dotted(OLDEST)} or later on PATH (https://www.pulumi.com/docs/install)"""


def main() -> None:
    """Print where the engine is, building it if need be."""
    try:
        engine = ensure(lambda line: print(line, file=sys.stderr, flush=True))
    except EngineError as error:
        sys.exit(f"engine: {error}")
    print(f"engine: Pulumi {engine.version}, {engine.command}")


if __name__ == "__main__":
    main()
