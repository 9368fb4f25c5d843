"""The engine that the sandbox picks, and how it is built once; `go` and `pulumi` are small scripts here."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sandbox import engine
from sandbox.go_program import BuildError, dotted, go_environment, home_directory
from tests.sandbox.conftest import PROJECT

PINNED = engine.pinned_version()

GO = f"""#!/bin/sh
case "$1" in
env) echo go1.99.0;;
list) printf 'a\\nb\\nc\\n';;
build)
    echo built >> "$BUILDS"
    while [ "$1" != -o ]; do shift; done
    mkdir -p "$(dirname "$2")"
    printf '#!/bin/sh\\necho v{PINNED}\\n' > "$2"
    chmod +x "$2";;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine with an empty home and nothing on PATH but what a test puts into `bin`."""
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "BUILDS": str(tmp_path / "builds")}


def put(environment: Mapping[str, str], name: str, script: str) -> Path:
    command = Path(environment["PATH"].split(":")[0], name)
    command.write_text(script)
    command.chmod(0o755)
    return command


def builds(environment: Mapping[str, str]) -> int:
    log = Path(environment["BUILDS"])
    return len(log.read_text().splitlines()) if log.exists() else 0


def kept(environment: Mapping[str, str]) -> list[str]:
    cache = Path(environment["HOME"], ".cache", "triton-sagemaker")
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("version", ["v3.276.0", "v3.300.1", "v3.277.0-alpha.1+dirty"])
def test_a_new_enough_pulumi_on_path_is_used_as_it_is(environment: dict[str, str], version: str) -> None:
    command = put(environment, "pulumi", f"#!/bin/sh\necho {version}\n")
    said: list[str] = []

    found = engine.ensure(said.append, environment)

    assert found == engine.Engine(command, version[1:])
    assert said == []


@pytest.mark.parametrize("answer", ["echo v3.275.9", "echo v4.0.0", "echo what", "exit 1"])
def test_another_pulumi_on_path_is_named_and_not_used(environment: dict[str, str], answer: str) -> None:
    command = put(environment, "pulumi", f"#!/bin/sh\n{answer}\n")
    put(environment, "go", GO)
    said: list[str] = []

    found = engine.ensure(said.append, environment)

    assert found.version == PINNED
    assert found.command != command
    assert str(command) in said[0]
    assert "not used" in said[0]


def test_the_project_requires_the_oldest_engine_that_it_is_tested_with() -> None:
    project = YAML(typ="safe").load(PROJECT / "Pulumi.yaml")
    assert project["requiredPulumiVersion"] == f">={dotted(engine.OLDEST)}"


def test_the_pinned_engine_is_built_once_and_kept(environment: dict[str, str]) -> None:
    put(environment, "go", GO)
    said: list[str] = []

    first = engine.ensure(said.append, environment)
    second = engine.ensure(said.append, environment)

    assert first == second
    assert first.command.exists()
    assert builds(environment) == 1
    assert "building Pulumi" in said[0]
    assert "minutes" in said[0]
    assert kept(environment) == [engine.program().directory(environment).name]


def test_other_pins_make_another_engine(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(environment, "go", GO)
    first = engine.ensure(print, environment)
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text((engine.MODULE / "go.mod").read_text())
    (module / "go.sum").write_text((engine.MODULE / "go.sum").read_text() + "another line\n")
    monkeypatch.setattr(engine, "MODULE", module)

    assert engine.ensure(print, environment).command != first.command
    assert builds(environment) == 2


def ensure_together(environment: dict[str, str], barrier: Barrier) -> None:
    barrier.wait()
    engine.ensure(print, environment)


def test_processes_that_need_it_at_once_build_it_once(environment: dict[str, str]) -> None:
    put(environment, "go", GO)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [context.Process(target=ensure_together, args=(environment, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert builds(environment) == 1


def test_a_failed_build_shows_the_words_of_go_and_leaves_nothing(environment: dict[str, str]) -> None:
    put(environment, "go", GO.replace("build)", "build) echo 'no space left on device' >&2; exit 1;;\nnever)"))

    with pytest.raises(BuildError, match="no space left on device"):
        engine.ensure(print, environment)

    assert kept(environment) == []


def test_what_a_killed_build_left_is_removed_by_the_next(environment: dict[str, str]) -> None:
    put(environment, "go", GO)
    directory = engine.program().directory(environment)
    unfinished = directory.parent / f".{directory.name}-x1"
    unfinished.mkdir(parents=True)

    engine.ensure(print, environment)

    assert kept(environment) == [directory.name]


def test_without_go_and_pulumi_both_ways_are_named(environment: dict[str, str]) -> None:
    environment["PATH"] = environment["PATH"].split(":")[0]

    with pytest.raises(BuildError) as error:
        engine.ensure(print, environment)

    assert "https://go.dev/dl" in str(error.value)
    assert "https://www.pulumi.com/docs/install" in str(error.value)
    assert "3.276.0" in str(error.value)


@pytest.mark.parametrize(
    "answer",
    ["echo go1.24.1", "echo 'go.mod requires go >= 1.26.6 (running go 1.24.1; GOTOOLCHAIN=local)' >&2; exit 1"],
)
def test_a_go_that_is_too_old_is_refused_with_the_version_that_is_needed(
    environment: dict[str, str], answer: str
) -> None:
    go = put(environment, "go", f"#!/bin/sh\n{answer}\n")

    with pytest.raises(BuildError, match=r"needs Go 1\.26\.6.*1\.24\.1") as error:
        engine.ensure(print, environment)

    assert str(go) in str(error.value)


@pytest.mark.parametrize("home", [None, ""])
def test_without_home_the_users_own_directory_is_taken(home: str | None) -> None:
    environment = {} if home is None else {"HOME": home}

    assert home_directory(environment).is_absolute()
    assert engine.program().directory(environment).is_relative_to(home_directory(environment))
    assert go_environment(environment)["HOME"] == str(home_directory(environment))


def test_a_cache_that_cannot_be_written_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    put(environment, "go", GO)
    (tmp_path / "file").touch()

    with pytest.raises(BuildError, match="XDG_CACHE_HOME"):
        engine.ensure(print, {**environment, "XDG_CACHE_HOME": str(tmp_path / "file")})


def test_the_engine_is_stripped_knows_its_version_and_changes_no_module() -> None:
    flags = " ".join(engine.program().build_flags())

    assert f"version.Version=v{PINNED}" in flags
    assert "-mod=readonly" in flags
    assert engine.is_usable(PINNED)
