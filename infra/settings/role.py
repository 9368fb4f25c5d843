"""The settings of the role that the serving containers run as."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from infra.policies.document import Statement, size
from infra.settings.effect import Effect, on_change
from infra.settings.section import Broken, Section, rule
from infra.settings.source import according_to

MAX_STATEMENTS = 2_000
"""Characters of the additional statements: of the 10,240 that a role's inline policies have together (IAM quotas), and
while a release changes them they exist twice."""

_IAM_ARN = r"^arn:aws[a-z-]*:iam::{account}:{kind}/[\w+=,.@/-]+$"

Action = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+:[A-Za-z][A-Za-z0-9*?]*$")]
Resource = Annotated[str, StringConstraints(pattern=r"^(\*|arn:aws[a-z-]*:[^\s]+)$", max_length=2048)]


class StatementSettings(Section):
    """A statement that allows the serving containers something of their own."""

    actions: list[Action] = Field(
        min_length=1,
        description="The actions that are allowed, such as secretsmanager:GetSecretValue; never a whole service.",
        examples=[["secretsmanager:GetSecretValue"]],
        json_schema_extra=according_to("IAM guide, IAM JSON policy elements: Action; this project: least privilege"),
    )
    resources: list[Resource] = Field(
        min_length=1,
        description="ARNs of what they are allowed on; * for an action that accepts no resource.",
        examples=[["arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:ranking-??????"]],
        json_schema_extra=according_to("IAM guide, IAM JSON policy elements: Resource"),
    )
    condition: dict[str, dict[str, str | list[str]]] = Field(
        default_factory=dict,
        description="When they are allowed, by operator and condition key; always if not given.",
        examples=[{"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}],
        json_schema_extra=according_to("IAM guide, IAM JSON policy elements: Condition"),
    )

    @property
    def document(self) -> Statement:
        """The statement as IAM reads it."""
        statement: Statement = {"Effect": "Allow", "Action": self.actions, "Resource": self.resources}
        return statement | ({"Condition": self.condition} if self.condition else {})

    @rule("resources")
    def all_resources_need_whole_actions(self) -> str | None:
        """This project: a pattern of actions on all resources is more than a model needs."""
        pattern = next((each for each in self.actions if "*" in each or "?" in each), None)
        if "*" not in self.resources or pattern is None:
            return None
        return f"* cannot be combined with the pattern {pattern} in actions. Name the resources, or each action."


class RoleSettings(Section):
    """The role that the serving containers run as."""

    name: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+=,.@-]+$",
        description="The execution role's name (1 to 64 letters, digits and _+=,.@-); Pulumi chooses one if not given. "
        "Under a new name a new role is made, endpoints are released with it, and then the old one is deleted.",
        examples=["sagemaker-triton"],
        json_schema_extra=on_change(Effect.REPLACEMENT) | according_to("IAM API roleNameType"),
    )
    arn: str | None = Field(
        None,
        min_length=20,
        max_length=2048,
        pattern=_IAM_ARN.format(account=r"\d{12}", kind="role"),
        description="ARN of an existing role of the stack's account, to use as it is instead of making one. `python "
        "-m infra policy execution-role` prints what it needs.",
        examples=["arn:aws:iam::123456789012:role/platform/triton-serving"],
        json_schema_extra=on_change(Effect.NEW_RELEASE)
        | according_to("SageMaker API RoleArn; IAM guide, Grant a user permissions to pass a role to an AWS service"),
    )
    permissions_boundary: str | None = Field(
        None,
        min_length=20,
        max_length=2048,
        pattern=_IAM_ARN.format(account=r"(aws|\d{12})", kind="policy"),
        description="ARN of the managed policy that bounds the role, whatever its own policies allow. The deployer's "
        "policy then requires it of every change of the role. Without the key the role keeps the boundary that it has.",
        examples=["arn:aws:iam::123456789012:policy/triton-serving-boundary"],
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to("IAM API arnType; IAM guide, Permissions boundaries for IAM entities"),
    )
    statements: list[StatementSettings] = Field(
        default_factory=list,
        description="What the serving containers may do in addition to reading artifacts, pulling the image and "
        f"writing logs and metrics (at most {MAX_STATEMENTS} characters as JSON): for example read a secret.",
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to("IAM guide, IAM and AWS STS quotas; this project: a container gets no more than it needs"),
    )

    @rule("arn")
    def an_existing_role_stays_as_it_is(self) -> str | None:
        given = sorted(str(type(self).model_fields[each].alias) for each in self.model_fields_set - {"arn"})
        if self.arn is None or not given:
            return None
        return f"cannot be combined with {', '.join(given)}: the role is used as it is. Remove arn, or the others."

    @rule("statements")
    def the_statements_fit_in_the_role(self) -> Broken:
        """IAM guide, IAM and AWS STS quotas: the inline policies of a role."""
        needed = size([each.document for each in self.statements])
        if needed <= MAX_STATEMENTS:
            return None
        return (
            f"have {needed} characters as JSON; at most {MAX_STATEMENTS}, because the inline policies of a role have "
            "10,240 together (IAM quotas). Use patterns of resources, or a role of your own with role.arn."
        )
