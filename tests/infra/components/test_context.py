"""A stack stays in the account and Region that it was created in."""

from __future__ import annotations

import pytest

from infra.components.context import moved

CREATED = {"accountId": "123456789012", "region": "ap-northeast-1"}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({}, []),
        ({"region": "us-east-1"}, ["region-changed"]),
        ({"accountId": "210987654321"}, ["account-changed"]),
        ({"accountId": "210987654321", "region": "us-east-1"}, ["region-changed", "account-changed"]),
    ],
)
def test_another_region_or_account_is_refused(change: dict[str, str], rules: list[str]) -> None:
    assert [problem.rule for problem in moved(CREATED, CREATED | change)] == rules
