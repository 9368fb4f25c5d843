"""Scalable targets and scaling policies as the program registers them."""

from __future__ import annotations

from tests.infra.mock_runtime import run


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
