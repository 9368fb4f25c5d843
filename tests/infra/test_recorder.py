"""The recorder refuses what the engine refuses."""

from __future__ import annotations

import pulumi
import pytest

from tests.infra.mock_runtime import registered
from tests.infra.recorder import DuplicateResourceError


def test_two_resources_cannot_have_one_urn() -> None:
    def program() -> None:
        for _ in range(2):
            pulumi.ComponentResource("infra:x:X", "twice")

    with pytest.raises(DuplicateResourceError, match=r"Duplicate resource URN '.*infra:x:X::twice'"):
        registered(program)
