"""Scalable targets and scaling policies as the program registers them."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.components.autoscaling import VariantAutoscaling, VariantAutoscalingArgs
from infra.components.context import StackContext
from infra.settings.autoscaling import AutoscalingSettings
from infra.settings.serverless import ServerlessAutoscalingSettings
from tests.infra.mock_runtime import ACCOUNT, Deployment, registered, run


def scaled(variant: str = "AllTraffic", **settings: Any) -> Deployment:
    """The autoscaling of a variant of endpoint `iris`; of a serverless one if the settings have a utilization."""
    kind = ServerlessAutoscalingSettings if "utilization" in settings else AutoscalingSettings

    def program() -> None:
        partition, account = pulumi.Output.from_input("aws"), pulumi.Output.from_input(ACCOUNT)
        context = StackContext("dev", "ap-northeast-1", partition, account, {"CostEnv": "dev"}, production=False)
        args = VariantAutoscalingArgs(context, "iris", variant, kind.model_validate(settings))
        VariantAutoscaling("component", args)

    return registered(program)


def test_a_variant_scales_by_invocations_between_its_limits() -> None:
    target = run("prod").one(":Target")
    assert target.inputs["resourceId"] == "endpoint/sagemaker-endpoint/variant/AllTraffic"
    assert (target.inputs["minCapacity"], target.inputs["maxCapacity"]) == (2, 10)
    assert "sagemaker-endpoint" in target.depends_on
    policy = run("prod").one("appautoscaling/policy:Policy")
    assert policy.inputs["targetTrackingScalingPolicyConfiguration"] == {
        "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "targetValue": 70,
        "scaleInCooldown": 600,
        "scaleOutCooldown": 30,
    }
    assert policy.request.deleteBeforeReplace, "AWS accepts one target-tracking policy for a metric"


def test_the_provider_tags_a_scalable_target_only_when_it_creates_it() -> None:
    target = run("prod").one(":Target")
    assert target.inputs["tags"] == {"CostEnv": "prod", "CostService": "ranking"}
    assert [*target.request.ignoreChanges] == ["tags", "tagsAll"]


def test_a_new_autoscaling_minimum_is_not_a_release() -> None:
    ignored = {stack: [*run(stack).one(":EndpointConfiguration").request.ignoreChanges] for stack in ("dev", "prod")}
    assert ignored == {"dev": [], "prod": ["productionVariants[0].initialInstanceCount"]}


def test_a_backlog_scales_an_asynchronous_variant_and_starts_its_first_instance() -> None:
    deployment = scaled(min=0, max=5, backlogPerInstance=5)
    target = deployment.one(":Target").inputs
    assert (target["minCapacity"], target["maxCapacity"]) == (0, 5)
    policies = {policy.inputs["policyType"]: policy for policy in deployment.all("appautoscaling/policy:Policy")}
    tracking, steps = policies["TargetTrackingScaling"], policies["StepScaling"]
    assert tracking.inputs["targetTrackingScalingPolicyConfiguration"] == {
        "customizedMetricSpecification": {
            "namespace": "AWS/SageMaker",
            "metricName": "ApproximateBacklogSizePerInstance",
            "statistic": "Average",
            "dimensions": [{"name": "EndpointName", "value": "iris"}],
        },
        "targetValue": 5,
        "scaleInCooldown": 600,
        "scaleOutCooldown": 30,
    }
    assert steps.inputs["stepScalingPolicyConfiguration"] == {
        "adjustmentType": "ChangeInCapacity",
        "metricAggregationType": "Average",
        "cooldown": 300,
        "stepAdjustments": [{"metricIntervalLowerBound": "0", "scalingAdjustment": 1}],
    }
    assert [*deployment.one(":MetricAlarm").request.ignoreChanges] == ["tags", "tagsAll"]
    alarm = deployment.one(":MetricAlarm").inputs
    assert alarm["name"] == "iris-backlog-without-capacity"
    assert (alarm["metricName"], alarm["dimensions"]) == ("HasBacklogWithoutCapacity", {"EndpointName": "iris"})
    assert (alarm["threshold"], alarm["comparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert (alarm["evaluationPeriods"], alarm["datapointsToAlarm"], alarm["treatMissingData"]) == (2, 2, "missing")
    (action,) = alarm["alarmActions"]
    assert action.endswith("component-backlog-without-capacity")


def test_a_fleet_that_keeps_an_instance_needs_no_alarm_to_start_one() -> None:
    deployment = scaled(min=1, max=5, backlogPerInstance=5)
    assert len(deployment.all("appautoscaling/policy:Policy")) == 1 and not deployment.all(":MetricAlarm")


def test_the_alarm_that_starts_an_instance_is_named_after_its_variant() -> None:
    alarm = scaled("canary", min=0, max=5, backlogPerInstance=5).one(":MetricAlarm").inputs
    assert alarm["name"] == "iris-canary-backlog-without-capacity"


def test_a_serverless_variant_scales_its_provisioned_concurrency() -> None:
    deployment = scaled(min=1, max=5, utilization=0.7)
    target = deployment.one(":Target")
    assert target.inputs["scalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    assert (target.inputs["minCapacity"], target.inputs["maxCapacity"]) == (1, 5)
    assert [*target.request.ignoreChanges] == ["tags", "tagsAll"]
    policy = deployment.one("appautoscaling/policy:Policy").inputs
    assert policy["targetTrackingScalingPolicyConfiguration"] == {
        "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"},
        "targetValue": 0.7,
    }
