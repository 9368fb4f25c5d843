"""AWS Budgets: budgets with their notifications and subscribers. None is ever exceeded, because nothing is billed here.

The answers follow the API reference (Budgets API) and what terraform-provider-aws, internal/service/budgets/budget.go,
notes of AWS's.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.aws.protocol import AwsError, RequestContext, not_in_sandbox

END: Final = datetime(2087, 6, 15, tzinfo=UTC)
"""Of the period of a budget without one (API TimePeriod)."""

MAX_NOTIFICATIONS: Final = 5
"""Of a budget (CloudFormation, AWS::Budgets::Budget)."""

MAX_EMAILS: Final = 10
"""Of a notification, which may have one topic besides (API CreateNotification)."""

_COST_TYPES: Final = {
    f"Include{kind}": True
    for kind in ("Tax", "Subscription", "Refund", "Credit", "Upfront", "Recurring", "OtherSubscription", "Support")
} | {"IncludeDiscount": True, "UseBlended": False, "UseAmortized": False}


class Budgets:
    """The service, which is the same in every region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._budgets: dict[tuple[str, str], dict[str, Any]] = {}

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        answers = {
            "CreateBudget": self._create,
            "DescribeBudget": lambda asked: {"Budget": self._budget(asked)["Budget"]},
            "UpdateBudget": self._update,
            "DeleteBudget": self._delete,
            "CreateNotification": self._create_notification,
            "DeleteNotification": self._delete_notification,
            "DescribeNotificationsForBudget": self._notifications,
            "DescribeSubscribersForNotification": self._subscribers,
            "ListTagsForResource": self._tags,
            "TagResource": self._tag,
            "UntagResource": self._untag,
        }
        if operation not in answers:
            raise not_in_sandbox(f"{operation} of Budgets")
        if params.get("AccountId", context.account) != context.account:
            raise AwsError("AccessDeniedException", f"Account {params['AccountId']} is not that of the caller.")
        with self._lock:
            return answers[operation](params)

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked["AccountId"], asked["Budget"]["BudgetName"]
        if key in self._budgets:
            raise AwsError("DuplicateRecordException", f"Error creating budget: {key[1]} - the budget already exists.")
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("ResourceTags", [])}
        self._budgets[key] = {"Budget": _completed(asked["Budget"]), "Notifications": [], "Tags": tags}
        for each in asked.get("NotificationsWithSubscribers", []):
            self._create_notification({"AccountId": key[0], "BudgetName": key[1], **each})
        return {}

    def _update(self, asked: dict[str, Any]) -> dict[str, Any]:
        new = asked["NewBudget"]
        self._budget({**asked, "BudgetName": new["BudgetName"]})["Budget"] = _completed(new)
        return {}

    def _delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._budget(asked)
        del self._budgets[asked["AccountId"], asked["BudgetName"]]
        return {}

    def _create_notification(self, asked: dict[str, Any]) -> dict[str, Any]:
        held, notification = self._budget(asked)["Notifications"], _normal(asked["Notification"])
        kinds = [subscriber["SubscriptionType"] for subscriber in asked["Subscribers"]]
        if kinds.count("SNS") > 1 or kinds.count("EMAIL") > MAX_EMAILS:
            raise AwsError("InvalidParameterException", "A notification has one SNS subscriber and up to 10 emails.")
        if any(each["Notification"] == notification for each in held):
            raise AwsError("DuplicateRecordException", "The notification already exists.")
        if len(held) == MAX_NOTIFICATIONS:
            raise AwsError("CreationLimitExceededException", "The budget has the most notifications that it may have.")
        held.append({"Notification": notification, "Subscribers": asked["Subscribers"]})
        return {}

    def _delete_notification(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._budget(asked)["Notifications"].remove(self._notification(asked))
        return {}

    def _notifications(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Without the type of a threshold in percent, which AWS does not seem to return (budget.go)."""
        held = [dict(each["Notification"]) for each in self._budget(asked)["Notifications"]]
        for notification in held:
            if notification["ThresholdType"] == "PERCENTAGE":
                del notification["ThresholdType"]
        return {"Notifications": held}

    def _subscribers(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Subscribers": self._notification(asked)["Subscribers"]}

    def _tags(self, asked: dict[str, Any]) -> dict[str, Any]:
        tags = self._of_arn(asked)["Tags"]
        return {"ResourceTags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _tag(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._of_arn(asked)["Tags"] |= {tag["Key"]: tag["Value"] for tag in asked["ResourceTags"]}
        return {}

    def _untag(self, asked: dict[str, Any]) -> dict[str, Any]:
        tags = self._of_arn(asked)["Tags"]
        for key in asked["ResourceTagKeys"]:
            tags.pop(key, None)
        return {}

    def _budget(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked["AccountId"], asked["BudgetName"]
        if key not in self._budgets:
            raise AwsError("NotFoundException", f"Unable to get budget: {key[1]} - the budget doesn't exist.")
        return self._budgets[key]

    def _of_arn(self, asked: dict[str, Any]) -> dict[str, Any]:
        *_, account, resource = asked["ResourceARN"].split(":")
        return self._budget({"AccountId": account, "BudgetName": resource.removeprefix("budget/")})

    def _notification(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = _normal(asked["Notification"])
        for each in self._budget(asked)["Notifications"]:
            if each["Notification"] == wanted:
                found: dict[str, Any] = each
                return found
        raise AwsError("NotFoundException", "The notification doesn't exist.")


def _normal(notification: dict[str, Any]) -> dict[str, Any]:
    """A notification, whose threshold is in percent by default (API Notification)."""
    return {"NotificationState": "OK", "ThresholdType": "PERCENTAGE", **notification}


def _completed(budget: dict[str, Any]) -> dict[str, Any]:
    """A budget as it is described: with the defaults, and an amount with a decimal place."""
    if budget["BudgetType"] != "COST" or "FilterExpression" in budget:
        raise not_in_sandbox("a budget of another type than COST, or with a FilterExpression")
    if "BudgetLimit" not in budget:
        raise AwsError("InvalidParameterException", "BudgetLimit is required for a budget that does not adjust itself.")
    now = datetime.now(UTC)
    period = {"Start": datetime(now.year, now.month, 1, tzinfo=UTC), "End": END} | budget.get("TimePeriod", {})
    return {
        **budget,
        "BudgetLimit": {**budget["BudgetLimit"], "Amount": str(float(budget["BudgetLimit"]["Amount"]))},
        "CostTypes": _COST_TYPES | budget.get("CostTypes", {}),
        "TimePeriod": period,
        "CalculatedSpend": {"ActualSpend": {"Amount": "0.0", "Unit": budget["BudgetLimit"]["Unit"]}},
        "LastUpdatedTime": now,
    }
