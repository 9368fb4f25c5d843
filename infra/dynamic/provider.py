"""The base of the dynamic providers: AWS clients of the stack's `aws` provider, and inputs that are compared by key.

Pulumi stores the *path* of a provider class in the state. So the modules and class names in this package are a frozen
API, and providers hold no state of their own before `configure`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import pulumi
from pulumi.dynamic import ConfigureRequest, DiffResult, ResourceProvider

from infra.aws.session import AwsSession
from infra.dynamic.engine import exit_with_the_engine

UNKNOWN = pulumi.runtime.rpc.UNKNOWN
"""The value of an input in a preview if it depends on a resource that does not exist yet."""


class AwsResourceProvider(ResourceProvider):
    """A dynamic provider that calls AWS with boto3.

    Every resource has the input `accountId`: the account of the stack's `aws` provider, in which these calls must act.
    """

    serialize_as_secret_always = False  # only the path of the class is serialized

    aws: AwsSession
    stack_config: Mapping[str, Any] = MappingProxyType({})
    """All of the stack's configuration, by `namespace:name`; structured values are JSON."""

    def configure(self, req: ConfigureRequest) -> None:
        sys.tracebacklimit = 0  # the terminal shows the message without our stack
        exit_with_the_engine()
        self.stack_config = req.config._props
        self.aws = _session(json.dumps(req.config._props, sort_keys=True))

    def client(self, service: str, props: Mapping[str, Any]) -> Any:
        """A client of `service` that acts in the account of the stack's `aws` provider."""
        self.aws.require_account(props["accountId"])
        return self.aws.client(service)


@cache
def _session(stack_config: str) -> AwsSession:
    """One session for all resources of a stack: creating one, or a client, is slower than most calls."""
    return AwsSession(json.loads(stack_config))


def changed(olds: Mapping[str, Any], news: Mapping[str, Any], *keys: str) -> list[str]:
    """Those of the inputs `keys` that differ. An unknown one counts as different."""
    return [key for key in keys if news.get(key) == UNKNOWN or olds.get(key) != news.get(key)]


def difference(
    olds: Mapping[str, Any], news: Mapping[str, Any], *, update: list[str], replace: list[str]
) -> DiffResult:
    """A diff by the inputs that update the resource in place and those that replace it."""
    replaces = changed(olds, news, *replace)
    return DiffResult(changes=bool(replaces or changed(olds, news, *update)), replaces=replaces)
