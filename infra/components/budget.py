"""The AWS Budget of a stack."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import budgets

from infra import names
from infra.components.context import StackContext
from infra.settings.cost import BudgetSettings
from infra.settings.tags import COST_TAGS


@dataclass(frozen=True)
class CostBudgetArgs:
    context: StackContext
    settings: BudgetSettings


class CostBudget(pulumi.ComponentResource):
    """Notifies about what the resources with the stack's cost tags have cost in a month, or will have.

    `costFilters`, not `filterExpression`: budgets that terraform-provider-aws creates with the latter do not work
    (https://github.com/hashicorp/terraform-provider-aws/issues/46866).
    """

    def __init__(self, name: str, args: CostBudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:CostBudget", name, None, opts)
        context, settings = args.context, args.settings
        budgets.Budget(
            names.budget(context.stack),
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(settings.monthly_limit),  # with a decimal place, as AWS returns it
            limit_unit="USD",
            cost_filters=[
                {"name": "TagKeyValue", "values": [f"user:{key}${context.tags[key]}" for key in COST_TAGS]},
            ],
            notifications=[
                self._notification("ACTUAL", settings.actual_percent, settings),
                self._notification("FORECASTED", settings.forecasted_percent, settings),
            ],
            tags=context.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})

    @staticmethod
    def _notification(type_: str, percent: float, settings: BudgetSettings) -> budgets.BudgetNotificationArgsDict:
        return {
            "notification_type": type_,
            "comparison_operator": "GREATER_THAN",
            "threshold": percent,
            "threshold_type": "PERCENTAGE",
            "subscriber_email_addresses": settings.email_addresses,
            "subscriber_sns_topic_arns": [settings.topic_arn] if settings.topic_arn else [],
        }
