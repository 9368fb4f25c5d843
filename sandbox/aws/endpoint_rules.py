"""What SageMaker refuses of an endpoint's configuration and of its changes, beyond the shapes of the requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.endpoint import Endpoint
from sandbox.aws.fleet import Fleet, Variant
from sandbox.aws.hosting import Answer, Hosting
from sandbox.aws.models import ExecutionRole, has_instance_store
from sandbox.aws.protocol import AwsError, RequestContext, invalid, not_in_sandbox
from sandbox.aws.rollout import Rollout
from sandbox.aws.serverless import check_concurrency, is_serverless


def check_variants(variants: list[Answer]) -> None:
    """What a configuration's variants must have beyond their shapes (API_ProductionVariant); the wording is ours."""
    repeated = [name for name, times in Counter(v["VariantName"] for v in variants).items() if times > 1]
    if repeated:
        raise invalid(f"Variant names must be unique within an endpoint configuration: {', '.join(repeated)}.")
    for variant in variants:
        name = variant["VariantName"]
        if "ModelName" not in variant or "InstancePools" in variant:
            raise not_in_sandbox("a variant without ModelName (inference components), or with InstancePools,")
        if not is_serverless(variant):
            for member in ("InstanceType", "InitialInstanceCount"):
                if member not in variant:
                    raise invalid(f"Variant {name} must have {member}, or ServerlessConfig.")
            if "VolumeSizeInGB" in variant and has_instance_store(variant["InstanceType"]):
                raise invalid(
                    "VolumeSize parameter is not allowed for the selected Instance type "
                    f"{variant['InstanceType']}"  # as reported in autogluon/autogluon-cloud#50
                )


def check_conversion(endpoint: Endpoint, variants: Iterable[Variant]) -> None:
    """Instances become serverless at no update; serverless becomes instances, and stays so (developer guide,
    serverless-endpoints, "Feature exclusions"). The wording is ours."""
    old = endpoint.fleet.variants if endpoint.fleet else []
    if any(v.serverless is None for v in old) and any(v.serverless is not None for v in variants):
        raise invalid(f'Cannot update the real-time endpoint "{endpoint.arn}" to a serverless endpoint configuration.')


#: Regions in which all serverless endpoints of an account share a concurrency of 1000; it is 500 in the others
#: (developer guide, serverless-endpoints, "Concurrent invocations").
_LARGE_REGIONS = frozenset(
    {
        "ap-northeast-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "eu-central-1",
        "eu-west-1",
        "us-east-1",
        "us-east-2",
        "us-west-2",
    }
)


def check_concurrency_quota(endpoint: str, variants: Iterable[Variant], hosting: Hosting, region: str) -> None:
    """The concurrency that serverless endpoints share; the words are those of AWS's other service limits.

    Args:
        endpoint: the name of the one that is to have these variants.

    Raises:
        AwsError: it is not enough.
    """
    fleets = [other.fleet for other in hosting.endpoints.values() if other.fleet and other.name != endpoint]
    used = _concurrency(variant for fleet in fleets for variant in fleet.variants)
    wanted = _concurrency(variants)
    limit = 1000 if region in _LARGE_REGIONS else 500
    if wanted and used + wanted > limit:
        raise AwsError(
            "ResourceLimitExceeded",
            "The account-level service limit 'Maximum total concurrency that can be allocated across all serverless "
            f"endpoints' is {limit} Total Concurrency, with current utilization of {used} Total Concurrency and a "
            f"request delta of {wanted} Total Concurrency. Please contact AWS support to request an increase for this "
            "limit.",
        )


def _concurrency(variants: Iterable[Variant]) -> int:
    return sum(variant.serverless["MaxConcurrency"] for variant in variants if variant.serverless)


def check_change(variant: Variant, change: Mapping[str, Any], *, is_asynchronous: bool) -> None:
    """A serverless variant has concurrency, one with instances has a count; the wording is ours. That the count is 0 on
    an asynchronous endpoint only is inferred from the rule for MinCapacity, see `autoscaling.py`."""
    if change.get("DesiredInstanceCount") == 0 and variant.serverless is None and not is_asynchronous:
        raise invalid(f"DesiredInstanceCount of variant {variant.name} must be at least 1 on a real-time endpoint.")
    if variant.serverless is None and "ServerlessUpdateConfig" in change:
        raise invalid(f"Variant {variant.name} has instances and does not accept ServerlessUpdateConfig.")
    if variant.serverless is not None and "DesiredInstanceCount" in change:
        raise invalid(f"Variant {variant.name} is serverless and does not accept DesiredInstanceCount.")
    if variant.serverless is not None:
        check_concurrency({**variant.serverless, **change.get("ServerlessUpdateConfig", {})})


def rollout_of(
    policy: Mapping[str, Any] | None, old: Fleet | None, variants: list[Variant], context: RequestContext
) -> Rollout:
    """How to get from the fleet in service to these variants. Raises `AwsError` for a policy that AWS refuses."""
    if any(variant.serverless is not None for variant in (*variants, *(old.variants if old else ()))):
        _check_serverless_policy(policy or {})
    rollout = Rollout.of(policy, [variant.instance_type for variant in variants if variant.instance_type is not None])
    counts = {variant.name: variant.desired_count for variant in variants}
    alarms = backend_of(context.account, context.region).alarms
    rollout.check([variant.name for variant in old.variants] if old else None, counts, lambda name: name in alarms)
    for variant in variants:
        _check_alarms_readable(variant, [alarms[name].alarm_arn for name in rollout.alarms])
    return rollout


def _check_alarms_readable(variant: Variant, alarm_arns: Iterable[str]) -> None:
    """ "Ensure that your IAM execution role has permission to perform the cloudwatch:DescribeAlarms action on the
    auto-rollback alarms you specify" (developer guide, deployment-guardrails-configuration); the wording is ours.
    """
    role = ExecutionRole(variant.model["ExecutionRoleArn"])
    if unreadable := [arn for arn in alarm_arns if not role.allows("cloudwatch:DescribeAlarms", arn)]:
        raise invalid(
            f"The execution role {role.arn} of variant {variant.name} is not allowed to perform "
            f"cloudwatch:DescribeAlarms on the alarm(s) [{', '.join(unreadable)}] in AutoRollbackConfiguration."
        )


def _check_serverless_policy(policy: Mapping[str, Any]) -> None:
    """Guardrails are for asynchronous and real-time endpoints (developer guide, deployment-guardrails), and rolling
    deployments exclude serverless ones (deployment-guardrails-exclusions). That AWS refuses the other policies too,
    instead of ignoring them, is inferred; all at once without alarms is what it does without a policy.
    """
    routing = policy.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if "RollingUpdatePolicy" in policy or routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise invalid("Deployment guardrails are not supported for serverless endpoints: only ALL_AT_ONCE is.")
    if policy.get("AutoRollbackConfiguration", {}).get("Alarms"):
        raise invalid("AutoRollbackConfiguration is not supported for serverless endpoints.")
