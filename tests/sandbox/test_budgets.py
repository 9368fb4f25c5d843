"""Budgets of the sandbox: what AWS refuses, and what it leaves out of an answer."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.budgets import MAX_EMAILS, MAX_NOTIFICATIONS
from tests.sandbox.conftest import RunningAws

ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:cost"
EMAIL = {"SubscriptionType": "EMAIL", "Address": "a@example.com"}
NAMES = iter(f"budget-{number}" for number in range(100))


@pytest.fixture
def budgets(aws: RunningAws) -> Any:
    return aws.client("budgets", "us-east-1")


def created(budgets: Any, **budget: Any) -> dict[str, str]:
    name = next(NAMES)
    asked = {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": "100", "Unit": "USD"}, **budget}
    budgets.create_budget(AccountId=ACCOUNT, Budget={"BudgetName": name, **asked})
    return {"AccountId": ACCOUNT, "BudgetName": name}


def notification(percent: float, **more: Any) -> dict[str, Any]:
    return {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": percent, **more}


def refused(call: Any, **asked: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**asked)
    return str(error.value.response["Error"]["Code"])


def test_an_amount_has_a_decimal_place_and_a_threshold_in_percent_no_type(budgets: Any) -> None:
    """terraform-provider-aws, budget.go: suppressEquivalentBudgetLimitAmount, and its note on ThresholdType."""
    name = created(budgets)
    percent, dollars = notification(80), notification(50, ThresholdType="ABSOLUTE_VALUE")
    for one in (percent, dollars):
        budgets.create_notification(**name, Notification=one, Subscribers=[EMAIL])
    assert budgets.describe_budget(**name)["Budget"]["BudgetLimit"]["Amount"] == "100.0"
    listed = budgets.describe_notifications_for_budget(**name)["Notifications"]
    assert [each.get("ThresholdType") for each in listed] == [None, "ABSOLUTE_VALUE"]
    asked = {**name, "Notification": notification(80, ThresholdType="PERCENTAGE")}
    assert budgets.describe_subscribers_for_notification(**asked)["Subscribers"] == [EMAIL]


def test_a_name_and_a_notification_are_there_once(budgets: Any) -> None:
    name = created(budgets)
    budget = budgets.describe_budget(**name)["Budget"]
    again = {key: budget[key] for key in ("BudgetName", "BudgetType", "TimeUnit", "BudgetLimit")}
    assert refused(budgets.create_budget, AccountId=ACCOUNT, Budget=again) == "DuplicateRecordException"
    asked = {**name, "Notification": notification(80), "Subscribers": [EMAIL]}
    budgets.create_notification(**asked)
    assert refused(budgets.create_notification, **asked) == "DuplicateRecordException"


def test_a_notification_has_one_topic_and_ten_addresses(budgets: Any) -> None:
    """API CreateNotification."""
    name = created(budgets)
    topic = {"SubscriptionType": "SNS", "Address": TOPIC}
    emails = [{**EMAIL, "Address": f"{number}@example.com"} for number in range(MAX_EMAILS)]
    budgets.create_notification(**name, Notification=notification(1), Subscribers=[topic, *emails])
    for subscribers in ([topic, {**topic, "Address": f"{TOPIC}2"}], [*emails, EMAIL]):
        asked = {**name, "Notification": notification(2), "Subscribers": subscribers}
        assert refused(budgets.create_notification, **asked) == "InvalidParameterException"


def test_a_budget_has_five_notifications(budgets: Any) -> None:
    """CloudFormation, AWS::Budgets::Budget."""
    name = created(budgets)
    for percent in range(1, MAX_NOTIFICATIONS + 1):
        budgets.create_notification(**name, Notification=notification(percent), Subscribers=[EMAIL])
    asked = {**name, "Notification": notification(99), "Subscribers": [EMAIL]}
    assert refused(budgets.create_notification, **asked) == "CreationLimitExceededException"


def test_a_budget_that_does_not_exist_is_not_found(budgets: Any) -> None:
    name = created(budgets)
    budgets.delete_budget(**name)
    assert refused(budgets.describe_budget, **name) == "NotFoundException"
    assert refused(budgets.delete_budget, **name) == "NotFoundException"


@pytest.mark.parametrize(
    "budget", [{"BudgetType": "USAGE"}, {"FilterExpression": {"Tags": {"Key": "a", "Values": ["b"]}}}]
)
def test_what_the_sandbox_does_not_have_is_refused(budgets: Any, budget: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="NotInTheSandbox"):
        created(budgets, **budget)
