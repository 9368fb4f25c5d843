"""A role that a service of AWS assumes: whom its trust policy names, and what its policies allow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import Policy, Role, iam_backends

from sandbox.aws.policy import Context, Verdict, evaluate


@dataclass(frozen=True)
class ServiceRole:
    """A role by its ARN, whether or not it exists."""

    arn: str

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    def trusts(self, principal: str, context: Context) -> bool:
        """Whether the role exists and lets the service assume it with these condition keys."""
        role = self.found
        if role is None:
            return False
        statements = json.loads(role.assume_role_policy_document)["Statement"]
        of_service = [
            {name: part for name, part in each.items() if name != "Principal"} | {"Resource": "*"}
            for each in (statements if isinstance(statements, list) else [statements])
            if principal in _services(each.get("Principal"))
        ]
        return evaluate([{"Statement": of_service}], "sts:AssumeRole", "*", context) is Verdict.ALLOWED

    def allows(self, action: str, resource: str, context: Context | None = None) -> bool:
        """Whether the role's own policies have an Allow, and no Deny."""
        return permits(documents_of(self.found), action, resource, context)

    @property
    def found(self) -> Role | None:
        """The role; None without such a role."""
        _, partition, _, _, account, *_ = self.arn.split(":")
        roles = iam_backends[account][partition].roles.values()
        return next((role for role in roles if role.arn == self.arn), None)


def _services(principal: Any) -> list[str]:
    services = principal.get("Service", []) if isinstance(principal, Mapping) else []
    return [services] if isinstance(services, str) else services


def documents_of(role: Role | None) -> list[str | Policy]:
    """A role's inline and attached policies."""
    return [*role.policies.values(), *role.managed_policies.values()] if role else []


def permits(documents: Iterable[str | Policy], action: str, resource: str, context: Context | None = None) -> bool:
    """Whether policies have an Allow for an action on a resource, and no Deny."""
    return evaluate((json.loads(_text(each)) for each in documents), action, resource, context) is Verdict.ALLOWED


def _text(policy: str | Policy) -> str:
    """Of a managed policy, the version that is in force."""
    if isinstance(policy, str):
        return policy
    return str(next(each.document for each in policy.versions if each.is_default))
