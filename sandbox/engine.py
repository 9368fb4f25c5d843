"""The Pulumi engine: the `pulumi` on PATH when it is new enough, else one built from the Go module beside this file.

Standard library only: it runs while the virtual environment is still being installed (`python3 -m sandbox.engine`).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.go_program import BuildError, GoProgram, Say, dotted, in_go_mod, numbers, version_of

MODULE = Path(__file__).resolve().parent / "engine"
PACKAGE = "github.com/pulumi/pulumi/pkg/v3"
OLDEST = (3, 276, 0)
"""The oldest engine that the sandbox is tested with."""


@dataclass(frozen=True)
class Engine:
    """A Pulumi command line that runs: its absolute path and its version, such as `3.276.0`."""

    command: Path
    version: str

    @property
    def root(self) -> Path:
        """The directory that holds `bin/pulumi`, as the Automation API asks for it."""
        return self.command.parent.parent


def ensure(say: Say, environment: Mapping[str, str] = os.environ) -> Engine:
    """The engine to use; builds the pinned one once if need be and keeps it in the user's cache.

    Raises:
        BuildError: with neither a usable `pulumi` nor a usable Go.
    """
    if (found := on_path(say, environment)) is not None:
        return found
    pinned = program()
    return Engine(pinned.cached(environment) or pinned.build(say, environment), pinned_version())


def program() -> GoProgram:
    """The pinned engine; the linker sets its version."""
    version = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{pinned_version()}"
    return GoProgram(
        name="engine",
        title=f"Pulumi {pinned_version()}",
        module=MODULE,
        package=f"{PACKAGE}/cmd/pulumi",
        label=f"pulumi-{pinned_version()}",
        command="bin/pulumi",
        flags=(f"-ldflags=-s -w {version}",),
        version=pinned_version(),
        ways=f"""Either of these is enough:
  - Go {in_go_mod(MODULE, r"^go (.+)")} or later, from which the engine is built (https://go.dev/dl)
  - pulumi {dotted(OLDEST)} or later on PATH (https://www.pulumi.com/docs/install)""",
    )


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


def is_usable(version: str) -> bool:
    """Whether the sandbox works with an engine of this version."""
    found = numbers(version)
    return found is not None and found >= OLDEST and found[0] == OLDEST[0]


def pinned_version() -> str:
    """The engine's version in go.mod."""
    return in_go_mod(MODULE, rf"^\s*{re.escape(PACKAGE)} v(\S+)")


def main() -> None:
    """Print where the engine is, building it if need be."""
    try:
        engine = ensure(lambda line: print(line, file=sys.stderr, flush=True))
    except BuildError as error:
        sys.exit(f"engine: {error}")
    print(f"engine: Pulumi {engine.version}, {engine.command}")


if __name__ == "__main__":
    main()
