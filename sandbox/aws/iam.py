"""IAM's constraints in front of moto, which lets names, documents and sizes pass that AWS refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.model import Shape
from moto.core.exceptions import ServiceException
from moto.iam.models import IAMBackend, Role, iam_backends
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

from sandbox.aws.protocol import PASS_TO_MOTO, AwsError, Guard, RequestContext, check, partition, service_model

#: IAM User Guide, "IAM and AWS STS quotas": characters, white space not counted.
LARGEST_TRUST_POLICY: Final = 2048
LARGEST_MANAGED_POLICY: Final = 6144
LARGEST_INLINE_POLICIES_OF_A_ROLE: Final = 10_240

_SERVICE_PRINCIPAL = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")

Params = Mapping[str, Any]


class Iam:
    """Checks a call, by `guard` too, then leaves it to moto."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any] | None:
        model = service_model("iam").operation_model(operation)
        members = (model.input_shape and _members(model.input_shape, params)) or {}
        check(model, members)
        if operation in _CHECKS:
            _CHECKS[operation](iam_backends[context.account][partition(context.region)], members)
        self._guard(operation, members, context)
        return PASS_TO_MOTO  # type: ignore[no-any-return]


def _members(shape: Shape, fields: Mapping[str, str], prefix: str = "") -> Any:
    """The parameters of a request in AWS's query protocol: `Tags.member.1.Key=…`; None for what is not given."""
    if shape.type_name == "structure":
        dot = f"{prefix}." if prefix else ""
        members = {name: _members(member, fields, f"{dot}{name}") for name, member in shape.members.items()}
        return {name: value for name, value in members.items() if value is not None} or None
    if shape.type_name == "list":
        return list(_items(shape, fields, prefix)) or None
    value = fields.get(prefix)
    return int(value) if value is not None and shape.type_name in ("integer", "long") else value


def _items(shape: Shape, fields: Mapping[str, str], prefix: str) -> Iterator[Any]:
    number = 1
    while (item := _members(shape.member, fields, f"{prefix}.member.{number}")) is not None:
        yield item
        number += 1


def _check_create_role(backend: IAMBackend, params: Params) -> None:
    _check_trust_policy(params["AssumeRolePolicyDocument"])
    name = params["RoleName"]
    # "Role names are not distinguished by case": CreateRole.
    if any(role.name.lower() == name.lower() for role in backend.get_roles()):
        raise AwsError("EntityAlreadyExists", f"Role with name {name} already exists.", 409)


def _check_update_assume_role_policy(backend: IAMBackend, params: Params) -> None:
    _check_trust_policy(params["PolicyDocument"])


def _check_put_role_policy(backend: IAMBackend, params: Params) -> None:
    role, document = _role(backend, params), params["PolicyDocument"]
    _check_policy(document)
    policies = {**role.policies, params["PolicyName"]: document}
    if sum(map(_characters, policies.values())) > LARGEST_INLINE_POLICIES_OF_A_ROLE:
        limit = f"Maximum policy size of {LARGEST_INLINE_POLICIES_OF_A_ROLE} bytes exceeded for role {role.name}"
        raise AwsError("LimitExceeded", limit, 409)


def _check_managed_policy(backend: IAMBackend, params: Params) -> None:
    _check_policy(params["PolicyDocument"])
    _check_quota("PolicySize", LARGEST_MANAGED_POLICY, params["PolicyDocument"])


_CHECKS: Final[Mapping[str, Callable[[IAMBackend, Params], None]]] = {
    "CreateRole": _check_create_role,
    "UpdateAssumeRolePolicy": _check_update_assume_role_policy,
    "PutRolePolicy": _check_put_role_policy,
    "CreatePolicy": _check_managed_policy,
    "CreatePolicyVersion": _check_managed_policy,
}


def _role(backend: IAMBackend, params: Params) -> Role:
    """moto's role; raises as AWS does where there is none, before the document is looked at."""
    try:
        return backend.get_role(params["RoleName"])
    except ServiceException:
        raise AwsError("NoSuchEntity", f"The role with name {params['RoleName']} cannot be found.", 404) from None


def _check_policy(document: str) -> None:
    _check_syntax(IAMPolicyDocumentValidator(document))
    if any({"Principal", "NotPrincipal"} & set(statement) for statement in _statements(document)):
        raise _malformed("Policy document should not specify a principal.")


def _check_trust_policy(document: str) -> None:
    _check_syntax(IAMTrustPolicyDocumentValidator(document))
    for statement in _statements(document):
        if "Principal" not in statement:
            raise _malformed("Missing required field Principal")
        if statement["Principal"] != "*":
            _check_principals(statement["Principal"])
    _check_quota("ACLSizePerRole", LARGEST_TRUST_POLICY, document)


def _check_principals(principal: Any) -> None:
    """Services are known by the form of their names only: whether AWS has such a service is not checked."""
    if not isinstance(principal, dict) or set(principal) - {"AWS", "Service", "Federated", "CanonicalUser"}:
        raise _malformed("Invalid principal in policy.")
    services = principal.get("Service", [])
    for service in [services] if isinstance(services, str) else services:
        if not _SERVICE_PRINCIPAL.fullmatch(service):
            raise _malformed(f'Invalid principal in policy: "SERVICE":"{service}"')


def _check_syntax(validator: IAMPolicyDocumentValidator | IAMTrustPolicyDocumentValidator) -> None:
    try:
        validator.validate()
    except ServiceException as e:
        raise _malformed(str(e.message)) from None


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", message)


def _check_quota(name: str, limit: int, document: str) -> None:
    if _characters(document) > limit:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for {name}: {limit}", 409)


def _characters(document: str) -> int:
    return len(re.sub(r"\s", "", document))


def _statements(document: str) -> list[dict[str, Any]]:
    statements = json.loads(document)["Statement"]
    return statements if isinstance(statements, list) else [statements]
