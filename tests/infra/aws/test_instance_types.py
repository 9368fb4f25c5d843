"""What is said of instance types is what EC2 describes."""

from __future__ import annotations

from moto.utilities.utils import load_resource

from infra.aws import instance_types

EC2 = load_resource("ec2/resources/instance_types.json")
"""DescribeInstanceTypes, as moto carries it."""


def test_types_with_local_disks_are_those_with_an_instance_store() -> None:
    hosting = {each.removeprefix("ml.") for each in instance_types.hosting_instance_types()}
    described = {each: EC2[each]["InstanceStorageSupported"] for each in hosting & EC2.keys()}
    assert len(described) > 200
    assert {each: instance_types.has_local_disks(f"ml.{each}") for each in described} == described
