"""What is left to say after an `up` that failed: its errors once more, and what serves nevertheless.

The engine prints them above its summary.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from infra.release.live import EndpointDescription
from sandbox.stacks import Stack, StackFailed

_OF_THE_STACK = frozenset({"update failed", "Resource monitor has terminated, shutting down"})
"""What the engine says of the whole stack when one of its resources failed; newer engines say the second too."""

ENDPOINT = "pulumi-python:dynamic/infra:Endpoint"


def summary(stack: Stack, failure: StackFailed) -> list[str]:
    """The errors, and a line for each endpoint in the stack's state."""
    errors = [each for each in failure.errors if each not in _OF_THE_STACK] or [str(failure)]
    return ["", *dict.fromkeys(errors), *serving(stack)]


def serving(stack: Stack) -> list[str]:
    """What each endpoint in the stack's state serves, as AWS says."""
    try:
        found = stack.resources() if stack.exists else []
    except StackFailed:
        return []
    endpoints = [each["outputs"] for each in found if each["type"] == ENDPOINT and each.get("id")]
    return [_serving(stack, each["name"], each["arn"].split(":")[3]) for each in endpoints]


def _serving(stack: Stack, name: str, region: str) -> str:
    try:
        answer = stack.sandbox.client("sagemaker", region).describe_endpoint(EndpointName=name)
    except (BotoCoreError, ClientError) as error:
        return f"{name}: {error}"
    endpoint = EndpointDescription.of(answer)
    return f"{name}: {endpoint.status}, {'serves' if endpoint.is_serving else 'does not serve'} {endpoint.config_name}"
