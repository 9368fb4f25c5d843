"""The two alarms with which a target tracking policy follows a customized metric, or provisioned concurrency.

Target tracking creates them itself ("Application Auto Scaling creates and manages the CloudWatch alarms": guide,
"Target tracking scaling policies"). Their names, periods and thresholds are not documented; these are the ones that
people see: above the target for 3 minutes, and below 90 % of it for 15 minutes. Policies on another predefined
metric get none here: nothing scales an endpoint by them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.aws.cloudwatch import backend_of

_PERIOD_SECONDS = 60
_MINUTES_TO_SCALE_OUT = 3
_MINUTES_TO_SCALE_IN = 15
_SCALE_IN_BELOW = 0.9

Answer = dict[str, Any]


def put_alarms(policy: Mapping[str, Any], account: str, region: str) -> list[Answer]:
    """Creates or updates the alarms of a policy; returns its `Alarms`, as of botocore's ScalingPolicy."""
    tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
    metric = tracking.get("CustomizedMetricSpecification") or _predefined(policy["ResourceId"], tracking)
    if "MetricName" not in metric:
        return []
    target = tracking["TargetValue"]
    sides = [("AlarmHigh", "GreaterThanThreshold", target, _MINUTES_TO_SCALE_OUT)]
    if not tracking.get("DisableScaleIn"):
        sides.append(("AlarmLow", "LessThanThreshold", target * _SCALE_IN_BELOW, _MINUTES_TO_SCALE_IN))
    return [_put_alarm(policy, metric, *side, account, region) for side in sides]


def _predefined(resource_id: str, tracking: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metric behind a predefined one, of which the statistic is inferred."""
    kind = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    if kind != "SageMakerVariantProvisionedConcurrencyUtilization":
        return {}
    _, endpoint, _, variant = resource_id.split("/")
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ServerlessProvisionedConcurrencyUtilization",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        "Statistic": "Average",
    }


def delete_alarms(policies: Iterable[Mapping[str, Any]], account: str, region: str) -> None:
    names = [alarm["AlarmName"] for policy in policies for alarm in policy["Alarms"]]
    backend_of(account, region).delete_alarms(names)


def _put_alarm(
    policy: Mapping[str, Any],
    metric: Mapping[str, Any],
    side: str,
    comparison: str,
    threshold: float,
    minutes: int,
    account: str,
    region: str,
) -> Answer:
    existing = (alarm["AlarmName"] for alarm in policy["Alarms"] if f"-{side}-" in alarm["AlarmName"])
    alarm = backend_of(account, region).put_metric_alarm(
        name=next(existing, f"TargetTracking-{policy['ResourceId']}-{side}-{uuid.uuid4()}"),
        namespace=metric["Namespace"],
        metric_name=metric["MetricName"],
        comparison_operator=comparison,
        evaluation_periods=minutes,
        period=_PERIOD_SECONDS,
        threshold=threshold,
        statistic=metric["Statistic"],
        description=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
        dimensions=metric.get("Dimensions", []),
        alarm_actions=[policy["PolicyARN"]],
    )
    return {"AlarmName": alarm.name, "AlarmARN": alarm.alarm_arn}
