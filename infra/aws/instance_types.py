"""SageMaker's hosting instance types: which exist, and which run AWS's amd64-only Triton image."""

from __future__ import annotations

import difflib
import re
from functools import cache

from botocore.loaders import Loader

# The letter after the generation is the processor: g is Graviton (c7g, m6gd, r8g). Grace follows a dash (p6e-gb200).
_ARM = re.compile(r"ml\.(?:[a-z]+\d+g|[a-z0-9]+-g[bh]\d+)")
_GPU = re.compile(r"ml\.[gp]\d")
_NEURON = re.compile(r"ml\.(?:inf|trn)\d")
_LOCAL_DISKS = re.compile(
    r"ml\.(?:c5d|c6gd|m5d|m6gd|r5d|r6gd|r7gd|g4dn|g5|g6|g6e|g7|g7e|p4d|p4de|p5|p5e|p5en|p6-b200|p6-b300|p6e-gb200"
    r"|dl1|trn1|trn1n|trn2)\."
)
"""Families with instance store volumes (EC2 API `InstanceTypeInfo`, `instanceStorageSupported`)."""
_BURSTABLE = re.compile(r"ml\.t\d")


@cache
def hosting_instance_types() -> frozenset[str]:
    """Every instance type an endpoint may have: the enum `ProductionVariantInstanceType` of botocore's SageMaker
    model."""
    return _enum("ProductionVariantInstanceType")


@cache
def transform_instance_types() -> frozenset[str]:
    """Every instance type a batch transform job may have: the enum `TransformInstanceType` of botocore's SageMaker
    model."""
    return _enum("TransformInstanceType")


def _enum(shape: str) -> frozenset[str]:
    model = Loader().load_service_model("sagemaker", "service-2")
    return frozenset(model["shapes"][shape]["enum"])


def family(instance_type: str) -> str:
    """`g5` of `ml.g5.xlarge`."""
    return instance_type.split(".")[1]


def is_arm(instance_type: str) -> bool:
    """Whether the processor is Arm. An amd64 image does not start there."""
    return _ARM.match(instance_type) is not None


def is_burstable(instance_type: str) -> bool:
    """Whether the type is `ml.t*`, which cannot be auto scaled (SageMaker guide, "Autoscaling prerequisites")."""
    return _BURSTABLE.match(instance_type) is not None


def has_local_disks(instance_type: str) -> bool:
    """Whether the instance has its own disks. SageMaker attaches no volume to it then, and CreateEndpointConfig rejects
     `VolumeSizeInGB` (SageMaker release notes, "Host instance storage volumes table"; SageMaker Python SDK,
    `volume_size_supported`)."""
    return _LOCAL_DISKS.match(instance_type) is not None


def has_gpu(instance_type: str) -> bool:
    """Whether the type has NVIDIA GPUs: the families g and p (SageMaker pricing, "Accelerated computing")."""
    return _GPU.match(instance_type) is not None


def has_neuron(instance_type: str) -> bool:
    """Whether the type has AWS's accelerators with the Neuron driver: Inferentia and Trainium."""
    return _NEURON.match(instance_type) is not None


def amd64_alternative(instance_type: str) -> str:
    """The amd64 type of the same class and size, of the same generation or the newest before it: `ml.c8g.xlarge` →
    `ml.c7i.xlarge`, `ml.g5g.xlarge` → `ml.g5.xlarge`. Otherwise a common type, with GPUs if the given one has any."""
    processor, default = ("", "ml.g5.xlarge") if has_gpu(instance_type) else ("i", "ml.c7i.xlarge")
    parts = re.fullmatch(r"ml\.([a-z]+)(\d+)g[a-z]*\.(\w+)", instance_type)
    if parts is None:
        return default
    family, generation, size = parts[1], int(parts[2]), parts[3]
    candidates = (f"ml.{family}{older}{processor}.{size}" for older in range(generation, 4, -1))
    return next((candidate for candidate in candidates if candidate in hosting_instance_types()), default)


_TRANSFORM_FAMILIES = {"r": "r6i", "m": "m6i", "t": "m6i", "c": "c6i", "g": "g5", "p": "p3"}
"""The families of batch transform with the same purpose as one of hosting, by its first letter."""


@cache
def transform_alternative(instance_type: str) -> str:
    """The type of batch transform for a hosting type: itself, or the type of the same purpose with the nearest size at
    or above its own: `ml.r5.xlarge` → `ml.r6i.xlarge`."""
    known = transform_instance_types()
    if instance_type in known or not re.fullmatch(r"ml\.[a-z0-9-]+\.\d*x?large", instance_type):
        return instance_type if instance_type in known else "ml.c5.xlarge"
    family_ = _TRANSFORM_FAMILIES.get(family(instance_type)[0], "c6i")
    sizes = sorted((type_ for type_ in known if family(type_) == family_), key=_size)
    return next((type_ for type_ in sizes if _size(type_) >= _size(instance_type)), sizes[-1])


def _size(instance_type: str) -> float:
    """The size as a multiple of `xlarge`."""
    size = instance_type.split(".")[2].removesuffix("xlarge")
    return 0.5 if size == "large" else float(size or 1)


@cache
def nearest_instance_type(instance_type: str) -> str | None:
    """The valid type with the most similar spelling, if any is similar."""
    known = hosting_instance_types()
    spelled = f"ml.{instance_type.lower().removeprefix('ml.')}"
    return spelled if spelled in known else next(iter(difflib.get_close_matches(spelled, sorted(known), n=1)), None)
