"""Deployments with a policy: shares of traffic, stages, alarms that roll back, with model servers that do as told.

Time stands almost still at factor 1, with waits of an hour, and a test lets it run by a factor of a million.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Host, unique

HOUR = 3600
AT_ONCE = 1_000_000


@pytest.fixture
def host(scripted_host: Host) -> Host:
    return scripted_host


def config(host: Host, answer: str, *names: str, instances: int = 4, status: int = 200) -> str:
    model = host.model(environment={"ANSWER": answer, "STATUS": str(status)})
    variants = [{"VariantName": name, "InitialInstanceCount": instances} for name in names or ("AllTraffic",)]
    return host.config(*({"ModelName": model, **variant} for variant in variants))


def routing(kind: str, wait: int = HOUR, **step: Any) -> dict[str, Any]:
    return {"Type": kind, "WaitIntervalInSeconds": wait, **step}


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def instances(value: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": value}


def blue_green(kind: str, wait: int = HOUR, termination: int = 0, **step: Any) -> dict[str, Any]:
    policy = {"TrafficRoutingConfiguration": routing(kind, wait, **step), "TerminationWaitInSeconds": termination}
    return {"BlueGreenUpdatePolicy": policy}


ALL_AT_ONCE = blue_green("ALL_AT_ONCE")
CANARY = blue_green("CANARY", CanarySize=percent(25))
LINEAR = blue_green("LINEAR", LinearStepSize=instances(1))
ROLLING = {"RollingUpdatePolicy": {"MaximumBatchSize": percent(25), "WaitIntervalInSeconds": HOUR}}

STRATEGIES = pytest.mark.parametrize(
    ("policy", "share"),
    [(ALL_AT_ONCE, 1.0), (CANARY, 0.25), (LINEAR, 0.25), (ROLLING, 0.25)],
    ids=["all-at-once", "canary", "linear", "rolling"],
)


def stage(described: Mapping[str, Any]) -> str:
    """The stage of the deployment, by the VariantStatus of its first variant."""
    pending = described.get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])[0]
    return str(pending.get("VariantStatus", [{}])[0].get("Status", ""))


def wait_for(host: Host, endpoint: str, wanted: str) -> dict[str, Any]:
    return host.wait_until(endpoint, lambda described: stage(described) == wanted)


def counts(described: Mapping[str, Any]) -> tuple[int, int]:
    """The instances of the fleet in service and of the one to come."""
    [old], [new] = described["ProductionVariants"], described["PendingDeploymentSummary"]["ProductionVariants"]
    return old["CurrentInstanceCount"], new["CurrentInstanceCount"]


def ask(host: Host, endpoint: str, **options: Any) -> str:
    return str(host.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"", **options)["Body"].read().decode())


def answers(host: Host, endpoint: str, number: int = 300, **options: Any) -> Counter[str]:
    return Counter(ask(host, endpoint, **options) for _ in range(number))


@contextmanager
def asking(host: Host, endpoint: str) -> Iterator[Counter[str]]:
    """Keeps asking meanwhile; counts the answers, and the errors by their code."""
    counted: Counter[str] = Counter()
    ended = threading.Event()

    def keep_asking() -> None:
        while not ended.is_set():
            try:
                counted[ask(host, endpoint)] += 1
            except ClientError as error:
                counted[error.response["Error"]["Code"]] += 1

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield counted
    finally:
        ended.set()
        thread.join()


def alarm(host: Host, *, region: str = "ap-northeast-1", **changes: Any) -> str:
    """An alarm that nothing but `SetAlarmState` sets off."""
    name = unique("alarm")
    watching = {"Namespace": "Test", "MetricName": name, "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    crossing = {"Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore"}
    request = {"AlarmName": name, **({} if "Metrics" in changes else watching), "EvaluationPeriods": 1, **crossing}
    host.aws.client("cloudwatch", region=region).put_metric_alarm(**{**request, **changes})
    return name


def fire(host: Host, name: str, state: str = "ALARM") -> None:
    host.aws.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason="by hand")


def watched_by(policy: Mapping[str, Any], *alarms: str) -> dict[str, Any]:
    return {**policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}


def refusal(host: Host, policy: Mapping[str, Any], *, to: str | None = None, count: int = 4) -> str:
    """The message with which an update under a policy is refused."""
    endpoint = host.endpoint(config(host, "old", instances=count))
    with pytest.raises(ClientError) as refused:
        host.update(endpoint, to or config(host, "new", instances=count), DeploymentConfig=policy)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert host.describe(endpoint)["EndpointStatus"] == "InService"
    return str(refused.value.response["Error"]["Message"])


# ---- the way to the new fleet


@STRATEGIES
def test_the_new_fleet_takes_its_share_while_it_bakes_and_then_all(
    host: Host, policy: dict[str, Any], share: float
) -> None:
    """TrafficRoutingConfig; developer guide, deployment-guardrails-blue-green-canary: "both … receiving traffic"."""
    new = config(host, "new")
    name = host.endpoint(config(host, "old"))
    host.update(name, new, wait="Updating", DeploymentConfig=policy)
    wait_for(host, name, "Baking")
    shared = answers(host, name)
    assert abs(shared["new"] / 300 - share) < 0.13
    with asking(host, name) as counted:
        host.aws.impose(timeFactor=AT_ONCE)
        described = host.wait(name, "InService")
    assert described["EndpointConfigName"] == new and "FailureReason" not in described
    assert described["LastDeploymentConfig"] == policy
    assert set(counted) <= {"old", "new"}
    assert answers(host, name, 30) == {"new": 30}


@pytest.mark.parametrize("policy", [ALL_AT_ONCE, CANARY, LINEAR])
def test_a_blue_green_deployment_keeps_the_whole_old_fleet_beside_the_new_one(
    host: Host, policy: dict[str, Any]
) -> None:
    name = host.endpoint(config(host, "old"))
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=policy)
    assert counts(wait_for(host, name, "Baking")) == (4, 4)


def test_a_rolling_deployment_ends_a_batch_of_the_old_fleet_after_its_bake(host: Host) -> None:
    """Developer guide, deployment-guardrails-rolling: "cleaned up after each traffic shift to the new fleet"."""
    name = host.endpoint(config(host, "old"))
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=ROLLING)
    assert counts(wait_for(host, name, "Baking")) == (4, 1)
    host.aws.impose(provisioningSeconds=HOUR, timeFactor=AT_ONCE)
    assert counts(wait_for(host, name, "Creating")) == (3, 1)
    host.aws.impose(provisioningSeconds=0)
    [variant] = host.wait(name, "InService")["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (4, 4)


def test_the_old_fleet_stays_for_the_termination_wait_and_no_alarm_rolls_back_then(host: Host) -> None:
    """BlueGreenUpdatePolicy, TerminationWaitInSeconds; alarms are monitored in "any baking period"."""
    watching, new = alarm(host), config(host, "new")
    name = host.endpoint(config(host, "old"))
    policy = watched_by(blue_green("ALL_AT_ONCE", wait=0, termination=HOUR), watching)
    host.update(name, new, wait="Updating", DeploymentConfig=policy)
    described = wait_for(host, name, "")
    assert (described["EndpointStatus"], counts(described)) == ("Updating", (4, 4))
    fire(host, watching)
    assert answers(host, name, 100) == {"new": 100}
    assert host.describe(name)["EndpointStatus"] == "Updating"
    host.aws.impose(timeFactor=AT_ONCE)
    assert host.wait(name, "InService")["EndpointConfigName"] == new


def test_each_variant_shifts_by_its_own_instances(host: Host) -> None:
    """TrafficRoutingConfig: "of the variant's total instance count"."""
    name = host.endpoint(config(host, "old", "A", "B", instances=2))
    host.update(name, config(host, "new", "A", "B", instances=2), wait="Updating", DeploymentConfig=CANARY)
    wait_for(host, name, "Baking")
    for variant in "AB":
        assert abs(answers(host, name, TargetVariant=variant)["new"] / 300 - 0.5) < 0.15


def test_a_new_endpoint_comes_into_service_without_a_shift(host: Host) -> None:
    created = config(host, "first")
    name = host.endpoint(created, DeploymentConfig=CANARY)
    assert host.describe(name)["LastDeploymentConfig"] == CANARY
    assert answers(host, name, 10) == {"first": 10}


# ---- the way back


@STRATEGIES
def test_an_alarm_gives_all_traffic_back_to_the_old_fleet(host: Host, policy: dict[str, Any], share: float) -> None:
    """AutoRollbackConfig: "If any alarms are tripped during a deployment, SageMaker rolls back the deployment"."""
    watching, old = alarm(host), config(host, "old")
    name = host.endpoint(old)
    host.aws.impose(rollbackSeconds=HOUR)
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=watched_by(policy, alarm(host), watching))
    wait_for(host, name, "Baking")
    fire(host, watching)
    rolling_back = host.wait(name, "RollingBack")
    assert answers(host, name, 30) == {"old": 30}
    host.aws.impose(rollbackSeconds=0)
    described = host.wait(name, "InService")
    reason = f"One or more configured alarms went into ALARM state: [{watching}]."
    assert rolling_back["FailureReason"] == described["FailureReason"] == reason
    assert described["EndpointConfigName"] == old and "PendingDeploymentSummary" not in described
    [variant] = described["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (4, 4)


def test_an_alarm_that_fires_while_instances_start_rolls_back(host: Host) -> None:
    watching, old = alarm(host), config(host, "old")
    name = host.endpoint(old)
    host.aws.impose(provisioningSeconds=HOUR)
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=watched_by(CANARY, watching))
    fire(host, watching)
    assert watching in host.wait(name, "InService")["FailureReason"]
    assert host.describe(name)["EndpointConfigName"] == old


def test_an_alarm_that_is_on_already_rolls_back_at_once(host: Host) -> None:
    """Developer guide, deployment-guardrails-configuration: "if your old fleet trips the alarm during the
    deployment, SageMaker terminates your deployment".
    """
    watching, old = alarm(host), config(host, "old")
    fire(host, watching)
    name = host.endpoint(old)
    with asking(host, name) as counted:
        host.update(name, config(host, "new"), DeploymentConfig=watched_by(ALL_AT_ONCE, watching))
    assert watching in host.describe(name)["FailureReason"]
    assert host.describe(name)["EndpointConfigName"] == old
    assert set(counted) <= {"old"}


def test_an_alarm_that_was_on_before_the_update_does_not_roll_back(host: Host) -> None:
    watching, new = alarm(host), config(host, "new")
    fire(host, watching)
    fire(host, watching, "OK")
    name = host.endpoint(config(host, "old"))
    host.aws.impose(timeFactor=AT_ONCE)
    host.update(name, new, DeploymentConfig=watched_by(CANARY, watching))
    assert host.describe(name)["EndpointConfigName"] == new


@STRATEGIES
def test_the_time_limit_rolls_back(host: Host, policy: dict[str, Any], share: float) -> None:
    """MaximumExecutionTimeoutInSeconds: "Exceeding this limit causes a timeout"."""
    old = config(host, "old")
    name = host.endpoint(old)
    [(kind, members)] = policy.items()
    limited = {kind: {**members, "MaximumExecutionTimeoutInSeconds": 600}}
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=limited)
    wait_for(host, name, "Baking")
    host.aws.impose(timeFactor=2000)
    described = host.wait(name, "InService")
    assert (described["EndpointConfigName"], answers(host, name, 20)) == (old, {"old": 20})
    assert "MaximumExecutionTimeoutInSeconds (600)" in described["FailureReason"]


def test_a_rollback_without_capacity_leaves_a_mix_of_both_fleets(host: Host) -> None:
    """EndpointStatus "UpdateRollbackFailed": "in service with a mix of the old and new endpoint configurations"."""
    old = config(host, "old")
    name = host.endpoint(old)
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=ROLLING)
    wait_for(host, name, "Baking")
    host.aws.impose(insufficientCapacity=["ml.c5.xlarge"], timeFactor=AT_ONCE)
    described = host.wait_until(name, lambda described: described["EndpointStatus"] == "UpdateRollbackFailed")
    assert described["FailureReason"].count("InsufficientInstanceCapacity") == 2
    assert described["EndpointConfigName"] == old
    assert set(answers(host, name)) == {"old", "new"}
    with pytest.raises(ClientError, match="it can only be deleted"):
        host.update(name, old)
    host.sagemaker.delete_endpoint(EndpointName=name)
    host.wait_until_gone(name)


def test_a_batch_without_capacity_rolls_back(host: Host) -> None:
    old = config(host, "old")
    name = host.endpoint(old)
    new = host.config({"InstanceType": "ml.p4d.24xlarge", "InitialInstanceCount": 4})
    host.update(name, new, wait="Updating", DeploymentConfig=ROLLING)
    wait_for(host, name, "Baking")
    host.aws.impose(insufficientCapacity=["ml.p4d.24xlarge"], timeFactor=AT_ONCE)
    described = host.wait(name, "InService")
    assert described["FailureReason"].startswith("Unable to provision requested ML compute capacity")
    assert (described["EndpointConfigName"], described["ProductionVariants"][0]["CurrentInstanceCount"]) == (old, 4)


def test_a_rollback_in_batches_brings_the_old_fleet_back_step_by_step(host: Host) -> None:
    """RollingUpdatePolicy, RollbackMaximumBatchSize."""
    watching, old = alarm(host), config(host, "old")
    name = host.endpoint(old)
    sizes = {"MaximumBatchSize": percent(50), "RollbackMaximumBatchSize": instances(1)}
    policy = watched_by({"RollingUpdatePolicy": {**ROLLING["RollingUpdatePolicy"], **sizes}}, watching)
    host.update(name, config(host, "new"), wait="Updating", DeploymentConfig=policy)
    wait_for(host, name, "Baking")
    host.aws.impose(provisioningSeconds=HOUR, timeFactor=AT_ONCE)
    assert counts(wait_for(host, name, "Creating")) == (2, 2)
    fire(host, watching)
    assert counts(host.wait(name, "RollingBack")) == (2, 2)
    host.aws.impose(provisioningSeconds=0)
    [variant] = host.wait(name, "InService")["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 4
    assert answers(host, name, 20) == {"old": 20}


def test_an_endpoint_can_be_updated_again_after_a_rollback(host: Host) -> None:
    watching, new = alarm(host), config(host, "new")
    name = host.endpoint(config(host, "old"))
    host.update(name, new, wait="Updating", DeploymentConfig=watched_by(CANARY, watching))
    wait_for(host, name, "Baking")
    fire(host, watching)
    host.wait(name, "InService")
    fire(host, watching, "OK")
    host.aws.impose(timeFactor=AT_ONCE)
    host.update(name, new, DeploymentConfig=watched_by(CANARY, watching))
    described = host.describe(name)
    assert described["EndpointConfigName"] == new and "FailureReason" not in described


# ---- failing models


def error_rate(endpoint: str, config_name: str) -> list[dict[str, Any]]:
    """An alarm's Metrics: failed invocations of a configuration in percent."""
    dimensions = {"EndpointName": endpoint, "VariantName": "AllTraffic", "EndpointConfigName": config_name}
    listed = [{"Name": name, "Value": value} for name, value in dimensions.items()]

    def query(identity: str, metric: str) -> dict[str, Any]:
        named = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": listed}
        return {"Id": identity, "MetricStat": {"Metric": named, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    return [
        query("errors", "InvocationModelErrors"),
        query("invocations", "Invocations"),
        {"Id": "rate", "Expression": "errors / invocations * 100", "ReturnData": True},
    ]


@STRATEGIES
@pytest.mark.parametrize("status", [400, 500, 0])
def test_a_model_that_fails_rolls_back_through_its_alarm(
    host: Host, policy: dict[str, Any], share: float, status: int
) -> None:
    old, new = config(host, "old"), config(host, "new", status=status)
    name = host.endpoint(old)
    rate = alarm(host, Metrics=error_rate(name, new), Threshold=50.0, DatapointsToAlarm=1)
    healthy = alarm(host, Metrics=error_rate(name, old), Threshold=50.0, TreatMissingData="notBreaching")
    host.aws.impose(timeFactor=120)
    with asking(host, name) as counted:
        host.update(name, new, wait="Updating", DeploymentConfig=watched_by(policy, healthy, rate))
        described = host.wait(name, "InService")
    assert described["FailureReason"] == f"One or more configured alarms went into ALARM state: [{rate}]."
    assert described["EndpointConfigName"] == old
    assert counted["ModelError"] > 0 and set(counted) <= {"old", "ModelError"}
    [fired] = host.aws.client("cloudwatch").describe_alarms(AlarmNames=[rate])["MetricAlarms"]
    assert fired["StateValue"] == "ALARM"
    assert fired["StateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [100.0 (")
    assert answers(host, name, 20) == {"old": 20}


# ---- refusals; the rules are AWS's, their wording is not public


@pytest.mark.parametrize(
    ("policy", "count", "message"),
    [
        (
            blue_green("CANARY", CanarySize=percent(51)),
            100,
            "CanarySize must be at most 50% of the variant's total instance count",
        ),
        (blue_green("CANARY", CanarySize=instances(3)), 4, "INSTANCE_COUNT 3 is 3 of the 4 instances of AllTraffic"),
        (blue_green("CANARY", CanarySize=percent(10)), 1, "CAPACITY_PERCENT 10 is 1 of the 1 instances of AllTraffic"),
        (blue_green("LINEAR", LinearStepSize=percent(9)), 20, "LinearStepSize must be 10% to 50%"),
        (blue_green("LINEAR", LinearStepSize=instances(1)), 20, "LinearStepSize must be 10% to 50%"),
        (blue_green("LINEAR", LinearStepSize=percent(51)), 100, "LinearStepSize must be 10% to 50%"),
        ({"RollingUpdatePolicy": {"MaximumBatchSize": percent(4), "WaitIntervalInSeconds": 0}}, 100, "5% to 50%"),
        ({"RollingUpdatePolicy": {"MaximumBatchSize": instances(3), "WaitIntervalInSeconds": 0}}, 4, "5% to 50%"),
        (blue_green("CANARY"), 4, "CanarySize is required for traffic routing CANARY"),
        (blue_green("LINEAR"), 4, "LinearStepSize is required for traffic routing LINEAR"),
        ({**ALL_AT_ONCE, **ROLLING}, 4, "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy"),
    ],
)
def test_a_policy_that_does_not_fit_the_fleet_is_refused(
    host: Host, policy: dict[str, Any], count: int, message: str
) -> None:
    """TrafficRoutingConfig: canary "less than or equal to 50%", linear "10-50%"; RollingUpdatePolicy: "5% to 50%";
    BlueGreenUpdatePolicy: "Only one update policy should be used".
    """
    assert message in refusal(host, policy, count=count)


@pytest.mark.parametrize(
    ("policy", "constraint"),
    [
        (blue_green("CANARY", wait=3601), "Member must have value less than or equal to 3600"),
        (blue_green("ALL_AT_ONCE", termination=3601), "Member must have value less than or equal to 3600"),
        (
            watched_by(ALL_AT_ONCE, *(f"alarm-{n}" for n in range(11))),
            "Member must have length less than or equal to 10",
        ),
        (
            {"RollingUpdatePolicy": {**ROLLING["RollingUpdatePolicy"], "MaximumExecutionTimeoutInSeconds": 28801}},
            "Member must have value less than or equal to 28800",
        ),
        ({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing("SUDDEN")}}, "Member must satisfy enum"),
    ],
)
def test_the_limits_of_a_policy_hold(host: Host, policy: dict[str, Any], constraint: str) -> None:
    """botocore's shapes of DeploymentConfig."""
    assert constraint in refusal(host, policy)


@pytest.mark.parametrize("policy", [ALL_AT_ONCE, CANARY, LINEAR, ROLLING])
def test_guardrails_need_the_same_variants_before_and_after(host: Host, policy: dict[str, Any]) -> None:
    """Developer guide, deployment-guardrails-exclusions: "must have the same variant name as the old"."""
    message = refusal(host, policy, to=config(host, "new", "Other"))
    assert "(Other) must be those of the old one (AllTraffic)" in message


def test_an_update_without_guardrails_can_change_the_variants(host: Host) -> None:
    name = host.endpoint(config(host, "old"))
    host.update(name, config(host, "new", "A", "B"))
    assert {v["VariantName"] for v in host.describe(name)["ProductionVariants"]} == {"A", "B"}


def test_rolling_is_for_one_variant(host: Host) -> None:
    """Developer guide, deployment-guardrails-exclusions: "Multi-variant inference endpoints"."""
    assert "multiple production variants" in refusal(host, ROLLING, to=config(host, "new", "A", "B"))


def test_a_rollback_alarm_must_exist_in_this_account_and_region(host: Host) -> None:
    """AutoRollbackConfig: "List of CloudWatch alarms in your account that are configured to monitor … an endpoint"."""
    elsewhere = alarm(host, region="us-east-1")
    message = refusal(host, watched_by(CANARY, alarm(host), elsewhere, "missing"))
    assert f"alarm(s) [{elsewhere}, missing]" in message and "do not exist" in message


def test_the_execution_role_must_be_allowed_to_read_the_alarms(host: Host) -> None:
    """Developer guide, deployment-guardrails-configuration: "permission to perform the cloudwatch:DescribeAlarms"."""
    role = host.make_role(actions=("s3:GetObject", "ecr:*"))
    new = host.config({"ModelName": host.model(ExecutionRoleArn=role), "InitialInstanceCount": 4})
    watching = alarm(host)
    message = refusal(host, watched_by(CANARY, watching), to=new)
    assert f"{role} of variant AllTraffic is not allowed to perform cloudwatch:DescribeAlarms" in message
    assert f"alarm:{watching}]" in message


def test_inf1_falls_back_to_all_at_once_without_a_bake(host: Host) -> None:
    """Developer guide, deployment-guardrails-exclusions: "fall back to … all at once … and no final baking period"."""
    new = host.config({"InstanceType": "ml.inf1.xlarge"})
    name = host.endpoint(config(host, "old"))
    host.update(name, new, DeploymentConfig=CANARY)
    assert host.describe(name)["EndpointConfigName"] == new
