"""Application Auto Scaling for SageMaker's variants: scalable targets, their policies and tags, as strict as AWS.

Other namespaces stay moto's. moto checks neither that a variant exists nor that a policy has a target, and has no tags.
Step scaling, and target tracking on a customized metric, scale: see `scaling.py`. The other policies are kept and
echoed.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.conditions import Conditions
from sandbox.aws.fleet import Variant
from sandbox.aws.hosting import Hostings
from sandbox.aws.protocol import PASS_TO_MOTO, AwsError, RequestContext
from sandbox.aws.tracking_alarms import delete_alarms, put_alarms

Answer = dict[str, Any]

VARIANT_COUNT = "sagemaker:variant:DesiredInstanceCount"
VARIANT_CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"

#: API_PredefinedMetricSpecification: the metrics that exist for each dimension.
_METRICS = {
    VARIANT_COUNT: (
        "SageMakerVariantInvocationsPerInstance",
        "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    ),
    VARIANT_CONCURRENCY: ("SageMakerVariantProvisionedConcurrencyUtilization",),
}


@dataclass
class ScalableTarget:
    members: Answer  # botocore's ScalableTarget
    tags: dict[str, str]
    policies: dict[str, Answer] = field(default_factory=dict)  # botocore's ScalingPolicy, by name


#: By account and region, then by resource ID.
Targets = defaultdict[tuple[str, str], dict[str, ScalableTarget]]


class ApplicationAutoScaling:
    """The service. `watch` has the alarms of its policies evaluated."""

    def __init__(self, hostings: Hostings, watch: Callable[[Conditions], None]) -> None:
        self._hostings = hostings
        self._watch = watch
        self._targets: Targets = defaultdict(dict)
        self._lock = threading.RLock()
        self._operations: Mapping[str, Callable[[Answer, RequestContext], Answer]] = {
            "DeleteScalingPolicy": self._delete_scaling_policy,
            "DeregisterScalableTarget": self._deregister_scalable_target,
            "DescribeScalableTargets": self._describe_scalable_targets,
            "DescribeScalingPolicies": self._describe_scaling_policies,
            "PutScalingPolicy": self._put_scaling_policy,
            "RegisterScalableTarget": self._register_scalable_target,
            "ListTagsForResource": self._list_tags_for_resource,
            "TagResource": self._tag_resource,
            "UntagResource": self._untag_resource,
        }

    def handle(self, operation: str, params: Answer, context: RequestContext) -> Answer | None:
        with self._lock:
            if params.get("ServiceNamespace", "sagemaker") != "sagemaker" or operation not in self._operations:
                return PASS_TO_MOTO  # type: ignore[no-any-return]
            return self._operations[operation](params, context)

    def scalable_variants(self, account: str, region: str, endpoint: str) -> set[str]:
        """The variants of an endpoint that are registered as scalable targets."""
        with self._lock:
            parts = [resource.split("/") for resource in self._targets[account, region]]
        return {variant for _, name, _, variant in parts if name == endpoint}

    def deregister(self, account: str, region: str, endpoint: str) -> None:
        """Ends the registration of every variant of an endpoint."""
        for variant in self.scalable_variants(account, region, endpoint):
            with self._lock:
                target = self._targets[account, region].pop(_resource_id(endpoint, variant), None)
            if target is not None:
                delete_alarms(target.policies.values(), account, region)

    def policy(self, account: str, region: str, arn: str) -> tuple[Answer, Answer] | None:
        """A scaling policy with its scalable target, as of botocore's ScalableTarget and ScalingPolicy."""
        with self._lock:
            for target in self._targets[account, region].values():
                for policy in target.policies.values():
                    if policy["PolicyARN"] == arn:
                        return dict(target.members), dict(policy)
        return None

    def _register_scalable_target(self, params: Answer, context: RequestContext) -> Answer:
        resource_id = params["ResourceId"]
        self._check_variant(resource_id, params, context)
        targets = self._targets[context.account, context.region]
        target = targets.get(resource_id)
        members = {**(target.members if target else {}), **params}
        for member in ("MinCapacity", "MaxCapacity"):
            if member not in members:
                raise _invalid(f"{member} must be given to register a new scalable target.")
        if members["MinCapacity"] > members["MaxCapacity"]:
            raise _invalid("Maximum capacity cannot be less than minimum capacity")
        if target is not None and params.get("Tags"):
            # Worded as people meet it (terraform-aws-modules/terraform-aws-rds-aurora#420).
            raise _invalid(
                "The scalable target that you tried to tag already exists. To update tags on an existing scalable "
                "target, use the TagResource API."
            )
        if target is None:
            target = targets[resource_id] = ScalableTarget(_new_target(context), {})
        target.members.update({key: value for key, value in params.items() if key != "Tags"})
        target.tags.update(params.get("Tags", {}))
        return {"ScalableTargetARN": target.members["ScalableTargetARN"]}

    def _deregister_scalable_target(self, params: Answer, context: RequestContext) -> Answer:
        """With its policies: "Deregistering a scalable target deletes the scaling policies associated with it"."""
        target = self._target(params, context)
        del self._targets[context.account, context.region][params["ResourceId"]]
        delete_alarms(target.policies.values(), context.account, context.region)
        return {}

    def _describe_scalable_targets(self, params: Answer, context: RequestContext) -> Answer:
        wanted = params.get("ResourceIds")
        found = [target.members for target in self._targets_of(params, context) if _named(target, wanted)]
        return _page("ScalableTargets", found, params)

    def _put_scaling_policy(self, params: Answer, context: RequestContext) -> Answer:
        target, name = self._target(params, context), params["PolicyName"]
        policy = {**target.policies.get(name, _new_policy(params, context)), **params}
        if "PolicyType" not in policy:
            raise _invalid("PolicyType must be given for a new scaling policy.")
        _check_target_tracking(policy)
        _check_one_policy_a_metric(policy, [each for each in target.policies.values() if each["PolicyName"] != name])
        policy["Alarms"] = put_alarms(policy, context.account, context.region)
        if policy["Alarms"]:
            self._watch(context.conditions)
        target.policies[name] = policy
        return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}

    def _describe_scaling_policies(self, params: Answer, context: RequestContext) -> Answer:
        resource_id, names = params.get("ResourceId"), params.get("PolicyNames")
        targets = self._targets_of(params, context)
        found = [
            policy
            for target in targets
            if resource_id in (None, target.members["ResourceId"])
            for policy in target.policies.values()
            if names is None or policy["PolicyName"] in names
        ]
        return _page("ScalingPolicies", found, params)

    def _delete_scaling_policy(self, params: Answer, context: RequestContext) -> Answer:
        target = self._targets[context.account, context.region].get(params["ResourceId"])
        policy = target.policies.pop(params["PolicyName"], None) if target else None
        if policy is None:
            raise AwsError(
                "ObjectNotFoundException",
                f"No scaling policy found for {_place(params)}, policy name: {params['PolicyName']}",
            )
        delete_alarms([policy], context.account, context.region)
        return {}

    def _list_tags_for_resource(self, params: Answer, context: RequestContext) -> Answer:
        return {"Tags": self._tagged(params, context).tags}

    def _tag_resource(self, params: Answer, context: RequestContext) -> Answer:
        self._tagged(params, context).tags.update(params["Tags"])
        return {}

    def _untag_resource(self, params: Answer, context: RequestContext) -> Answer:
        tags = self._tagged(params, context).tags
        for key in params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _check_variant(self, resource_id: str, params: Answer, context: RequestContext) -> None:
        dimension = params["ScalableDimension"]
        parts = resource_id.split("/")
        if len(parts) != 4 or (parts[0], parts[2]) != ("endpoint", "variant") or dimension not in _METRICS:
            raise _invalid("Unsupported service namespace, resource type or scalable dimension")
        variant = self._hostings[context.account, context.region].variant(parts[1], parts[3])
        if variant is None:
            arn = context.arn("sagemaker", f"endpoint/{parts[1].lower()}")
            raise _invalid(f'Could not find variant "{parts[3]}" in service on endpoint "{arn}".')
        if variant.serverless is not None or dimension == VARIANT_CONCURRENCY:
            _check_concurrency(variant, params)
            return
        if params.get("MinCapacity") == 0 and not self._is_asynchronous(parts[1], context):
            # "Unlike other hosted models Amazon SageMaker supports, with Asynchronous Inference you can also scale down
            # your asynchronous endpoints instances to zero" (async-inference-autoscale); the wording is ours.
            raise _invalid("MinCapacity must be at least 1 for a variant of an endpoint without AsyncInferenceConfig.")
        if variant.instance_type is not None and variant.instance_type.startswith("ml.t"):
            raise _invalid(
                f"You cannot register a variant with {variant.instance_type} instance type as a scalable target. "
                "This is because the burstable performance of these instances can lead to unpredictable behavior with "
                "Auto Scaling."
            )

    def _is_asynchronous(self, name: str, context: RequestContext) -> bool:
        endpoint = self._hostings[context.account, context.region].endpoint(name)
        return endpoint is not None and endpoint.is_asynchronous

    def _target(self, params: Answer, context: RequestContext) -> ScalableTarget:
        target = self._targets[context.account, context.region].get(params["ResourceId"])
        if target is None or target.members["ScalableDimension"] != params["ScalableDimension"]:
            message = f"No scalable target registered for {_place(params)}"
            raise AwsError("ObjectNotFoundException", message)
        return target

    def _targets_of(self, params: Answer, context: RequestContext) -> Iterable[ScalableTarget]:
        dimension = params.get("ScalableDimension")
        targets = self._targets[context.account, context.region].values()
        return [target for target in targets if dimension in (None, target.members["ScalableDimension"])]

    def _tagged(self, params: Answer, context: RequestContext) -> ScalableTarget:
        arn = params["ResourceARN"]
        for target in self._targets[context.account, context.region].values():
            if target.members["ScalableTargetARN"] == arn:
                return target
        raise AwsError("ResourceNotFoundException", f"The resource {arn} doesn't exist.", ResourceName=arn)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _check_concurrency(variant: Variant, params: Mapping[str, Any]) -> None:
    """What scales in a serverless variant: "you must have already deployed a model to a serverless endpoint with
    Provisioned Concurrency" (developer guide, serverless-endpoints-autoscale). That its limits bound those of the
    target is inferred; the wording is ours.
    """
    dimension, serverless = params["ScalableDimension"], variant.serverless
    if serverless is None or dimension != VARIANT_CONCURRENCY:
        kind = "has instances" if serverless is None else "is serverless"
        raise _invalid(f"Variant {variant.name} {kind}: it cannot be registered with {dimension}.")
    if "ProvisionedConcurrency" not in serverless:
        raise _invalid(f"Variant {variant.name} must have ProvisionedConcurrency to be registered with {dimension}.")
    if params.get("MinCapacity", 1) < 1 or params.get("MaxCapacity", 1) > serverless["MaxConcurrency"]:
        raise _invalid(f"MinCapacity must be at least 1, and MaxCapacity at most {serverless['MaxConcurrency']}.")


def _resource_id(endpoint: str, variant: str) -> str:
    return f"endpoint/{endpoint}/variant/{variant}"


def _place(params: Mapping[str, Any]) -> str:
    return (
        f"service namespace: {params['ServiceNamespace']}, resource ID: {params['ResourceId']}, "
        f"scalable dimension: {params['ScalableDimension']}"
    )


def _named(target: ScalableTarget, resource_ids: list[str] | None) -> bool:
    return resource_ids is None or target.members["ResourceId"] in resource_ids


def _new_target(context: RequestContext) -> Answer:
    role = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
    name = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    return {
        "ScalableTargetARN": context.arn("application-autoscaling", f"scalable-target/{secrets.token_hex(18)}"),
        "RoleARN": f"arn:aws:iam::{context.account}:role/{role}/{name}",
        "CreationTime": datetime.now(UTC),
        "SuspendedState": {
            "DynamicScalingInSuspended": False,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": False,
        },
    }


def _new_policy(params: Mapping[str, Any], context: RequestContext) -> Answer:
    place = f"resource/sagemaker/{params['ResourceId']}:policyName/{params['PolicyName']}"
    return {
        "PolicyARN": context.arn("autoscaling", f"scalingPolicy:{uuid.uuid4()}:{place}"),
        "CreationTime": datetime.now(UTC),
        "Alarms": [],
    }


def _check_target_tracking(policy: Mapping[str, Any]) -> None:
    tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
    metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    dimension = policy["ScalableDimension"]
    if metric is not None and metric not in _METRICS[dimension]:
        # https://github.com/aws/aws-cdk/issues/29065
        raise _invalid(
            f"Scalable dimension {dimension} only supports the following predefined metric types: "
            f"{', '.join(_METRICS[dimension])}"
        )
    if policy["PolicyType"] == "TargetTrackingScaling" and not tracking:
        raise _invalid("TargetTrackingScalingPolicyConfiguration must be given for a TargetTrackingScaling policy.")


def _check_one_policy_a_metric(policy: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> None:
    # Application Auto Scaling guide, "Multiple target tracking scaling policies": each must use a different metric. The
    # words: https://github.com/hashicorp/terraform-provider-aws/issues/41179
    metric = _tracked_metric(policy)
    if metric and any(_tracked_metric(each) == metric for each in others):
        raise _invalid("Only one TargetTrackingScaling policy for a given metric specification is allowed.")


def _tracked_metric(policy: Mapping[str, Any]) -> dict[str, Any]:
    """The metric that a target-tracking policy follows."""
    tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
    specifications = ("PredefinedMetricSpecification", "CustomizedMetricSpecification")
    return {key: tracking[key] for key in specifications if key in tracking}


def _page(member: str, items: list[Answer], params: Mapping[str, Any]) -> Answer:
    """50 items unless asked otherwise, which is also the most."""
    first = int(params.get("NextToken", 0))
    last = first + min(params.get("MaxResults", 50), 50)
    return {member: items[first:last], "NextToken": str(last) if last < len(items) else None}
