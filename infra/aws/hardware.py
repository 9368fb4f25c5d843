"""vCPUs, GPUs and memory of hosting instance types (EC2 API `DescribeInstanceTypes`: `VCpuInfo`, `GpuInfo`,
`MemoryInfo`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_GPUS: Mapping[str, Mapping[str, int]] = {
    "g4dn": {"12xlarge": 4},
    "g5": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g7": {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
    "g7e": {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
    "p2": {"8xlarge": 8, "16xlarge": 16},
    "p3": {"8xlarge": 4, "16xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "p6-b200": {"48xlarge": 8},
    "p6-b300": {"48xlarge": 8},
    "p6e-gb200": {"36xlarge": 4},
}
"""Of the families with NVIDIA GPUs the sizes with more than one."""

_GIB_PER_XLARGE: Mapping[str, float] = {"c": 8, "m": 16, "r": 32, "t": 16, "g": 16}
"""By the first letter of the family."""
_GIB_PER_XLARGE_OF: Mapping[str, float] = {"c4": 7.5, "g6e": 32, "inf1": 8, "inf2": 16, "trn1": 16, "trn1n": 16}
_GIB: Mapping[str, float] = {
    "t2.medium": 4,
    "g7e.2xlarge": 64,
    "g7e.4xlarge": 128,
    "g7e.8xlarge": 256,
    "g7e.12xlarge": 512,
    "g7e.24xlarge": 1024,
    "g7e.48xlarge": 2048,
    "p2.xlarge": 61,
    "p2.8xlarge": 488,
    "p2.16xlarge": 732,
    "p3.2xlarge": 61,
    "p3.8xlarge": 244,
    "p3.16xlarge": 488,
    "p4d.24xlarge": 1152,
    "p4de.24xlarge": 1152,
    "p5.4xlarge": 256,
    "p5.48xlarge": 2048,
    "p5e.48xlarge": 2048,
    "p5en.48xlarge": 2048,
    "p6-b200.48xlarge": 2048,
    "p6-b300.48xlarge": 4096,
    "trn2.48xlarge": 2048,
}


@dataclass(frozen=True)
class ServerlessContainer:
    """A container without an instance."""

    memory_mb: int

    def __str__(self) -> str:
        return f"a serverless container of {self.memory_mb} MB"


Hardware = str | ServerlessContainer
"""What a container runs on: an instance of a type, or none."""


def gpus(hardware: Hardware) -> int:
    """The number of NVIDIA GPUs. Serverless containers have none (SageMaker guide, Serverless Inference, Feature
    exclusions)."""
    if isinstance(hardware, ServerlessContainer):
        return 0
    _, family, size = hardware.split(".")
    return _GPUS[family].get(size, 1) if family in _GPUS else int(re.match(r"[gp]\d", family) is not None)


def vcpus(instance_type: str) -> int:
    """The number of vCPUs: 4 per `xlarge` in every family."""
    _, family, size = instance_type.split(".")
    if number := re.fullmatch(r"(\d*)xlarge", size):
        return 36 if (family, size) == ("c4", "8xlarge") else 4 * int(number[1] or 1)
    return 1 if size == "medium" and family != "t2" else 2


def memory_gib(hardware: Hardware) -> float | None:
    """The memory in GiB; None if it is not known."""
    if isinstance(hardware, ServerlessContainer):
        return hardware.memory_mb / 1024
    _, family, size = hardware.split(".")
    exact = _GIB.get(f"{family}.{size}")
    per_xlarge = _GIB_PER_XLARGE_OF.get(family) or _GIB_PER_XLARGE.get(family[0])
    xlarges = {"medium": 0.25, "large": 0.5, "xlarge": 1.0}.get(size)
    if number := re.fullmatch(r"(\d+)xlarge", size):
        xlarges = float(number[1])
    if exact or per_xlarge is None or xlarges is None:
        return exact
    return per_xlarge * xlarges
