"""IAM policy documents as plain data, and the quotas on them (IAM guide, "IAM and AWS STS quotas")."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Statement = dict[str, Any]
Policy = dict[str, Any]

MAX_MANAGED_POLICY = 6144
"""Characters of a managed policy, without white space."""

MAX_INLINE_POLICIES = 10_240
"""Characters of all inline policies of a role, without white space."""

ATTACHED_BY_DEFAULT, ATTACHED_AT_MOST = 10, 20
"""Managed policies of a role or user: the default quota and the highest one."""


def allow(
    sid: str,
    service: str,
    actions: str,
    resources: str | Sequence[str],
    condition: Mapping[str, Mapping[str, Any]] | None = None,
) -> Statement:
    """A statement that allows a service's actions.

    Args:
        actions: their names, separated by spaces.
    """
    statement: Statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in actions.split()],
        "Resource": resources if isinstance(resources, str) else list(resources),
    }
    return statement | ({"Condition": condition} if condition else {})


def policy(*statements: Statement) -> Policy:
    """A document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def size(document: Any) -> int:
    """Its characters as IAM counts them: without white space."""
    return len("".join(json.dumps(document).split()))


def managed_policies(statements: Iterable[Statement]) -> list[Policy]:
    """Documents that fit the quota of a managed policy, and together allow what the statements do. A long list of
    resources is divided among several documents."""
    documents: list[list[Statement]] = [[]]
    for statement in statements:
        resources = statement["Resource"]
        left = [resources] if isinstance(resources, str) else list(resources)
        while left:
            count = _fitting(documents[-1], statement, left)
            if count:
                documents[-1].append(statement | {"Resource": left[:count] if count > 1 else left[0]})
                left = left[count:]
            if left:
                documents.append([])
    return [policy(*document) for document in documents]


def _fitting(before: list[Statement], statement: Statement, resources: list[str]) -> int:
    """How many of the resources fit after the statements before; at least one in an empty document."""
    room = MAX_MANAGED_POLICY - size(policy(*before, statement | {"Resource": []})) - 1
    lengths = [len(json.dumps(resource)) + 1 for resource in resources]
    totals = [sum(lengths[: count + 1]) for count in range(len(lengths))]
    return max(bisect_left(totals, room + 1), 0 if before else 1)
