"""The settings of what the stack may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from infra.settings.notifications import EMAIL_ADDRESS, StandardTopicArn
from infra.settings.section import Section, rule, setting, unique, violation

_PROJECT = "this project: on-demand prices of AWS's price list, for 730 hours"


def _email(address: str) -> str:
    if not EMAIL_ADDRESS.fullmatch(address):
        raise violation("email-address", f"{address!r} is not an email address, such as ops@example.com.")
    return address


class BudgetSettings(Section):
    """An AWS Budget: notifications about what the stack has cost in this month, or will have."""

    monthly_limit: float = setting(
        "US dollars a month (BudgetLimit) for the resources with the stack's CostEnv and CostService. Activate both "
        "as cost allocation tags (docs/cost.md).",
        ge=0.01,
        le=10_000_000,
        example=2500,
        source="Budgets API Spend; this project: from a cent to ten million",
    )
    actual_percent: float = setting(
        "Percent of monthlyLimit that the cost of the month must exceed for a notification (ACTUAL).",
        default=80,
        gt=0,
        le=1000,
        example=90,
        source="Budgets API NotificationThreshold; this project: up to ten times the limit",
    )
    forecasted_percent: float = setting(
        "Percent of monthlyLimit that AWS's forecast for the month must exceed for a notification (FORECASTED).",
        default=100,
        gt=0,
        le=1000,
        example=120,
        source="Budgets API NotificationThreshold; this project: up to ten times the limit",
    )
    email_addresses: Annotated[list[Annotated[str, AfterValidator(_email)]], AfterValidator(unique)] = setting(
        "Who receives the notifications; none by default.",
        default_factory=list,
        max_length=10,
        example=["ops@example.com"],
        source="Budgets API CreateNotificationRequest (Subscribers)",
    )
    topic_arn: StandardTopicArn | None = setting(
        "ARN of a standard SNS topic that receives the notifications; none by default. Its policy must allow "
        "budgets.amazonaws.com to publish.",
        default=None,
        example="arn:aws:sns:us-east-1:123456789012:cost",
        source="Budgets API CreateNotificationRequest (Subscribers)",
    )

    @rule("emailAddresses")
    def budget_without_subscriber(self) -> str | None:
        """Budgets API CreateNotification: at least one subscriber."""
        if self.email_addresses or self.topic_arn:
            return None
        return "must have an address, because nobody receives the notifications. Add one, or set topicArn."


class CostSettings(Section):
    """Limits on the price of the endpoints, and on what the stack costs."""

    monthly_limit: float | None = setting(
        "US dollars a month. `pulumi preview` and `pulumi up` fail before anything is registered if the largest fleets "
        "of all endpoints together cost more; requests are not counted. Requires prices.REGION.json (`python -m infra "
        "cost update-prices`).",
        default=None,
        gt=0,
        allow_inf_nan=False,
        example=2000,
        source=_PROJECT,
    )
    warning_percent: float = setting(
        "Percent of monthlyLimit above which `pulumi preview` and `pulumi up` warn.",
        default=80,
        gt=0,
        le=100,
        example=80,
        source=_PROJECT,
    )
    budget: BudgetSettings | None = setting(
        "An AWS Budget with notifications about what the stack really costs; none by default.",
        default=None,
        source="Budgets API CreateBudgetRequest (Budget)",
    )
