"""One sandbox for all lifecycle tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.home import Sandbox

pytest.register_assert_rewrite("tests.lifecycle.account")  # so that what its checks compare is shown
from tests.lifecycle import preloaded  # noqa: E402
from tests.lifecycle.account import Account  # noqa: E402


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox") / "home")
    sandbox.start()
    work = tmp_path_factory.mktemp("work")
    with preloaded.python(work) as python:
        yield Account(sandbox, work, python)
    sandbox.stop()


@pytest.fixture
def account(_sandbox: Account) -> Iterator[Account]:
    _sandbox.denied.clear()
    yield _sandbox
    _sandbox.relieve()
    assert _sandbox.denied == [], "the deployer's policy denies calls of its stack"
