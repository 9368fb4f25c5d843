"""Application Auto Scaling of SageMaker's variants."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Host

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TRACKING = {
    "TargetValue": 70.0,
    "ScaleInCooldown": 600,
    "ScaleOutCooldown": 30,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}

CONCURRENCY = {
    "TargetValue": 5.0,
    "PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    },
}


def place(endpoint: str, variant: str = "AllTraffic") -> dict[str, str]:
    resource_id = f"endpoint/{endpoint}/variant/{variant}"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource_id, "ScalableDimension": DIMENSION}


def register(host: Host, endpoint: str, **changes: Any) -> str:
    autoscaling = host.aws.client("application-autoscaling")
    request = {**place(endpoint), "MinCapacity": 2, "MaxCapacity": 10, **changes}
    return str(autoscaling.register_scalable_target(**request)["ScalableTargetARN"])


def put_policy(host: Host, endpoint: str, name: str = "invocations", **changes: Any) -> dict[str, Any]:
    autoscaling = host.aws.client("application-autoscaling")
    tracking = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": TRACKING}
    put: dict[str, Any] = autoscaling.put_scaling_policy(
        **{**place(endpoint), "PolicyName": name, **tracking, **changes}
    )
    return put


def targets(host: Host, endpoint: str) -> list[dict[str, Any]]:
    wanted = {"ServiceNamespace": "sagemaker", "ResourceIds": [place(endpoint)["ResourceId"]]}
    found: list[dict[str, Any]] = host.aws.client("application-autoscaling").describe_scalable_targets(**wanted)[
        "ScalableTargets"
    ]
    return found


def policies(host: Host, **wanted: Any) -> list[dict[str, Any]]:
    autoscaling = host.aws.client("application-autoscaling")
    found: list[dict[str, Any]] = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker", **wanted)[
        "ScalingPolicies"
    ]
    return found


def refusal(call: Any, *positional: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(*positional, **arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_target_and_its_policy_are_echoed(host: Host) -> None:
    name = host.endpoint()
    arn = register(host, name)
    [target] = targets(host, name)
    assert target["ScalableTargetARN"] == arn
    assert (target["MinCapacity"], target["MaxCapacity"], target["ScalableDimension"]) == (2, 10, DIMENSION)
    put = put_policy(host, name)
    [policy] = policies(host, ResourceId=place(name)["ResourceId"])
    assert policy["PolicyARN"] == put["PolicyARN"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == TRACKING


def test_registering_again_changes_what_is_given_and_keeps_the_rest(host: Host) -> None:
    name = host.endpoint()
    arn = register(host, name)
    autoscaling = host.aws.client("application-autoscaling")
    assert autoscaling.register_scalable_target(**place(name), MaxCapacity=4)["ScalableTargetARN"] == arn
    [target] = targets(host, name)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)


def test_tags_of_a_target_can_be_listed_and_changed(host: Host) -> None:
    """moto has no ListTagsForResource, which aws.appautoscaling.Target calls at every refresh."""
    name = host.endpoint()
    arn = register(host, name, Tags={"CostEnv": "dev", "CostService": "ranking"})
    autoscaling = host.aws.client("application-autoscaling")
    assert autoscaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"CostEnv": "dev", "CostService": "ranking"}
    autoscaling.tag_resource(ResourceARN=arn, Tags={"CostEnv": "prod"})
    autoscaling.untag_resource(ResourceARN=arn, TagKeys=["CostService"])
    assert autoscaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"CostEnv": "prod"}
    code, _ = refusal(autoscaling.list_tags_for_resource, ResourceARN=f"{arn}x")
    assert code == "ResourceNotFoundException"


def test_a_variant_must_be_in_service(host: Host) -> None:
    name = host.endpoint()
    code, message = refusal(register, host, name, ResourceId=f"endpoint/{name}/variant/Other")
    assert (code, message.startswith('Could not find variant "Other"')) == ("ValidationException", True)
    code, _ = refusal(register, host, "missing")
    assert code == "ValidationException"


@pytest.mark.parametrize("resource_id", ["endpoint/x", "variant/x/endpoint/y", "endpoint/x/variant/y/z"])
def test_a_resource_id_that_is_no_variant_is_refused(host: Host, resource_id: str) -> None:
    _, message = refusal(register, host, "e", ResourceId=resource_id)
    assert message == "Unsupported service namespace, resource type or scalable dimension"


def test_burstable_instances_cannot_be_scaled(host: Host) -> None:
    """The words of AWS's answer, as users report it for ml.t2.medium."""
    name = host.endpoint(host.config({"InstanceType": "ml.t2.medium"}))
    assert refusal(register, host, name) == (
        "ValidationException",
        "You cannot register a variant with ml.t2.medium instance type as a scalable target. This is because the "
        "burstable performance of these instances can lead to unpredictable behavior with Auto Scaling.",
    )


def test_the_minimum_cannot_be_over_the_maximum(host: Host) -> None:
    name = host.endpoint()
    _, message = refusal(register, host, name, MinCapacity=11)
    assert message == "Maximum capacity cannot be less than minimum capacity"
    register(host, name)
    autoscaling = host.aws.client("application-autoscaling")
    assert "Maximum capacity" in refusal(autoscaling.register_scalable_target, **place(name), MaxCapacity=1)[1]
    assert targets(host, name)[0]["MaxCapacity"] == 10


def test_a_new_target_needs_both_capacities(host: Host) -> None:
    autoscaling = host.aws.client("application-autoscaling")
    _, message = refusal(autoscaling.register_scalable_target, **place(host.endpoint()), MinCapacity=1)
    assert message.startswith("MaxCapacity must be given")


def test_a_policy_needs_a_target(host: Host) -> None:
    name = host.endpoint()
    assert refusal(put_policy, host, name) == (
        "ObjectNotFoundException",
        f"No scalable target registered for service namespace: sagemaker, resource ID: {place(name)['ResourceId']}, "
        f"scalable dimension: {DIMENSION}",
    )


def test_a_metric_of_another_dimension_is_refused(host: Host) -> None:
    """https://github.com/aws/aws-cdk/issues/29065"""
    name = host.endpoint()
    register(host, name)
    metric = {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}
    tracking = {**TRACKING, "PredefinedMetricSpecification": metric}
    _, message = refusal(put_policy, host, name, TargetTrackingScalingPolicyConfiguration=tracking)
    assert message.startswith(f"Scalable dimension {DIMENSION} only supports the following predefined metric types: ")


def test_policies_are_found_by_their_whole_names(host: Host) -> None:
    """moto takes a part of a resource ID for it, and passes over PolicyNames."""
    name = host.endpoint(host.config({"VariantName": "All"}, {"VariantName": "AllTraffic"}))
    for variant in ("All", "AllTraffic"):
        register(host, name, ResourceId=place(name, variant)["ResourceId"])
        for policy, tracking in (("one", TRACKING), ("two", CONCURRENCY)):
            resource_id = place(name, variant)["ResourceId"]
            put_policy(host, name, policy, ResourceId=resource_id, TargetTrackingScalingPolicyConfiguration=tracking)
    resource_id = place(name, "All")["ResourceId"]
    found = policies(host, ResourceId=resource_id, PolicyNames=["two"])
    assert [(policy["ResourceId"], policy["PolicyName"]) for policy in found] == [(resource_id, "two")]


def test_a_policy_that_is_put_again_is_the_same_policy(host: Host) -> None:
    name = host.endpoint()
    register(host, name)
    arn = put_policy(host, name)["PolicyARN"]
    again = put_policy(host, name, TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": 90.0})
    [policy] = policies(host, ResourceId=place(name)["ResourceId"])
    assert again["PolicyARN"] == policy["PolicyARN"] == arn
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 90.0


def test_a_deregistered_target_takes_its_policies_with_it(host: Host) -> None:
    """DeregisterScalableTarget: "deletes the scaling policies that are associated with it"."""
    name = host.endpoint()
    register(host, name)
    put_policy(host, name)
    autoscaling = host.aws.client("application-autoscaling")
    autoscaling.deregister_scalable_target(**place(name))
    assert targets(host, name) == []
    assert policies(host, ResourceId=place(name)["ResourceId"]) == []
    code, message = refusal(autoscaling.deregister_scalable_target, **place(name))
    assert (code, message.startswith("No scalable target registered for")) == ("ObjectNotFoundException", True)
    code, _ = refusal(autoscaling.delete_scaling_policy, **place(name), PolicyName="invocations")
    assert code == "ObjectNotFoundException"


def test_the_instance_type_of_a_scaled_variant_is_fixed(host: Host) -> None:
    """https://github.com/hashicorp/terraform-provider-aws/issues/14337; developer guide, "Update endpoints that use
    auto scaling": a change of the model is allowed, one of the instance type is not.
    """
    name = host.endpoint()
    register(host, name)
    larger, renamed = host.config({"InstanceType": "ml.c5.2xlarge"}), host.config({"VariantName": "Other"})
    for config in (larger, renamed):
        code, message = refusal(host.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)
        assert (code, message) == (
            "ValidationException",
            'The variant(s) "[AllTraffic]" must be deregistered as scalable targets with AutoScaling before they can '
            "be removed or have their instance type updated.",
        )
    host.update(name, host.config())
    host.aws.client("application-autoscaling").deregister_scalable_target(**place(name))
    host.update(name, larger)
    assert host.describe(name)["EndpointConfigName"] == larger


def test_a_deleted_endpoint_is_no_longer_a_target(host: Host) -> None:
    """Developer guide, "Delete endpoints configured for auto scaling"."""
    name = host.endpoint()
    register(host, name)
    host.sagemaker.delete_endpoint(EndpointName=name)
    assert targets(host, name) == []


def test_other_namespaces_are_motos(host: Host) -> None:
    autoscaling = host.aws.client("application-autoscaling")
    dimension = "dynamodb:table:ReadCapacityUnits"
    table = {"ServiceNamespace": "dynamodb", "ResourceId": "table/t", "ScalableDimension": dimension}
    autoscaling.register_scalable_target(**table, MinCapacity=1, MaxCapacity=2)
    [target] = autoscaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    assert target["ResourceId"] == "table/t"


def test_a_target_that_is_there_takes_no_tags_with_its_registration(host: Host) -> None:
    endpoint = host.endpoint()
    arn = register(host, endpoint, Tags={"CostEnv": "prod"})
    assert "use the TagResource API" in refusal(register, host, endpoint, Tags={"CostEnv": "dev"})[1]
    autoscaling = host.aws.client("application-autoscaling")
    assert autoscaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"CostEnv": "prod"}


def test_a_metric_is_tracked_by_one_policy_only(host: Host) -> None:
    """Application Auto Scaling guide, "Multiple target tracking scaling policies"; the words:
    https://github.com/hashicorp/terraform-provider-aws/issues/41179"""
    name = host.endpoint()
    register(host, name)
    put_policy(host, name)
    code, message = refusal(put_policy, host, name, "another")
    assert (code, message) == (
        "ValidationException",
        "Only one TargetTrackingScaling policy for a given metric specification is allowed.",
    )
    put_policy(host, name, "another", TargetTrackingScalingPolicyConfiguration=CONCURRENCY)
    put_policy(host, name, TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": 50.0})
    assert {each["PolicyName"] for each in policies(host, ResourceId=place(name)["ResourceId"])} == {
        "invocations",
        "another",
    }
