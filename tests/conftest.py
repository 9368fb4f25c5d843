"""What holds for all tests: their order, the need of Triton, and descriptions of AWS that are parsed once."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

from infra.triton.server import unavailable
from tests import aws_descriptions

aws_descriptions.share()

# Tests look for new examples, and no clock decides. Where CI is set, hypothesis itself chooses its profile `ci`, which
# repeats the same examples: it does not fail a change for a defect of an earlier one.
if settings.get_current_profile_name() == "default":
    settings.register_profile("explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("explore")


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
