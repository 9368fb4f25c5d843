"""One sandbox for all lifecycle tests of a worker."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from sandbox.home import Sandbox
from sandbox.stacks import StackFailed

pytest.register_assert_rewrite("tests.lifecycle.account")  # so that what its checks compare is shown
from tests.lifecycle import preloaded  # noqa: E402
from tests.lifecycle.account import Account  # noqa: E402


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A deployment that fails unexpectedly is shown with all that the engine printed."""
    report = yield
    if call.excinfo and isinstance(failed := call.excinfo.value, StackFailed):
        report.sections.append(("pulumi", failed.output))
    return report


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
