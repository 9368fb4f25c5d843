"""What keeps a release from beginning, and what is recorded of it and of every other end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.aws.errors import AwsRequestRefused
from infra.release.autoscaling import Record
from infra.release.failure import EndpointNotOwned, ReleaseFailed, ReleaseTimeout
from infra.release.freeze import FreezeWindow, ReleaseFrozen
from infra.release.gates import AlarmNotReady, VariantsDiffer
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.records import ReleaseRecord
from tests.infra.release.fake_aws import (
    CREATING,
    ELSEWHERE,
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
    refused,
    release,
    request,
    rolling_out,
    serving,
    watched,
)

NIGHT = FreezeWindow("0 0 1 1 *", timedelta(hours=1), "UTC", "year's end")
"""Open at the time of the fake clock, 1970-01-01 00:16:40."""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def records() -> list[ReleaseRecord]:
    return []


def frozen(**changes: Any) -> Any:
    return request(freeze_windows=(NIGHT,), **changes)


def test_an_update_is_refused_in_a_freeze_window_before_alarms_are_looked_at(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    sagemaker = SageMaker(OLD)
    wanted = frozen(rollback_alarms=("missing",))
    with pytest.raises(ReleaseFrozen, match=r"until Thu 1970-01-01 01:00 UTC: year's end"):
        release(sagemaker, said, keep=[records.append]).release(wanted)
    assert sagemaker.operations == []
    (record,) = records
    assert (record.result, record.from_config, record.to_config) == ("refused", "old", "new")
    assert record.reason.startswith("a freeze window is open until")


def test_an_overridden_freeze_is_told_and_recorded(said: list[str], records: list[ReleaseRecord]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    driver = release(sagemaker, said, keep=[records.append])
    assert driver.release(frozen(freeze_override="INC-42")).serves("new")
    assert said[0].endswith("it is overridden: INC-42")
    assert [(record.result, record.override) for record in records] == [("succeeded", "INC-42")]


def test_an_override_without_an_open_window_is_not_recorded(said: list[str], records: list[ReleaseRecord]) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    release(sagemaker, said, keep=[records.append]).release(request(freeze_override="INC-42"))
    assert [record.override for record in records] == [None]


@pytest.mark.parametrize(
    "sagemaker",
    [
        SageMaker(None, created=[CREATING, NEW]),
        SageMaker(FAILED, created=[CREATING, NEW]),
        SageMaker(UPDATING, UPDATING, NEW),
        SageMaker(NEW),
    ],
    ids=["first creation", "failed endpoint created anew", "interrupted release", "change of policy alone"],
)
def test_a_freeze_window_stops_nothing_but_an_update_that_begins(said: list[str], sagemaker: SageMaker) -> None:
    assert release(sagemaker, said).release(frozen()).serves("new")


@pytest.mark.parametrize("live", [OLD, UPDATING, ROLLING_BACK], ids=["in service", "updating", "rolling back"])
def test_the_deletion_of_a_live_endpoint_is_refused_in_a_freeze_window(
    said: list[str], records: list[ReleaseRecord], live: dict[str, Any]
) -> None:
    sagemaker = SageMaker(live)
    with pytest.raises(
        ReleaseFrozen, match=r"endpoint e: it was not deleted; the live endpoint is unchanged"
    ) as caught:
        release(sagemaker, said, keep=[records.append]).delete("e", "p/s", 600, [NIGHT])
    assert "old is live. To keep it, restore its key in the stack file." in str(caught.value)
    assert sagemaker.operations == []
    assert records == []


def test_a_deletion_in_a_freeze_window_that_is_overridden_is_told_and_recorded(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    sagemaker = SageMaker(OLD)
    release(sagemaker, said, keep=[records.append]).delete("e", "p/s", 600, [NIGHT], "INC-42")
    assert sagemaker.operations == ["delete"]
    assert said[0].endswith("it is overridden: INC-42")
    (record,) = records
    assert (record.endpoint, record.result, record.override) == ("e", "deleted", "INC-42")
    assert (record.from_config, record.to_config, record.who) == ("old", None, Sts().get_caller_identity()["Arn"])
    assert ReleaseRecord.parse(record.json()) == record


def test_an_override_of_no_window_is_not_recorded_of_a_deletion(said: list[str], records: list[ReleaseRecord]) -> None:
    release(SageMaker(OLD), said, keep=[records.append]).delete("e", "p/s", 600, [], "INC-42")
    assert [(each.result, each.override) for each in records] == [("deleted", None)]


@pytest.mark.parametrize("sagemaker", [SageMaker(FAILED), SageMaker(CREATING, FAILED), SageMaker(None)])
def test_an_endpoint_that_does_not_serve_may_be_deleted_at_any_time(said: list[str], sagemaker: SageMaker) -> None:
    release(sagemaker, said).delete("e", "p/s", 600, [NIGHT])


def test_autoscaling_that_an_interrupted_release_left_off_comes_back_though_the_next_one_is_refused(
    said: list[str],
) -> None:
    record: Record = {"targets": [TARGET], "policies": [POLICY], "actions": []}
    sagemaker = SageMaker(OLD)
    sagemaker.recorded(record)
    with pytest.raises(ReleaseFrozen):
        release(sagemaker, said).release(frozen())
    assert sagemaker.operations == ["register", "policy", "forget"]


def test_alarms_that_are_not_ready_are_a_refusal_that_is_recorded(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    with pytest.raises(AlarmNotReady):
        release(SageMaker(OLD), said, keep=[records.append]).release(watched())
    (record,) = records
    assert record.result == "refused"
    assert record.reason.startswith("alarm rate does not exist")


def variants_change() -> SageMaker:
    """An endpoint with the variants A and B that is to have B and C."""
    sagemaker = SageMaker(serving("old", "A", "B"), updated=[UPDATING, serving("new", "B", "C")])
    sagemaker.variants = {"old": ["A", "B"], "new": ["B", "C"]}
    return sagemaker


@pytest.mark.parametrize("strategy", ["canary", "linear", "rolling"])
def test_other_variants_are_refused_under_a_strategy_that_moves_in_steps(
    said: list[str], records: list[ReleaseRecord], strategy: Any
) -> None:
    sagemaker = variants_change()
    policy = ReleasePolicy(strategy, batch=BatchSize("percent", 10))
    with pytest.raises(VariantsDiffer) as caught:
        release(sagemaker, said, keep=[records.append]).release(request(policy=policy))
    assert "it serves variants A, B, and the release is of variants B, C" in str(caught.value)
    assert f"by {strategy} only between the same variants. Set release.strategy: allAtOnce" in str(caught.value)
    assert sagemaker.operations == []
    assert records[0].result == "refused"
    assert records[0].changes[:2] == ("A: removed", "C: added")


def test_other_variants_come_all_at_once_and_without_alarms(said: list[str]) -> None:
    sagemaker = variants_change()
    driver = release(sagemaker, said, CloudWatch(rate=["ALARM"]))
    assert driver.release(request(rollback_alarms=("rate",))).serves("new")
    (sent,) = [sent for operation, sent in sagemaker.calls if operation == "update"]
    assert "DeploymentConfig" not in sent
    assert sent["RetainAllVariantProperties"] is True
    assert said[0] == (
        "e: updating from old to new; as its variants change, all traffic moves at once and no alarm rolls it back"
    )
    assert not any("alarms:" in line for line in said), "alarms that do not watch are not told of"


def test_counts_and_weights_of_variants_that_stay_are_kept_when_others_come_and_go(said: list[str]) -> None:
    sagemaker = variants_change()
    release(sagemaker, said).release(request())
    (sent,) = [sent for operation, sent in sagemaker.calls if operation == "update"]
    assert sent["ExcludeRetainedVariantProperties"] == []


def registered(sagemaker: SageMaker) -> list[str]:
    return [sent["ResourceId"].split("/")[-1] for operation, sent in sagemaker.calls if operation == "register"]


def test_a_removed_variants_autoscaling_goes_with_it_and_the_others_comes_back(said: list[str]) -> None:
    sagemaker = variants_change()
    sagemaker.autoscaling.register("A", "B")
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations.count("deregister") == 2
    assert registered(sagemaker) == ["B"]
    assert sagemaker.operations.count("policy") == 1
    assert sagemaker.s3.objects == {}


def test_after_a_rollback_the_autoscaling_of_every_variant_comes_back(said: list[str]) -> None:
    sagemaker = variants_change()
    sagemaker.updated = [UPDATING, ROLLING_BACK, serving("old", "A", "B")]
    sagemaker.autoscaling.register("A", "B")
    with pytest.raises(ReleaseFailed):
        release(sagemaker, said).release(request(autoscaled=True))
    assert registered(sagemaker) == ["A", "B"]


def test_a_release_is_recorded_with_all_that_is_known_of_it(said: list[str], records: list[ReleaseRecord]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, UPDATING, NEW])
    release(sagemaker, said, keep=[records.append]).release(request())
    (record,) = records
    assert record == ReleaseRecord(
        endpoint="e",
        result="succeeded",
        from_config="old",
        to_config="new",
        began=1000.0,
        ended=record.ended,
        who="arn:aws:sts::123456789012:assumed-role/deployer/ci",
        strategy="allAtOnce",
        changes=("AllTraffic: model data s3://b/model-old.tar.gz -> s3://b/model-new.tar.gz",),
        artifacts=("s3://b/model-new.tar.gz",),
    )
    assert record.ended > record.began


def test_a_first_creation_is_a_release_from_nothing(said: list[str], records: list[ReleaseRecord]) -> None:
    sagemaker = SageMaker(FAILED, created=[CREATING, NEW])
    release(sagemaker, said, keep=[records.append]).release(request())
    assert [(record.result, record.from_config, record.changes) for record in records] == [("succeeded", None, ())]


@pytest.mark.parametrize("rate", [["OK", "ALARM", "OK"], ["OK", "OK", "OK", "ALARM"]], ids=["meanwhile", "at-the-end"])
def test_a_rollback_is_recorded_with_reason_and_alarms(
    said: list[str], records: list[ReleaseRecord], rate: list[str]
) -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking"), {**ROLLING_BACK, "FailureReason": "one\ntwo"}, OLD])
    with pytest.raises(ReleaseFailed):
        cloudwatch = CloudWatch(rate=rate, latency=["OK"])
        release(sagemaker, said, cloudwatch, keep=[records.append]).release(watched())
    (record,) = records
    assert (record.result, record.reason, record.alarms) == ("rolledBack", "one", ("rate",))


@pytest.mark.parametrize(
    ("sagemaker", "result"),
    [
        (SageMaker(None, created=[CREATING, FAILED]), "failed"),
        (SageMaker(OLD, updated=[UPDATING]), "timedOut"),
        (SageMaker(OLD, updated=[UPDATING, {**OLD, "EndpointStatus": "UpdateRollbackFailed"}]), "failed"),
    ],
    ids=["failed", "timed out", "rollback failed"],
)
def test_every_other_end_is_recorded_too(
    said: list[str], records: list[ReleaseRecord], sagemaker: SageMaker, result: str
) -> None:
    with pytest.raises((ReleaseFailed, ReleaseTimeout)):
        release(sagemaker, said, keep=[records.append]).release(request())
    assert [record.result for record in records] == [result]


def test_an_update_that_aws_refuses_is_recorded_as_refused(said: list[str], records: list[ReleaseRecord]) -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.update_errors = iter([refused("UpdateEndpoint", "1 validation error")])
    with pytest.raises(AwsRequestRefused):
        release(sagemaker, said, keep=[records.append]).release(request())
    assert [(record.result, record.reason) for record in records] == [
        ("refused", "endpoint e: UpdateEndpoint was refused: ValidationException: 1 validation error")
    ]


def test_a_release_that_can_no_longer_be_followed_is_not_recorded_as_refused(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING])
    describe = sagemaker.describe_endpoint

    def expired(EndpointName: str) -> dict[str, Any]:
        if sagemaker.operations:
            raise refused("DescribeEndpoint", "the token has expired")
        return describe(EndpointName)

    sagemaker.describe_endpoint = expired  # type: ignore[method-assign]
    with pytest.raises(AwsRequestRefused):
        release(sagemaker, said, keep=[records.append]).release(request())
    assert [record.result for record in records] == ["timedOut"]


def test_a_rollout_that_was_attached_to_is_recorded_with_its_own_beginning(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    pending = {"EndpointConfigName": "new", "StartTime": datetime.fromtimestamp(900, UTC)}
    sagemaker = SageMaker({**UPDATING, "PendingDeploymentSummary": pending}, NEW)
    release(sagemaker, said, keep=[records.append]).release(request())
    assert [(record.began, record.from_config, record.result) for record in records] == [(900, "old", "succeeded")]


def test_a_creation_that_was_attached_to_is_recorded_with_its_own_beginning(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    pending = {"EndpointConfigName": "new", "StartTime": datetime.fromtimestamp(900, UTC)}
    release(SageMaker({**CREATING, "PendingDeploymentSummary": pending}, NEW), said, keep=[records.append]).release(
        request()
    )
    assert [(record.began, record.from_config, record.result) for record in records] == [(900, None, "succeeded")]


@pytest.mark.parametrize(
    "now",
    [NEW, {**NEW, "EndpointStatus": "Updating"}, {**NEW, "EndpointStatus": "SystemUpdating"}],
    ids=["in service", "being scaled", "being patched"],
)
def test_nothing_is_recorded_where_there_was_nothing_to_release(
    said: list[str], records: list[ReleaseRecord], now: dict[str, Any]
) -> None:
    release(SageMaker(now, now, NEW), said, keep=[records.append]).release(request())
    assert records == []


def test_an_endpoint_of_somebody_else_is_no_release(said: list[str], records: list[ReleaseRecord]) -> None:
    with pytest.raises(EndpointNotOwned):
        release(SageMaker(OLD, owner="p/other"), said, keep=[records.append]).release(request())
    assert records == []


def test_a_release_that_waited_another_one_out_is_recorded_alone(said: list[str], records: list[ReleaseRecord]) -> None:
    other = {**OLD, "EndpointConfigName": "other"}
    sagemaker = SageMaker(ELSEWHERE, other, updated=[NEW])
    sagemaker.counts["other"], sagemaker.types["other"] = 1, "ml.c5.xlarge"
    sagemaker.variants["other"] = ["AllTraffic"]
    release(sagemaker, said, keep=[records.append]).release(request())
    assert [(record.from_config, record.result) for record in records] == [("other", "succeeded")]


def test_what_fails_in_recording_is_a_warning_that_changes_nothing(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    def denied(_: ReleaseRecord) -> None:
        raise AwsRequestRefused("s3://b/releases/e/x.json: PutObject was refused: AccessDenied: not you")

    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    assert release(sagemaker, said, keep=[denied, records.append]).release(request()).serves("new")
    assert said[-1].endswith("s3://b/releases/e/x.json: PutObject was refused: AccessDenied: not you")
    assert [record.result for record in records] == ["succeeded"], "the others are told nevertheless"


def test_a_configuration_that_was_deleted_or_may_not_be_read_keeps_no_release_from_the_record(
    said: list[str], records: list[ReleaseRecord]
) -> None:
    for problem in ("Could not find endpoint configuration", "not authorized"):
        sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
        describe = sagemaker.describe_endpoint_config

        def gone(
            EndpointConfigName: str,
            sagemaker: SageMaker = sagemaker,
            describe: Callable[..., dict[str, Any]] = describe,
            problem: str = problem,
        ) -> dict[str, Any]:
            if EndpointConfigName == "old" and sagemaker.operations:
                raise refused("DescribeEndpointConfig", problem)
            return describe(EndpointConfigName)

        sagemaker.describe_endpoint_config = gone  # type: ignore[method-assign]
        release(sagemaker, said, keep=[records.append]).release(request())
    assert [(record.result, record.changes) for record in records] == [("succeeded", ())] * 2
    (warning,) = [line for line in said if "is incomplete" in line]
    assert "DescribeEndpointConfig was refused" in warning, "what was deleted is nothing to warn of"


def test_an_interruption_is_no_end_that_could_be_recorded(said: list[str], records: list[ReleaseRecord]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING])

    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    sagemaker.update_endpoint = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        release(sagemaker, said, keep=[records.append]).release(request())
    assert records == []
