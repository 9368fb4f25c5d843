from __future__ import annotations

import pytest

from tests.infra.settings.config import assert_broken


@pytest.mark.parametrize(
    ("subnets", "groups", "at", "rule"),
    [
        (["subnet-1"], None, "securityGroupIds", "missing"),
        ([], ["sg-1"], "subnetIds", "out-of-range"),
        ([f"subnet-{n:x}" for n in range(17)], ["sg-1"], "subnetIds", "out-of-range"),
        (["subnet-1"], [f"sg-{n}" for n in range(6)], "securityGroupIds", "out-of-range"),
        (["sg-1"], ["sg-1"], "subnetIds[0]", "wrong-form"),
        (["subnet-1"] * 2, ["sg-1"], "subnetIds", "repeated-value"),
        (["subnet-1"], ["sg-1"] * 2, "securityGroupIds", "repeated-value"),
    ],
)
def test_a_wrong_vpc_is_refused(subnets: list[str], groups: list[str] | None, at: str, rule: str) -> None:
    vpc = {"subnetIds": subnets, "securityGroupIds": groups}
    assert_broken("vpc", {key: value for key, value in vpc.items() if value is not None}, rule, f"vpc.{at}")
