"""The settings of the execution role, which the serving containers assume."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from infra.policies.document import MAX_INLINE_POLICIES, Statement, size
from infra.settings.section import Effect, Section, rule, setting

MAX_STATEMENTS = 2_000
"""Characters of the additional statements. The inline policies of a role share `MAX_INLINE_POLICIES`, and while a
release changes the statements, both versions exist."""

_IAM_ARN = r"^arn:aws[a-z-]*:iam::{account}:{kind}/[\w+=,.@/-]+$"

Action = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+:[A-Za-z][A-Za-z0-9*?]*$")]
Resource = Annotated[str, StringConstraints(pattern=r"^(\*|arn:aws[a-z-]*:[^\s]+)$", max_length=2048)]


class StatementSettings(Section):
    """A statement that allows the serving containers additional actions."""

    actions: list[Action] = setting(
        "The allowed actions, such as secretsmanager:GetSecretValue. Wildcards for an entire service are not accepted.",
        min_length=1,
        example=["secretsmanager:GetSecretValue"],
        source="IAM guide, IAM JSON policy elements: Action; this project: least privilege",
    )
    resources: list[Resource] = setting(
        "ARNs of the resources; * for actions without resource-level permissions.",
        min_length=1,
        example=["arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:ranking-??????"],
        source="IAM guide, IAM JSON policy elements: Resource",
    )
    condition: dict[str, dict[str, str | list[str]]] = setting(
        "When the actions are allowed, by operator and condition key; always by default.",
        default_factory=dict,
        example={"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}},
        source="IAM guide, IAM JSON policy elements: Condition",
    )

    @property
    def document(self) -> Statement:
        """The statement as IAM reads it."""
        statement: Statement = {"Effect": "Allow", "Action": self.actions, "Resource": self.resources}
        return statement | ({"Condition": self.condition} if self.condition else {})

    @rule("resources")
    def pattern_on_all_resources(self) -> str | None:
        """This project: a pattern of actions on all resources is more than a model needs."""
        pattern = next((action for action in self.actions if "*" in action or "?" in action), None)
        if "*" not in self.resources or pattern is None:
            return None
        return f"* cannot be combined with the pattern {pattern} in actions. List the resources, or each action."


class RoleSettings(Section):
    """The role that the serving containers assume."""

    name: str | None = setting(
        "Name of the execution role: letters, digits and _+=,.@-. Pulumi chooses a name by default. A new name creates "
        "a new role, releases the endpoints with it, and then deletes the old role.",
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+=,.@-]+$",
        example="sagemaker-triton",
        source="IAM API roleNameType",
        effect=Effect.REPLACEMENT,
    )
    arn: str | None = setting(
        "ARN of an existing role in the stack's account, to use unchanged instead of creating one. `python -m infra "
        "policy execution-role` prints the policy that it needs.",
        default=None,
        min_length=20,
        max_length=2048,
        pattern=_IAM_ARN.format(account=r"\d{12}", kind="role"),
        example="arn:aws:iam::123456789012:role/platform/triton-serving",
        source="SageMaker API RoleArn; IAM guide, Grant a user permissions to pass a role to an AWS service",
        effect=Effect.NEW_RELEASE,
    )
    permissions_boundary: str | None = setting(
        "ARN of the managed policy that is the role's permissions boundary. The deployer's policy then requires it for "
        "every change of the role. Without the key, the role keeps its current boundary.",
        default=None,
        min_length=20,
        max_length=2048,
        pattern=_IAM_ARN.format(account=r"(aws|\d{12})", kind="policy"),
        example="arn:aws:iam::123456789012:policy/triton-serving-boundary",
        source="IAM API arnType; IAM guide, Permissions boundaries for IAM entities",
        effect=Effect.NOTHING,
    )
    statements: list[StatementSettings] = setting(
        "Permissions of the serving containers in addition to reading artifacts, pulling the image and writing logs "
        f"and metrics, such as reading a secret (at most {MAX_STATEMENTS} characters of JSON).",
        default_factory=list,
        source="IAM guide, IAM and AWS STS quotas; this project: a container gets only the permissions it needs",
        effect=Effect.NOTHING,
    )

    @rule("arn")
    def arn_with_other_keys(self) -> str | None:
        others = sorted(str(type(self).model_fields[name].alias) for name in self.model_fields_set - {"arn"})
        if self.arn is None or not others:
            return None
        return f"cannot be combined with {', '.join(others)}: the role is used unchanged. Remove arn, or the others."

    @rule("statements")
    def statements_too_long(self) -> str | None:
        """IAM guide, IAM and AWS STS quotas."""
        needed = size([statement.document for statement in self.statements])
        if needed <= MAX_STATEMENTS:
            return None
        return (
            f"have {needed} characters of JSON; at most {MAX_STATEMENTS}, because the inline policies of a role share "
            f"{MAX_INLINE_POLICIES:,} (IAM quotas). Use patterns of resources, or your own role with role.arn."
        )
