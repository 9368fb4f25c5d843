"""A role that a service of AWS assumes: whom its trust policy names, and what its policies allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import Role, iam_backends

from sandbox.aws.models import documents_of, permits
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
        role = self._role()
        if role is None:
            return False
        statements = json.loads(role.assume_role_policy_document)["Statement"]
        of_service = [
            {
                "Effect": each["Effect"],
                "Action": each["Action"],
                "Resource": "*",
                "Condition": each.get("Condition", {}),
            }
            for each in (statements if isinstance(statements, list) else [statements])
            if principal in _services(each.get("Principal"))
        ]
        return evaluate([{"Statement": of_service}], "sts:AssumeRole", "*", context) is Verdict.ALLOWED

    def allows(self, action: str, resource: str, context: Context | None = None) -> bool:
        """Whether the role's own policies have an Allow, and no Deny."""
        return permits(documents_of(self._role()), action, resource, context)

    def _role(self) -> Role | None:
        _, partition, _, _, account, *_ = self.arn.split(":")
        roles = iam_backends[account][partition].roles.values()
        return next((role for role in roles if role.arn == self.arn), None)


def _services(principal: Any) -> list[str]:
    services = principal.get("Service", []) if isinstance(principal, Mapping) else []
    return [services] if isinstance(services, str) else services
