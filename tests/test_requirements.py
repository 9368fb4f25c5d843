"""The locks of the Python packages: everything that is installed has a version and hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.mock_runtime import ROOT

LOCKS = ("requirements", "requirements-dev", "requirements-triton")


def wanted(path: Path) -> list[Requirement]:
    """What people edit."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def locked(path: Path) -> list[tuple[Requirement, list[str]]]:
    """What is installed, each with its hashes."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    found = [line.split(" --hash=") for line in entries if line and not line.startswith(("#", "-"))]
    return [(Requirement(first.strip()), [each.strip() for each in hashes]) for first, *hashes in found]


def versions(name: str) -> set[tuple[str, str]]:
    return {(canonicalize_name(each.name), str(each.specifier)) for each, _ in locked(ROOT / f"{name}.txt")}


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_a_version_and_hashes(name: str) -> None:
    for requirement, hashes in locked(ROOT / f"{name}.txt"):
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_is_asked_for(name: str) -> None:
    have = versions(name)
    for requirement in wanted(ROOT / f"{name}.in"):
        found = [each.removeprefix("==") for package, each in have if package == canonicalize_name(requirement.name)]
        assert any(requirement.specifier.contains(version) for version in found), f"{requirement}: run `make lock`"


def test_pulumi_up_builds_nothing_from_source() -> None:
    assert "--only-binary :all:" in (ROOT / "requirements.txt").read_text().splitlines()


def test_a_package_of_pulumi_up_has_the_same_version_in_development() -> None:
    assert versions("requirements") <= versions("requirements-dev")
