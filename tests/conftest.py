"""What holds for all tests: their order, the need of Triton, and descriptions of AWS that are parsed once."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

from infra.triton.server import unavailable
from tests import aws_descriptions

aws_descriptions.share()

# The same examples in every run, so that a change does not fail for a defect of an earlier one, and no clock decides.
# `pytest --hypothesis-profile=default` looks for new ones.
settings.register_profile("repeat", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeat")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: "lifecycle" not in item.path.parts)


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: the collector need not visit them at each of its runs."""
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that starts a Triton server where none runs."""
    if item.get_closest_marker("triton") and (reason := unavailable()):
        pytest.skip(reason)
