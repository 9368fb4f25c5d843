"""The two providers: the real bridge, and the stand-in for pulumi-aws."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from sandbox.provider.server import AwsProvider
from tests.bridge.judge import NOT_BUILT, PROGRAM, Judge, running


@pytest.fixture(scope="session")
def bridge() -> Iterator[Judge]:
    if (command := PROGRAM.cached(os.environ)) is None:
        pytest.skip(NOT_BUILT)
    with running(command) as judge:
        yield judge


class _Context:
    """Raises what the provider would send as the call's status."""

    def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise AssertionError(message)


class _InProcess:
    def __init__(self, provider: AwsProvider) -> None:
        self._provider = provider

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        return lambda request: getattr(self._provider, method)(request, _Context())


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Judge]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.delenv("AWS_PROFILE", raising=False)
        yield Judge(_InProcess(AwsProvider()))
