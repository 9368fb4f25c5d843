"""Rules of `ValidateInstanceGroup`, and what the target's GPUs and memory allow."""

from __future__ import annotations

import re

from infra.aws.hardware import memory_gib
from infra.triton.backends import TENSORRT_PLATFORM
from infra.triton.config import messages
from infra.triton.deployment import Deployment
from infra.triton.model import Model
from infra.triton.rule import Finding, Findings, model_rule, repository_rule

VALIDATE = "core: NormalizeInstanceGroup, ValidateInstanceGroup"
GIB = 2**30


@model_rule("gpus-of-cpu-kind", "Remove `gpus`, or use KIND_GPU", VALIDATE)
def gpus_of_another_kind(model: Model, deployment: Deployment) -> Findings:
    """Only KIND_GPU may list GPUs; KIND_AUTO becomes KIND_CPU if a listed GPU does not exist."""
    for index, group in enumerate(model.config.instance_group):
        kind = messages().ModelInstanceGroup.Kind.Name(group.kind)
        at = f"instance_group[{index}].gpus"
        listed = ", ".join(map(str, group.gpus))
        if kind in ("KIND_CPU", "KIND_MODEL") and group.gpus:
            yield Finding(f"a group of {kind} lists GPUs ({listed})", at)
        if kind == "KIND_AUTO" and _absent(list(group.gpus), deployment.gpus):
            yield Finding(f"a group of KIND_AUTO lists the GPUs {listed}{_available(deployment)}", at)


@model_rule("gpu-absent", "Use KIND_CPU, GPUs that the instance type has, or another instance type", VALIDATE)
def absent_gpus(model: Model, deployment: Deployment) -> Findings:
    """A group of KIND_GPU requires a GPU, and every GPU that it lists."""
    for index, group in enumerate(model.config.instance_group):
        if messages().ModelInstanceGroup.Kind.Name(group.kind) != "KIND_GPU":
            continue
        if deployment.gpus == 0:
            yield Finding(f"KIND_GPU requires a GPU, and {deployment.target} has none", f"instance_group[{index}].kind")
        elif absent := _absent(list(group.gpus), deployment.gpus):
            text = f"the group lists the GPU {absent[0]}{_available(deployment)}"
            yield Finding(text, f"instance_group[{index}].gpus")


def _available(deployment: Deployment) -> str:
    """Which GPUs there are, to follow which are listed."""
    if not deployment.gpus:
        return f", and {deployment.target} has no GPU" if deployment.gpus == 0 else ""
    indices = "only GPU 0" if deployment.gpus == 1 else f"GPUs 0 to {deployment.gpus - 1}"
    return f", and {deployment.target} has {indices}"


def _absent(listed: list[int], gpus: int | None) -> list[int]:
    """The listed indices that do not exist; a negative one never does."""
    return [index for index in listed if index < 0 or (gpus is not None and index >= gpus)]


@model_rule("profile", "Use the index of an optimization profile of a TensorRT engine, or remove `profile`", VALIDATE)
def profile(model: Model, _: Deployment) -> Findings:
    """Optimization profiles exist in TensorRT only, and are named by their index."""
    for index, group in enumerate(model.config.instance_group):
        at = f"instance_group[{index}].profile"
        if group.profile and model.platform != TENSORRT_PLATFORM:
            yield Finding("a group has a profile outside TensorRT", at)
            continue
        for name in group.profile:
            if not re.match(r"\s*\+?\d|\s*-0+(?!\d)", name):
                yield Finding(f"the profile {name!r} is not an index", at)


@repository_rule("memory", "Use an instance type with more memory", "EC2: DescribeInstanceTypes", "warning")
def memory(deployment: Deployment) -> Findings:
    """The loaded models' files should fit into the instance's memory."""
    available = memory_gib(deployment.hardware) if deployment.hardware else None
    if available is None:
        return
    size = 0
    for name in deployment.loaded & deployment.models.keys():
        model = deployment.models[name]
        folders = tuple(f"{version}/" for version in model.loaded_versions)
        size += sum(bytes_ for file, bytes_ in model.files.items() if file.startswith(folders))
    if size > available * GIB:
        text = f"the files of the loaded models have {size / GIB:.1f} GiB, and {deployment.hardware} has"
        yield Finding(f"{text} {available:g} GiB of memory")
