"""The endpoint resource: what is a change, what a refresh finds, and in which account it acts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi
import pytest

from infra.aws.errors import AwsRequestRefused
from infra.aws.session import AwsSession, AwsSessionRefused
from infra.dynamic.endpoint import EndpointProvider
from infra.dynamic.provider import UNKNOWN
from infra.errors import UserError
from infra.release import artifacts
from infra.release.autoscaling import Record, ScalingRecords
from infra.release.driver import ReleaseDriver
from infra.release.failure import ReleaseFailed
from infra.release.freeze import OVERRIDE_VARIABLE, FreezeWindow
from infra.release.gates import MinimumInvocations
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.records import ReleaseHistory, ReleaseRecord
from infra.release.request import OWNER_TAG, EndpointRequest, PreviousRelease
from tests.infra.release.test_records import RECORD

ACCOUNT = "123456789012"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/e"
POLICY = ReleasePolicy("canary", 600, BatchSize("percent", 10))
WEEKEND = {"schedule": "0 18 * * FRI", "durationMinutes": 3720, "timeZone": "Asia/Tokyo", "reason": "weekend"}
SHOWN = {"configuration": RECORD.to_config, "result": RECORD.result, "began": RECORD.began, "ended": RECORD.ended}
PROPS: dict[str, Any] = json.loads(
    json.dumps(
        {
            "name": "e",
            "endpointConfigName": "e-1",
            "accountId": ACCOUNT,
            "owner": "p/s",
            "tags": {"CostEnv": "prod"},
            "autoscaled": False,
            "policy": POLICY.fields,
            "deadlineSeconds": 3900,
            "rollbackAlarms": ["e-1-error-rate"],
            "minimumInvocations": {"count": 100, "otherwise": "fail"},
            "bucket": "models",
            "releasesKept": 3,
            "notificationTopicArn": "arn:aws:sns:us-east-1:123456789012:releases",
            "publishMetrics": False,
            "adopt": False,
            "arn": ARN,
        }
    ),
    parse_int=float,  # as Pulumi passes numbers
)


def described(status: str = "InService", config: str = "e-1") -> EndpointDescription:
    return EndpointDescription("e", ARN, status, config, config, "")


@dataclass
class Asked:
    """What the provider asked of the driver."""

    requests: list[EndpointRequest] = field(default_factory=list)
    deletes: list[tuple[object, ...]] = field(default_factory=list)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> EndpointProvider:
    provider = EndpointProvider()
    provider.aws = AwsSession({"aws:region": "us-east-1"})
    monkeypatch.setattr(AwsSession, "account_id", ACCOUNT)
    return provider


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    asked = Asked()

    def release(_self: ReleaseDriver, request: EndpointRequest) -> EndpointDescription:
        asked.requests.append(request)
        return described(config=request.config_name)

    monkeypatch.setattr(ReleaseDriver, "release", release)
    monkeypatch.setattr(ReleaseDriver, "delete", lambda _self, *args: asked.deletes.append(args))
    yield asked


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many releases artifacts were to be kept, each time that others were removed."""
    kept: list[int] = []

    def expire(_s3: Any, _sagemaker: Any, _bucket: str, _endpoint: str, releases: int) -> list[str]:
        kept.append(releases)
        return []

    monkeypatch.setattr(artifacts, "expire", expire)
    return kept


@pytest.fixture(autouse=True)
def off(monkeypatch: pytest.MonkeyPatch) -> Record:
    """What is recorded of autoscaling that is off."""
    off: Record = {}
    monkeypatch.setattr(ScalingRecords, "get", lambda *_: off)
    return off


@pytest.fixture(autouse=True)
def rollouts(monkeypatch: pytest.MonkeyPatch) -> list[ReleaseRecord]:
    """The releases that the bucket has records of."""
    rollouts = [RECORD]
    monkeypatch.setattr(ReleaseHistory, "rollouts", lambda _self, _name, limit: rollouts[:limit])
    return rollouts


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lines.append)
    return lines


def live_is(monkeypatch: pytest.MonkeyPatch, live: EndpointDescription, tags: dict[str, str]) -> None:
    monkeypatch.setattr(EndpointReader, "endpoint", lambda *_: live)
    monkeypatch.setattr(EndpointReader, "tags", lambda *_: tags)


NEXT_RELEASE = "nothing changes on AWS"


@pytest.mark.parametrize(
    ("key", "value", "replaces", "next_release"),
    [
        ("endpointConfigName", "e-2", [], False),
        ("endpointConfigName", UNKNOWN, [], False),
        ("tags", {"CostEnv": "dev"}, [], False),
        ("owner", "p/renamed", [], False),
        ("autoscaled", True, [], False),
        ("policy", {**PROPS["policy"], "waitSeconds": 60.0}, [], True),
        ("rollbackAlarms", [], [], True),
        ("rollbackAlarms", UNKNOWN, [], True),
        ("bucket", "other", [], False),
        ("releasesKept", 4.0, [], False),
        ("notificationTopicArn", None, [], True),
        ("minimumInvocations", None, [], True),
        ("publishMetrics", True, [], True),
        ("name", "f", ["name"], False),
        ("accountId", "999999999999", ["accountId"], False),
    ],
)
def test_a_changed_input_updates_in_place_except_for_name_and_account(
    provider: EndpointProvider, lines: list[str], key: str, value: object, replaces: list[str], next_release: bool
) -> None:
    diff = provider.diff("e", PROPS, {**PROPS, key: value})
    assert (diff.changes, diff.replaces) == (True, replaces)
    assert [key in line and NEXT_RELEASE in line for line in lines] == [True] * next_release


def test_equal_inputs_are_no_change(provider: EndpointProvider) -> None:
    assert provider.diff("e", PROPS, dict(PROPS)).changes is False


def test_a_deletion_goes_by_the_freeze_windows_of_the_stack_file(
    provider: EndpointProvider, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.stack_config = {"p:freezeWindows": json.dumps([WEEKEND]), "q:freezeWindows": "["}
    monkeypatch.setenv(OVERRIDE_VARIABLE, "INC-42")
    provider.delete("e", PROPS)
    assert asked.deletes == [("e", "p/s", 3900, [FreezeWindow.of(WEEKEND)], "INC-42")]


@pytest.mark.parametrize("windows", ["[", "{}x", '[{"schedule": "x"}]', "[1]"])
def test_freeze_windows_that_cannot_be_read_delete_nothing(
    provider: EndpointProvider, asked: Asked, windows: str
) -> None:
    provider.stack_config = {"p:freezeWindows": windows}
    with pytest.raises(UserError, match="p:freezeWindows"):
        provider.delete("e", PROPS)
    assert asked.deletes == []


def test_adopting_is_for_the_driver_and_no_change_once_it_is_over(provider: EndpointProvider, asked: Asked) -> None:
    adopting = {**PROPS, "adopt": True}
    provider.create(adopting)
    assert (asked.requests[0].adopt, asked.requests[0].previous) == (True, PreviousRelease())
    assert provider.diff("e", adopting, PROPS).changes is False


def test_the_driver_gets_the_request_in_whole_numbers_and_the_previous_release(
    provider: EndpointProvider, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.stack_config = {"p:freezeWindows": json.dumps([WEEKEND])}
    monkeypatch.setenv(OVERRIDE_VARIABLE, "INC-42")
    outs = provider.update(
        "e", {**PROPS, "owner": "p/before", "autoscaled": True, "endpointConfigName": "e-0"}, PROPS
    ).outs
    assert asked.requests == [
        EndpointRequest(
            name="e",
            config_name="e-1",
            owner="p/s",
            tags={"CostEnv": "prod"},
            autoscaled=False,
            deadline_seconds=3900,
            policy=POLICY,
            rollback_alarms=("e-1-error-rate",),
            minimum_invocations=MinimumInvocations(100, "fail"),
            previous=PreviousRelease("e-0", "p/before", autoscaled=True, tags={"CostEnv": "prod"}),
            freeze_windows=(FreezeWindow.of(WEEKEND),),
            freeze_override="INC-42",
        )
    ]
    assert outs == {**PROPS, "releases": [SHOWN]}, "all inputs are stored"


def test_the_latest_releases_are_outputs_for_the_dashboard_and_never_fail_a_release(
    provider: EndpointProvider, asked: Asked, monkeypatch: pytest.MonkeyPatch, rollouts: list[ReleaseRecord]
) -> None:
    rollouts[:] = [replace(RECORD, to_config=f"e-{number}") for number in range(7)]
    outs = provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-2"}).outs
    assert outs is not None
    assert [release["configuration"] for release in outs["releases"]] == ["e-0", "e-1", "e-2", "e-3", "e-4"]

    def refuse(*_: Any) -> list[ReleaseRecord]:
        raise AwsRequestRefused("s3://models/releases/e/: ListObjectsV2 was refused: AccessDenied")

    warnings: list[str] = []
    monkeypatch.setattr(ReleaseHistory, "rollouts", refuse)
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    outs = provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-3"}).outs
    assert outs is not None and outs["releases"] == []
    assert "AccessDenied" in warnings[0] and len(asked.requests) == 2


@pytest.mark.usefixtures("asked")
def test_released_artifacts_expire_after_a_release_and_never_fail_it(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, kept: list[int]
) -> None:
    provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-2"})
    assert kept == [3]

    def refuse(*_: Any) -> list[str]:
        raise AwsRequestRefused("s3://models/models/e/: DeleteObjects was refused: AccessDenied")

    warnings: list[str] = []
    monkeypatch.setattr(artifacts, "expire", refuse)
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    assert provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-3"}).outs is not None
    assert "AccessDenied" in warnings[0]


@pytest.mark.usefixtures("asked")
def test_no_artifact_expires_where_a_release_failed(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, kept: list[int]
) -> None:
    def fail(_self: ReleaseDriver, request: EndpointRequest) -> EndpointDescription:
        raise ReleaseFailed("rolled back", "rolledBack", "")

    monkeypatch.setattr(ReleaseDriver, "release", fail)
    with pytest.raises(ReleaseFailed):
        provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-2"})
    assert kept == []


def test_releases_are_recorded_in_bucket_and_topic_as_far_as_there_are_any(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    class Client:
        def put_object(self, Bucket: str, **_: Any) -> None:
            sent.append(Bucket)

        def publish(self, TopicArn: str, **_: Any) -> None:
            sent.append(TopicArn)

    monkeypatch.setattr(provider, "client", lambda *_, **_props: Client())
    for topic in (PROPS["notificationTopicArn"], None):
        for keep in provider._driver({**PROPS, "notificationTopicArn": topic})._recorder._keep:
            keep(RECORD)
    assert sent == ["models", PROPS["notificationTopicArn"], "models"]


def test_a_refresh_finds_the_configuration_that_is_live(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_is(monkeypatch, described(config="e-0"), {OWNER_TAG: "p/s", "CostEnv": "dev"})
    refreshed = provider.read("e", dict(PROPS))
    assert refreshed.outs is not None
    assert (refreshed.id, refreshed.outs["endpointConfigName"], refreshed.outs["tags"]) == (
        "e",
        "e-0",
        {"CostEnv": "dev"},
    )


def test_a_refresh_finds_that_autoscaling_is_off_so_that_the_next_up_registers_it(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, off: Record
) -> None:
    autoscaled = {**PROPS, "autoscaled": True}
    live_is(monkeypatch, described(), {OWNER_TAG: "p/s", "CostEnv": "prod"})
    outs = provider.read("e", autoscaled).outs
    assert outs is not None
    assert provider.diff("e", outs, autoscaled).changes is False
    off["targets"] = [{}]
    outs = provider.read("e", autoscaled).outs
    assert outs is not None
    assert provider.diff("e", outs, autoscaled).changes is True


def test_a_failed_endpoint_serves_nothing_so_that_the_next_up_mends_it(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_is(monkeypatch, described(status="Failed"), {OWNER_TAG: "p/s"})
    outs = provider.read("e", dict(PROPS)).outs
    assert outs is not None
    assert provider.diff("e", outs, dict(PROPS)).changes is True


@pytest.mark.parametrize("tags", [{OWNER_TAG: "p/other"}, {}])
def test_an_endpoint_that_another_stack_took_over_is_not_ours_any_more(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    live_is(monkeypatch, described(), tags)
    assert provider.read("e", dict(PROPS)).id == ""


def test_another_account_than_the_providers_is_refused(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AwsSession, "account_id", "999999999999")
    with pytest.raises(AwsSessionRefused, match="999999999999"):
        provider.create(dict(PROPS))


def test_the_release_gets_the_clients_it_needs(provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    monkeypatch.setattr(provider, "client", lambda service, props: asked.add(service))
    provider._driver(PROPS)
    assert asked == {"sagemaker", "logs", "cloudwatch", "application-autoscaling", "s3", "sns", "sts"}
