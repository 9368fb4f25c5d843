"""vCPUs, GPUs and memory of instance types, compared with EC2's own list as moto ships it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import moto
import pytest

from infra.aws import hardware
from infra.aws.instance_types import has_gpu, hosting_instance_types

NOT_IN_EC2 = {"ml.dl1.24xlarge", "ml.p6e-gb200.36xlarge"}
"""moto's list lacks them, and the families p2 and p3."""


@pytest.fixture(scope="module")
def ec2() -> dict[str, Any]:
    file = Path(moto.__file__).parent / "ec2/resources/instance_types.json.gz"
    described: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return described


def test_vcpus_gpus_and_memory_are_ec2s(ec2: dict[str, Any]) -> None:
    missing = set()
    for name in hosting_instance_types():
        described = ec2.get(name.removeprefix("ml."))
        if described is None:
            missing.add(name)
            continue
        gpus = sum(gpu["Count"] for gpu in described.get("GpuInfo", {}).get("Gpus", []))
        memory = described["MemoryInfo"]["SizeInMiB"] / 1024
        assert (name, hardware.gpus(name), hardware.memory_gib(name)) == (name, gpus, memory)
        assert (name, hardware.vcpus(name)) == (name, described["VCpuInfo"]["DefaultVCpus"])
    assert {name for name in missing if not name.startswith(("ml.p2.", "ml.p3."))} == NOT_IN_EC2


def test_every_type_with_gpus_has_one_at_least() -> None:
    assert all((hardware.gpus(name) > 0) == has_gpu(name) for name in hosting_instance_types())


def test_unknown_memory_is_none() -> None:
    assert hardware.memory_gib("ml.dl1.24xlarge") is None


def test_a_serverless_container_has_its_memory_and_no_gpu() -> None:
    container = hardware.ServerlessContainer(3072)
    assert (hardware.gpus(container), hardware.memory_gib(container)) == (0, 3)
