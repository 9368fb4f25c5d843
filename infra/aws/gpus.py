"""What NVIDIA's GPUs and drivers, SageMaker's machine images and Triton's releases need of each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
"""The first compute capability of this architecture. CUDA 12.8, of driver branch 570, is the first that knows it (CUDA
12.8 release notes); NVIDIA asks for 570.133.20 on HGX B200 (GPU Operator, "Platform Support")."""

DEFAULT_DRIVERS = dict.fromkeys(("p2", "p3", "p4d", "p4de", "g4dn", "g5"), 470) | {
    "p5": 535,
    "g6": 535,
    "p5e": 550,
    "p5en": 550,
}
"""Driver branches where no `InferenceAmiVersion` is given (SageMaker guide, "Best practices to minimize interruptions
during GPU driver upgrades"). AWS upgrades them over time, so what follows from them is a warning."""


@dataclass(frozen=True)
class MachineImage:
    """A machine image of SageMaker's instances with accelerators (API `ProductionVariantInferenceAmiVersion`)."""

    name: str
    accelerator: str
    driver: int | None
    """NVIDIA's driver branch, if it is known."""

    @classmethod
    def of(cls, name: str) -> MachineImage | None:
        """The one called so."""
        if name not in MACHINE_IMAGES:
            return None
        return cls(name, "gpu" if name in _DRIVERS else "neuron", _DRIVERS.get(name))


_DRIVERS = {
    "al2-ami-sagemaker-inference-gpu-2": 535,
    "al2-ami-sagemaker-inference-gpu-2-1": 535,
    "al2-ami-sagemaker-inference-gpu-3-1": 550,
    "al2023-ami-sagemaker-inference-gpu-4-1": 580,
}
MACHINE_IMAGES = (*_DRIVERS, "al2-ami-sagemaker-inference-neuron-2")
"""What `ProductionVariantInferenceAmiVersion` lists."""


def release_of(tag: str) -> str | None:
    """The Triton release in an image's tag: `24.05` of `24.05-py3-cpu`."""
    found = re.match(r"(\d\d\.\d\d)-", tag)
    return found[1] if found else None


def release_problem(release: str, family: str) -> str | None:
    """Why a Triton release does not run on the GPUs of a family, and the way out.

    The notes of the releases say so under "GPU Requirements": up to 24.10 compute capability 6.0 without Blackwell,
    from 25.01 on 7.5 with Blackwell.
    """
    capability = COMPUTE_CAPABILITY.get(family)
    if capability is None:
        return None
    needed = 7.5 if release >= "25.01" else 6.0
    if capability < needed:
        older = " or an image older than 25.01" if capability >= 6.0 else ""
        return (
            f"its GPUs have compute capability {capability}, and Triton {release} needs {needed}. Take ml.g4dn or newer"
            f"{older}."
        )
    if capability >= BLACKWELL and release < "25.01":
        return f"its Blackwell GPUs are newer than Triton {release}. Take image.version 25.04-py3 or later."
    return None


def driver_problem(image: MachineImage, family: str) -> str | None:
    """Why a machine image's driver does not know the GPUs of a family, and the way out."""
    if image.driver and image.driver < 570 and COMPUTE_CAPABILITY.get(family, 0) >= BLACKWELL:
        return (
            f"{image.name} has NVIDIA driver {image.driver}, and the Blackwell GPUs of ml.{family} need 570 or later. "
            "Take al2023-ami-sagemaker-inference-gpu-4-1."
        )
    return None


def driver_warning(release: str, family: str, image: MachineImage | None) -> str | None:
    """What is to be said if a Triton release runs on a driver by CUDA's forward compatibility only."""
    driver = image.driver if image else DEFAULT_DRIVERS.get(family)
    cuda, needed = _cuda(release)
    if driver is None or driver >= needed:
        return None
    where = image.name if image else f"ml.{family} without inferenceAmiVersion"
    way_out = next(name for name, branch in _DRIVERS.items() if branch >= needed)
    return (
        f"{where} may have NVIDIA driver {driver}, and Triton {release} is built on CUDA {cuda}, which needs {needed} "
        f"unless its compatibility package works there. {way_out} has a driver that does."
    )


def _cuda(release: str) -> tuple[int, int]:
    """The major CUDA version of a release (its notes, "Driver Requirements": 11.8 in 22.12, 12.1 in 23.03, 12.9 in
    25.06, 13.0 in 25.08), and the first driver branch that runs all of it (CUDA Compatibility, "Minor Version
    Compatibility")."""
    if release >= "25.08":
        return 13, 580
    return (12, 525) if release >= "23.03" else (11, 450)
