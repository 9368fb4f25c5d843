"""What refuses a release before it starts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from infra.aws.errors import AwsRequestRefused
from infra.release.failure import ReleaseRefused
from infra.release.freeze import FreezeWindow
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.records import ReleaseRecord
from tests.infra.release.fake_aws import (
    CREATING,
    FAILED,
    NEW,
    OLD,
    POLICY,
    ROLLING_BACK,
    TARGET,
    UPDATING,
    CloudWatch,
    SageMaker,
    Sts,
    driver,
    release,
    request,
    serving,
    watched,
)

NIGHT = FreezeWindow("0 0 1 1 *", timedelta(hours=1), "UTC", "year's end")
"""Open at the time of the fake clock, 1970-01-01 00:16:40."""


def frozen(**changes: Any) -> Any:
    return request(freeze_windows=(NIGHT,), **changes)


def test_an_update_is_refused_in_a_freeze_window_before_alarms_are_read() -> None:
    outcome = release(SageMaker(OLD), frozen(rollback_alarms=("missing",)))
    assert isinstance(outcome.error, ReleaseRefused)
    assert outcome.operations == []
    (record,) = outcome.records
    assert (record.result, record.from_config, record.to_config) == ("refused", "old", "new")
    assert record.reason.startswith("a freeze window is open until Thu 1970-01-01 01:00 UTC: year's end")


@pytest.mark.parametrize(("windows", "override"), [((NIGHT,), "INC-42"), ((), None)])
def test_an_override_is_on_record_only_if_a_window_was_open(windows: Any, override: str | None) -> None:
    asked = request(freeze_windows=windows, freeze_override="INC-42")
    outcome = release(SageMaker(OLD, updated=[UPDATING, NEW]), asked)
    assert (outcome.result, outcome.records[0].override) == ("succeeded", override)
    assert ("INC-42" in outcome.lines[0]) == (override is not None)


@pytest.mark.parametrize(
    "sagemaker",
    [
        SageMaker(None, created=[CREATING, NEW]),
        SageMaker(FAILED, created=[CREATING, NEW]),
        SageMaker(UPDATING, UPDATING, NEW),
        SageMaker(NEW),
    ],
    ids=["first creation", "failed endpoint created again", "interrupted release", "change of policy alone"],
)
def test_a_freeze_window_refuses_only_an_update_that_begins(sagemaker: SageMaker) -> None:
    assert release(sagemaker, frozen()).serves


@pytest.mark.parametrize("live", [OLD, UPDATING, ROLLING_BACK], ids=["in service", "updating", "rolling back"])
def test_the_deletion_of_a_serving_endpoint_is_refused_in_a_freeze_window(live: dict[str, Any]) -> None:
    sagemaker, records = SageMaker(live), list[ReleaseRecord]()
    with pytest.raises(ReleaseRefused, match="it was not deleted"):
        driver(sagemaker, [], keep=[records.append]).delete("e", "p/s", 600, [NIGHT])
    assert (sagemaker.operations, records) == ([], [])


@pytest.mark.parametrize(("windows", "override"), [([NIGHT], "INC-42"), ([], None)])
def test_a_deletion_is_on_record_with_the_override_of_an_open_window(windows: Any, override: str | None) -> None:
    records: list[ReleaseRecord] = []
    driver(SageMaker(OLD), [], keep=[records.append]).delete("e", "p/s", 600, windows, "INC-42")
    (record,) = records
    assert (record.endpoint, record.result, record.override) == ("e", "deleted", override)
    assert (record.from_config, record.to_config, record.who) == ("old", None, Sts().get_caller_identity()["Arn"])
    assert ReleaseRecord.parse(record.json()) == record


@pytest.mark.parametrize("sagemaker", [SageMaker(FAILED), SageMaker(CREATING, FAILED), SageMaker(None)])
def test_an_endpoint_that_does_not_serve_can_be_deleted_at_any_time(sagemaker: SageMaker) -> None:
    driver(sagemaker, []).delete("e", "p/s", 600, [NIGHT])


def test_autoscaling_that_an_interrupted_release_removed_is_restored_though_the_next_one_is_refused() -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": []})
    outcome = release(sagemaker, frozen())
    assert isinstance(outcome.error, ReleaseRefused)
    assert outcome.operations == ["register", "policy", "forget"]


@pytest.mark.parametrize(
    ("cloudwatch", "reason"),
    [
        (CloudWatch(rate=["OK"]), "alarm latency does not exist in ap-northeast-1, account 123456789012"),
        (CloudWatch(rate=["ALARM"], latency=["OK"]), "alarm rate is in ALARM already (rate is ALARM)"),
    ],
)
def test_an_alarm_that_is_missing_or_fires_refuses_the_update(cloudwatch: CloudWatch, reason: str) -> None:
    outcome = release(SageMaker(OLD), watched(), cloudwatch)
    assert isinstance(outcome.error, ReleaseRefused)
    assert (outcome.operations, outcome.result) == ([], "refused")
    assert outcome.records[0].reason.startswith(reason)


def test_alarms_that_cannot_be_read_refuse_the_update() -> None:
    cloudwatch = CloudWatch()
    cloudwatch.refuse = True
    outcome = release(SageMaker(OLD), watched(), cloudwatch)
    assert isinstance(outcome.error, AwsRequestRefused)
    assert outcome.operations == []


def test_a_composite_alarm_is_a_rollback_alarm_too() -> None:
    asked = watched(rollback_alarms=("composite",))
    assert release(SageMaker(OLD, updated=[NEW]), asked, CloudWatch(composite=["OK"])).serves


def variants_change() -> SageMaker:
    """An endpoint with the variants A and B that is to have B and C."""
    sagemaker = SageMaker(serving("old", "A", "B"), updated=[UPDATING, serving("new", "B", "C")])
    sagemaker.variants = {"old": ["A", "B"], "new": ["B", "C"]}
    return sagemaker


@pytest.mark.parametrize("strategy", ["canary", "linear", "rolling"])
def test_other_variants_are_refused_under_a_strategy_that_moves_in_steps(strategy: Any) -> None:
    policy = ReleasePolicy(strategy, batch=BatchSize("percent", 10))
    outcome = release(variants_change(), request(policy=policy))
    assert isinstance(outcome.error, ReleaseRefused)
    assert (outcome.operations, outcome.result) == ([], "refused")
    assert outcome.records[0].changes[:2] == ("A: removed", "C: added")


def test_other_variants_move_all_at_once_and_without_alarms() -> None:
    outcome = release(variants_change(), request(rollback_alarms=("rate",)), CloudWatch(rate=["ALARM"]))
    assert outcome.serves
    sent = outcome.sent("update")
    assert "DeploymentConfig" not in sent
    assert (sent["RetainAllVariantProperties"], sent["ExcludeRetainedVariantProperties"]) == (True, [])
    assert "no alarm rolls it back" in outcome.lines[0]
    assert "alarms:" not in outcome.text, "alarms that roll nothing back are not shown"
