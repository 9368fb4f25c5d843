"""The endpoint resource: what is a change, what a refresh finds, in which account it acts, and that the state of
earlier versions is still understood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pulumi
import pytest

from infra.aws.errors import AwsRequestRefused
from infra.aws.session import AwsSession, AwsSessionRefused
from infra.dynamic import endpoint
from infra.dynamic.endpoint import EndpointProvider
from infra.dynamic.provider import UNKNOWN
from infra.release.artifacts import ReleasedArtifacts
from infra.release.autoscaling import Record, ScalingRecords
from infra.release.driver import EndpointRelease
from infra.release.failure import ReleaseFailed
from infra.release.freeze import OVERRIDE_VARIABLE, FreezeWindow
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.request import OWNER_TAG, EndpointRequest
from tests.infra.release.test_records import RECORD

ACCOUNT = "123456789012"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/e"
DEPLOYMENT = {
    "strategy": "canary",
    "percent": 10.0,
    "bakeSeconds": 600.0,
    "timeoutSeconds": 3600.0,
    "deadlineSeconds": 3900.0,
    "minimumInvocations": {"count": 100.0, "otherwise": "fail"},
}
WEEKEND = {"schedule": "0 18 * * FRI", "durationMinutes": 3720.0, "timeZone": "Asia/Tokyo", "reason": "weekend"}
PROPS: dict[str, Any] = {
    "name": "e",
    "endpointConfigName": "e-1",
    "accountId": ACCOUNT,
    "owner": "p/s",
    "tags": {"CostEnv": "prod"},
    "autoscaled": False,
    "deployment": DEPLOYMENT,
    "rollbackAlarms": ["e-1-error-rate"],
    "freezeWindows": [WEEKEND],
    "bucket": "models",
    "releasesKept": 3.0,
    "notificationTopicArn": "arn:aws:sns:us-east-1:123456789012:releases",
    "arn": ARN,
}
BEFORE_GATES = {
    key: value
    for key, value in PROPS.items()
    if key not in ("freezeWindows", "bucket", "releasesKept", "notificationTopicArn")
}
"""What a stack has stored that was deployed before there were freeze windows, a history and notifications."""
EARLIER = {
    **{key: value for key, value in BEFORE_GATES.items() if key not in ("deployment", "rollbackAlarms")},
    "timeoutSeconds": 1800.0,
}
"""What a stack has stored that was deployed before there were strategies."""


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

    def release(_self: EndpointRelease, request: EndpointRequest) -> EndpointDescription:
        asked.requests.append(request)
        return described(config=request.config_name)

    monkeypatch.setattr(EndpointRelease, "release", release)
    monkeypatch.setattr(EndpointRelease, "delete", lambda _self, *args: asked.deletes.append(args))
    yield asked


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many releases artifacts were to be kept, each time that others were removed."""
    kept: list[int] = []

    def expire(_self: ReleasedArtifacts, releases: int) -> list[str]:
        kept.append(releases)
        return []

    monkeypatch.setattr(ReleasedArtifacts, "expire", expire)
    return kept


@pytest.fixture(autouse=True)
def off(monkeypatch: pytest.MonkeyPatch) -> Record:
    """What is recorded of autoscaling that is off."""
    off: Record = {}
    monkeypatch.setattr(ScalingRecords, "get", lambda *_: off)
    return off


def found_is(monkeypatch: pytest.MonkeyPatch, found: EndpointDescription, tags: dict[str, str]) -> None:
    monkeypatch.setattr(EndpointReader, "endpoint", lambda *_: found)
    monkeypatch.setattr(EndpointReader, "tags", lambda *_: tags)


@pytest.mark.parametrize(
    ("key", "value", "replaces"),
    [
        ("endpointConfigName", "e-2", []),
        ("endpointConfigName", UNKNOWN, []),
        ("tags", {"CostEnv": "dev"}, []),
        ("owner", "p/renamed", []),
        ("autoscaled", True, []),
        ("deployment", {**DEPLOYMENT, "bakeSeconds": 60.0}, []),
        ("rollbackAlarms", [], []),
        ("rollbackAlarms", UNKNOWN, []),
        ("freezeWindows", [], []),
        ("bucket", "other", []),
        ("releasesKept", 4.0, []),
        ("notificationTopicArn", None, []),
        ("name", "f", ["name"]),
        ("accountId", "999999999999", ["accountId"]),
    ],
)
def test_a_changed_input_updates_in_place_except_for_name_and_account(
    provider: EndpointProvider, key: str, value: object, replaces: list[str]
) -> None:
    found = provider.diff("e", PROPS, {**PROPS, key: value})
    assert (found.changes, found.replaces) == (True, replaces)


def test_equal_inputs_are_no_change(provider: EndpointProvider) -> None:
    assert provider.diff("e", PROPS, dict(PROPS)).changes is False


@pytest.mark.parametrize(("stored", "deadline"), [(EARLIER, 1800), (BEFORE_GATES, 3900)])
def test_an_earlier_state_is_updated_and_deleted(
    provider: EndpointProvider, asked: Asked, stored: dict[str, Any], deadline: int
) -> None:
    diff = provider.diff("e", stored, PROPS)
    assert (diff.changes, diff.replaces) == (True, [])
    provider.delete("e", stored)
    assert asked.deletes == [("e", "p/s", deadline, [], None)]


def test_a_deletion_goes_by_the_freeze_windows_of_the_stack_file_and_not_of_the_state(
    provider: EndpointProvider, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = json.dumps([{**WEEKEND, "durationMinutes": 60}])
    provider.stack_config = {"p:freezeWindows": windows, "q:freezeWindows": "["}
    monkeypatch.setenv(OVERRIDE_VARIABLE, "INC-42")
    provider.delete("e", PROPS)
    hour = FreezeWindow("0 18 * * FRI", timedelta(minutes=60), "Asia/Tokyo", "weekend")
    assert asked.deletes == [("e", "p/s", 3900, [hour], "INC-42")]


@pytest.mark.parametrize("windows", ["[", "{}x", '[{"schedule": "x"}]', "[1]"])
def test_freeze_windows_that_cannot_be_read_delete_nothing(
    provider: EndpointProvider, asked: Asked, windows: str
) -> None:
    provider.stack_config = {"p:freezeWindows": windows}
    with pytest.raises(ValueError, match="p:freezeWindows cannot be read"):
        provider.delete("e", PROPS)
    assert asked.deletes == []


def test_adopting_is_for_the_driver_and_no_change_once_it_is_over(provider: EndpointProvider, asked: Asked) -> None:
    adopting = {**PROPS, "adopt": True}
    provider.create(adopting)
    provider.create(PROPS)  # as of a state written before anything could be adopted
    assert [each.adopt for each in asked.requests] == [True, False]
    assert provider.diff("e", adopting, {**PROPS, "adopt": False}).changes is False


def test_an_update_knows_what_was_before(provider: EndpointProvider, asked: Asked) -> None:
    provider.update("e", {**PROPS, "owner": "p/before", "autoscaled": True}, dict(PROPS))
    (request,) = asked.requests
    assert (request.former_owner, request.former_tags) == ("p/before", {"CostEnv": "prod"})
    assert request.former_config_name == "e-1"
    assert request.fixes_counts


def test_the_driver_gets_the_policy_in_whole_numbers(provider: EndpointProvider, asked: Asked) -> None:
    outs = provider.update("e", EARLIER, PROPS).outs
    (request,) = asked.requests
    assert request.policy == ReleasePolicy("canary", 600, BatchSize("percent", 10), timeout_seconds=3600)
    assert request.deadline_seconds == 3900
    assert request.rollback_alarms == ("e-1-error-rate",)
    assert request.minimum_invocations is not None
    assert (request.minimum_invocations.count, request.minimum_invocations.otherwise) == (100, "fail")
    assert outs == PROPS, "the whole inputs are stored"


def test_the_driver_gets_freeze_windows_and_the_override_of_this_run(
    provider: EndpointProvider, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.create(PROPS)
    monkeypatch.setenv("TRITON_SAGEMAKER_OVERRIDE_FREEZE", "INC-42")
    provider.create({**PROPS, "freezeWindows": []})
    frozen, overridden = asked.requests
    assert frozen.freeze_windows == (FreezeWindow("0 18 * * FRI", timedelta(hours=62), "Asia/Tokyo", "weekend"),)
    assert frozen.freeze_override is None
    assert (overridden.freeze_windows, overridden.freeze_override) == ((), "INC-42")


@pytest.mark.usefixtures("asked")
def test_released_artifacts_expire_after_a_release_and_never_fail_it(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, kept: list[int]
) -> None:
    provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-2"})
    assert kept == [3]

    def refuse(_self: ReleasedArtifacts, releases: int) -> list[str]:
        raise AwsRequestRefused("s3://models/models/e/: DeleteObjects was refused: AccessDenied")

    warnings: list[str] = []
    monkeypatch.setattr(ReleasedArtifacts, "expire", refuse)
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    assert provider.update("e", PROPS, {**PROPS, "endpointConfigName": "e-3"}).outs is not None
    assert "AccessDenied" in warnings[0]


@pytest.mark.usefixtures("asked")
def test_no_artifact_expires_where_a_release_failed(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, kept: list[int]
) -> None:
    def fail(_self: EndpointRelease, request: EndpointRequest) -> EndpointDescription:
        raise ReleaseFailed("rolled back", "rolledBack", "")

    monkeypatch.setattr(EndpointRelease, "release", fail)
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

    monkeypatch.setattr(provider, "client", lambda *_: Client())
    for props in (PROPS, BEFORE_GATES):
        for keep in provider._recorder(props)._keep:
            keep(RECORD)
    assert sent == [PROPS["bucket"], PROPS["notificationTopicArn"]]


def test_a_refresh_finds_the_configuration_that_is_live(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_is(monkeypatch, described(config="e-0"), {OWNER_TAG: "p/s", "CostEnv": "dev"})
    found = provider.read("e", dict(PROPS))
    assert found.outs is not None
    assert (found.id, found.outs["endpointConfigName"], found.outs["tags"]) == ("e", "e-0", {"CostEnv": "dev"})


def test_a_refresh_finds_that_autoscaling_is_off_so_that_the_next_up_registers_it(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, off: Record
) -> None:
    autoscaled = {**PROPS, "autoscaled": True}
    found_is(monkeypatch, described(), {OWNER_TAG: "p/s", "CostEnv": "prod"})
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
    found_is(monkeypatch, described(status="Failed"), {OWNER_TAG: "p/s"})
    outs = provider.read("e", dict(PROPS)).outs
    assert outs is not None
    assert provider.diff("e", outs, dict(PROPS)).changes is True


@pytest.mark.parametrize("tags", [{OWNER_TAG: "p/other"}, {}])
def test_an_endpoint_that_another_stack_took_over_is_not_ours_any_more(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    found_is(monkeypatch, described(), tags)
    assert provider.read("e", dict(PROPS)).id == ""


def test_another_account_than_the_providers_is_refused(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AwsSession, "account_id", "999999999999")
    with pytest.raises(AwsSessionRefused, match="999999999999"):
        provider.create(dict(PROPS))


def test_the_release_gets_the_clients_it_needs(provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "client", lambda service, _props: service)
    made: dict[str, Any] = {}
    monkeypatch.setattr(endpoint, "EndpointRelease", lambda **clients: made.update(clients))
    provider._release(PROPS)
    assert (made["sagemaker"], made["logs"], made["cloudwatch"]) == ("sagemaker", "logs", "cloudwatch")
    assert made["autoscaling"] == "application-autoscaling"
