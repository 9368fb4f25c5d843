from __future__ import annotations

import pytest

from tests.infra.settings.config import assert_broken


@pytest.mark.parametrize(
    ("subnets", "groups", "at", "rule"),
    [
        ([f"subnet-{n:x}" for n in range(17)], ["sg-1"], "subnetIds", "out-of-range"),
        (["subnet-1"], [f"sg-{n}" for n in range(6)], "securityGroupIds", "out-of-range"),
        (["subnet-1"] * 2, ["sg-1"], "subnetIds", "repeated-value"),
        (["subnet-1"], ["sg-1"] * 2, "securityGroupIds", "repeated-value"),
    ],
)
def test_a_wrong_vpc_is_refused(subnets: list[str], groups: list[str], at: str, rule: str) -> None:
    assert_broken("vpc", {"subnetIds": subnets, "securityGroupIds": groups}, rule, f"vpc.{at}")
