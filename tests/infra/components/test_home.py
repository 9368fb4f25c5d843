"""A stack stays in the account and Region that it was created in."""

from __future__ import annotations

import pytest

from infra.components import home

CREATED = {"accountId": "123456789012", "region": "ap-northeast-1"}


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({}, []),
        ({"region": "us-east-1"}, ["aws:region"]),
        ({"accountId": "210987654321"}, ["aws"]),
        ({"accountId": "210987654321", "region": "us-east-1"}, ["aws:region", "aws"]),
    ],
)
def test_another_region_or_account_is_refused(change: dict[str, str], keys: list[str]) -> None:
    assert [each.key for each in home.problems(CREATED, CREATED | change)] == keys
