"""AWS Budgets' type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls

_SUBSCRIBERS = {"subscriberEmailAddresses": "EMAIL", "subscriberSnsTopicArns": "SNS"}
_TIME = "%Y-%m-%d_%H:%M"


def _in_budget(member: str) -> tuple[str, str]:
    """The way to a member in CreateBudget and in UpdateBudget."""
    return f"Budget.{member}", f"NewBudget.{member}"


def _as_aws(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The filters as a map, and times without Terraform's form."""
    times = {name: properties[name] for name in ("timePeriodStart", "timePeriodEnd") if properties.get(name)}
    filters = properties.get("costFilters")
    return {
        **properties,
        **{name: datetime.strptime(text, _TIME).replace(tzinfo=UTC) for name, text in times.items()},
        **({"costFilters": {each["name"]: each["values"] for each in filters}} if filters else {}),
    }


def _create(work: Work) -> None:
    work.state.setdefault("accountId", work.account)
    work.send("CreateBudget")


def _set_notifications(work: Work) -> None:
    """Those that differ are deleted and created, as terraform-provider-aws does."""
    wanted, held = [_sorted(each) for each in work.given.get("notifications") or []], _notifications(work)
    for each in held:
        if each not in wanted:
            work.call("DeleteNotification", Notification=_notification(each))
    for each in wanted:
        if each not in held:
            addresses = [(kind, address) for name, kind in _SUBSCRIBERS.items() for address in each.get(name) or []]
            subscribers = [{"SubscriptionType": kind, "Address": address} for kind, address in addresses]
            work.call("CreateNotification", Notification=_notification(each), Subscribers=subscribers)


def _sorted(each: Mapping[str, Any]) -> dict[str, Any]:
    return {**each, **{name: sorted(each[name]) for name in _SUBSCRIBERS if each.get(name)}}


def _notification(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "NotificationType": each["notificationType"],
        "ComparisonOperator": each["comparisonOperator"],
        "Threshold": each["threshold"],
        "ThresholdType": each["thresholdType"],
    }


def _notifications(work: Work) -> list[dict[str, Any]]:
    """A set, in an order of its own."""
    pages = work.pages("DescribeNotificationsForBudget")
    held = [_with_subscribers(work, each) for page in pages for each in page["Notifications"]]
    return sorted(held, key=lambda each: (each["notificationType"], each["threshold"]))


def _with_subscribers(work: Work, each: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "notificationType": each["NotificationType"],
        "comparisonOperator": each["ComparisonOperator"],
        "threshold": each["Threshold"],
        "thresholdType": each.get("ThresholdType", "PERCENTAGE"),
    }
    pages = work.pages("DescribeSubscribersForNotification", Notification=_notification(found))
    subscribers = [subscriber for page in pages for subscriber in page["Subscribers"]]
    for name, kind in _SUBSCRIBERS.items():
        if addresses := sorted(one["Address"] for one in subscribers if one["SubscriptionType"] == kind):
            found[name] = addresses
    return found


def _read(work: Work) -> dict[str, Any] | None:
    budget, account = work.call("DescribeBudget")["Budget"], work.state["accountId"]
    return {
        "accountId": account,
        "arn": f"arn:{work.client.meta.partition}:budgets::{account}:budget/{budget['BudgetName']}",
        "name": budget["BudgetName"],
        "budgetType": budget["BudgetType"],
        "timeUnit": budget["TimeUnit"],
        "limitAmount": budget["BudgetLimit"]["Amount"],
        "limitUnit": budget["BudgetLimit"]["Unit"],
        "costFilters": [{"name": name, "values": values} for name, values in budget.get("CostFilters", {}).items()],
        "costTypes": {key[0].lower() + key[1:]: value for key, value in budget["CostTypes"].items()},
        "notifications": _notifications(work),
        **{f"timePeriod{end}": time.astimezone(UTC).strftime(_TIME) for end, time in budget["TimePeriod"].items()},
    }


TYPES = (
    ResourceType(
        token="aws:budgets/budget:Budget",
        service="budgets",
        regional=False,
        inputs="accountId budgetType costFilters costTypes limitAmount limitUnit name notifications timePeriodEnd "
        "timePeriodStart timeUnit",
        outputs="arn",
        identity="accountId name",
        id="{accountId}:{name}",
        autoname=AutoName(longest=255),
        names={
            "name": ("BudgetName", *_in_budget("BudgetName")),
            "budgetType": _in_budget("BudgetType"),
            "costFilters": _in_budget("CostFilters"),
            "costTypes": _in_budget("CostTypes"),
            "limitAmount": _in_budget("BudgetLimit.Amount"),
            "limitUnit": _in_budget("BudgetLimit.Unit"),
            "timePeriodStart": _in_budget("TimePeriod.Start"),
            "timePeriodEnd": _in_budget("TimePeriod.End"),
            "timeUnit": _in_budget("TimeUnit"),
            "tagsAll": "ResourceTags",
        },
        prepare=_as_aws,
        create=Step("CreateBudget", run=_create),
        reads=(Read("DescribeBudget", run=_read),),
        updates=("UpdateBudget", Step("CreateNotification", run=_set_notifications, on="notifications")),
        delete="DeleteBudget",
        replaces="accountId name",
        defaults={"timePeriodEnd": "2087-06-15_00:00"},
        sets="costFilters notifications subscriberEmailAddresses subscriberSnsTopicArns",
        computed="accountId costFilters costTypes limitAmount limitUnit timePeriodStart",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource", result="ResourceTags"),
    ),
)
