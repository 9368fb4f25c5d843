"""Which NVIDIA GPUs, drivers, SageMaker inference AMIs and Triton releases work together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

COMPUTE_CAPABILITY = {
    "p2": 3.7,
    "p3": 7.0,
    "g4dn": 7.5,
    "p4d": 8.0,
    "p4de": 8.0,
    "g5": 8.6,
    "g6": 8.9,
    "g6e": 8.9,
    "p5": 9.0,
    "p5e": 9.0,
    "p5en": 9.0,
    "p6-b200": 10.0,
    "p6-b300": 10.3,
    "g7": 12.0,
    "g7e": 12.0,
}
"""Of the GPUs of each instance family (NVIDIA, "CUDA GPU Compute Capability" and its page of legacy GPUs)."""

BLACKWELL = 10.0
"""The lowest compute capability of this architecture. CUDA 12.8, of driver branch 570, is the first to support it (CUDA
12.8 release notes); NVIDIA requires 570.133.20 on HGX B200 (GPU Operator, "Platform Support")."""

DEFAULT_DRIVERS = dict.fromkeys(("p2", "p3", "p4d", "p4de", "g4dn", "g5"), 470) | {
    "p5": 535,
    "g6": 535,
    "p5e": 550,
    "p5en": 550,
}
"""Driver branches without an `InferenceAmiVersion` (SageMaker guide, "Best practices to minimize interruptions during
GPU driver upgrades"). AWS upgrades them over time, so a conflict with them is only a warning."""


@dataclass(frozen=True)
class InferenceAmi:
    """An AMI of SageMaker's instances with accelerators (API `ProductionVariantInferenceAmiVersion`).

    Attributes:
        driver: NVIDIA's driver branch, if known.
    """

    name: str
    accelerator: Literal["gpu", "neuron"]
    driver: int | None


INFERENCE_AMIS: Mapping[str, InferenceAmi] = {
    ami.name: ami
    for ami in (
        InferenceAmi("al2-ami-sagemaker-inference-gpu-2", "gpu", 535),
        InferenceAmi("al2-ami-sagemaker-inference-gpu-2-1", "gpu", 535),
        InferenceAmi("al2-ami-sagemaker-inference-gpu-3-1", "gpu", 550),
        InferenceAmi("al2023-ami-sagemaker-inference-gpu-4-1", "gpu", 580),
        InferenceAmi("al2-ami-sagemaker-inference-neuron-2", "neuron", None),
    )
}
"""The values of `ProductionVariantInferenceAmiVersion`."""


def release_problem(release: str, family: str) -> str | None:
    """Why a Triton release does not run on the GPUs of a family, and the way out.

    The release notes list them under "GPU Requirements": up to 24.10 compute capability 6.0 without Blackwell, from
    25.01 on 7.5 with Blackwell.
    """
    capability = COMPUTE_CAPABILITY.get(family)
    if capability is None:
        return None
    required = 7.5 if release >= "25.01" else 6.0
    if capability < required:
        older = " or an image older than 25.01" if capability >= 6.0 else ""
        return (
            f"its GPUs have compute capability {capability}, and Triton {release} requires {required}. Use ml.g4dn or "
            f"newer{older}."
        )
    if capability >= BLACKWELL and release < "25.01":
        return f"its Blackwell GPUs are newer than Triton {release}. Use image.version 25.04-py3 or later."
    return None


def driver_problem(ami: InferenceAmi, family: str) -> str | None:
    """Why the driver of an AMI does not support the GPUs of a family, and the way out."""
    if ami.driver and ami.driver < 570 and COMPUTE_CAPABILITY.get(family, 0) >= BLACKWELL:
        return (
            f"{ami.name} has NVIDIA driver {ami.driver}, and the Blackwell GPUs of ml.{family} require 570 or later. "
            "Use al2023-ami-sagemaker-inference-gpu-4-1."
        )
    return None


def driver_warning(release: str, family: str, ami: InferenceAmi | None) -> str | None:
    """The warning that a Triton release runs on the driver only through CUDA's forward compatibility, if it does.

    Args:
        ami: None for SageMaker's default.
    """
    driver = ami.driver if ami else DEFAULT_DRIVERS.get(family)
    cuda, required = _cuda(release)
    if driver is None or driver >= required:
        return None
    where = ami.name if ami else f"ml.{family} without inferenceAmiVersion"
    newer = next(name for name, known in INFERENCE_AMIS.items() if (known.driver or 0) >= required)
    return (
        f"{where} may have NVIDIA driver {driver}, and Triton {release} is built on CUDA {cuda}, which requires driver "
        f"{required} unless its compatibility package works there. To be sure, set inferenceAmiVersion: {newer}."
    )


TRANSFORM_DRIVER = 535
"""The newest driver branch of transform jobs (API `TransformAmiVersion`)."""

TRANSFORM_AMI = f"al2-ami-sagemaker-batch-gpu-{TRANSFORM_DRIVER}"
"""The `TransformAmiVersion` with it. AWS does not document a default."""


def transform_driver_warning(release: str) -> str | None:
    """The warning that a Triton release runs on the driver of transform jobs only through CUDA's forward compatibility,
    if it does."""
    cuda, required = _cuda(release)
    if required <= TRANSFORM_DRIVER:
        return None
    return (
        f"transform jobs have NVIDIA driver {TRANSFORM_DRIVER} at most (API TransformAmiVersion), and Triton {release} "
        f"is built on CUDA {cuda}, which requires driver {required} unless its compatibility package works there. Use "
        "an image before 25.08, or a type without GPUs."
    )


def _cuda(release: str) -> tuple[int, int]:
    """The major CUDA version of a release (its notes, "Driver Requirements": 11.8 in 22.12, 12.1 in 23.03, 12.9 in
    25.06, 13.0 in 25.08), and the first driver branch that supports it (CUDA Compatibility, "Minor Version
    Compatibility")."""
    if release >= "25.08":
        return 13, 580
    return (12, 525) if release >= "23.03" else (11, 450)
