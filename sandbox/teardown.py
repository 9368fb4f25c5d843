"""The end of a stack in the sandbox: everything is destroyed, and what AWS would keep is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.home import Sandbox
from sandbox.stacks import OnOutput, Stack


def take_down(stack: Stack, on_output: OnOutput | None = None, color: str = "never") -> None:
    """Destroy a stack with its protected resources; see `Stack.destroy` for the rest."""
    resources = stack.resources()
    if resources:
        stack.destroy(on_output, color, ignore_protect=True, override_freeze="the sandbox is taken down")
    for kept in retained(resources):
        kind = kept["type"].rpartition(":")[2]
        stack.sandbox.say(f"{stack.name}: {kind} {kept['id']} is kept when its stack is destroyed")
        if kind == "Bucket":
            for line in objects(stack.sandbox, kept["id"]):
                stack.sandbox.say(f"    {line}")


def retained(resources: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a state's resources that a destroy leaves on AWS, without what is a setting of another one."""
    by_id: dict[str, Mapping[str, Any]] = {}
    for resource in resources:
        if resource.get("id"):
            by_id.setdefault(resource["id"], resource)
    return [each for each in by_id.values() if each.get("retainOnDelete")]


def objects(sandbox: Sandbox, bucket: str) -> list[str]:
    """The objects of a bucket, as people read them."""
    client = sandbox.client("s3")
    try:
        pages = list(client.get_paginator("list_objects_v2").paginate(Bucket=bucket))
    except client.exceptions.NoSuchBucket:
        return ["which somebody deleted"]
    return [f"s3://{bucket}/{each['Key']}  {each['Size']:,} B" for page in pages for each in page.get("Contents", [])]
