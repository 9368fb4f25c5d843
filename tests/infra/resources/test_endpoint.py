"""The endpoint resource: what is a change, what a refresh finds, and in which account it acts."""

from __future__ import annotations

from typing import Any

import pytest

from infra.aws_session import AwsSession, AwsSessionRefused
from infra.release.description import EndpointDescription
from infra.release.endpoint import OWNER_TAG, EndpointRequest
from infra.resources import endpoint
from infra.resources.endpoint import EndpointProvider
from infra.resources.provider import UNKNOWN

PROPS: dict[str, Any] = {
    "name": "e",
    "endpointConfigName": "e-1",
    "accountId": "123456789012",
    "owner": "p/s",
    "tags": {"CostEnv": "prod"},
    "autoscaled": False,
    "timeoutSeconds": 600.0,
    "arn": "arn:e",
}


def described(status: str = "InService", config: str = "e-1") -> EndpointDescription:
    return EndpointDescription("e", "arn:e", status, config, config, "")


class Release:
    """Stands for EndpointRelease: an endpoint as it is, and what was asked of it."""

    def __init__(self, found: EndpointDescription | None, tags: dict[str, str]) -> None:
        self.found, self._tags = found, tags
        self.requests: list[EndpointRequest] = []

    def describe(self, _name: str) -> EndpointDescription | None:
        return self.found

    def tags(self, _endpoint: EndpointDescription) -> dict[str, str]:
        return self._tags

    def release(self, request: EndpointRequest) -> EndpointDescription:
        self.requests.append(request)
        return described(config=request.config_name)


@pytest.fixture
def provider() -> EndpointProvider:
    provider = EndpointProvider()
    provider.aws = AwsSession({"aws:region": "us-east-1", "aws:defaultTags": '{"tags": {"Team": "ml"}}'})
    return provider


def answering(monkeypatch: pytest.MonkeyPatch, release: Release) -> Release:
    monkeypatch.setattr(EndpointProvider, "_release", lambda *_: release)
    return release


@pytest.mark.parametrize(
    ("key", "value", "replaces"),
    [
        ("endpointConfigName", "e-2", []),
        ("endpointConfigName", UNKNOWN, []),
        ("tags", {"CostEnv": "dev"}, []),
        ("owner", "p/renamed", []),
        ("autoscaled", True, []),
        ("timeoutSeconds", 700.0, []),
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


def test_default_tags_of_the_provider_are_put_too(provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    release = answering(monkeypatch, Release(None, {}))
    provider.create(dict(PROPS))
    assert release.requests[0].tags == {"Team": "ml", "CostEnv": "prod"}
    assert release.requests[0].timeout_seconds == 600


def test_an_update_knows_the_former_owner_and_tags(provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    release = answering(monkeypatch, Release(None, {}))
    provider.update("e", {**PROPS, "owner": "p/before"}, dict(PROPS))
    assert (release.requests[0].former_owner, release.requests[0].former_tags) == ("p/before", {"CostEnv": "prod"})


def test_a_refresh_finds_the_configuration_that_is_live(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, Release(described(config="e-0"), {OWNER_TAG: "p/s", "CostEnv": "dev"}))
    found = provider.read("e", dict(PROPS))
    assert found.outs is not None
    assert (found.id, found.outs["endpointConfigName"], found.outs["tags"]) == ("e", "e-0", {"CostEnv": "dev"})


def test_a_failed_endpoint_serves_nothing_so_that_the_next_up_mends_it(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, Release(described(status="Failed"), {OWNER_TAG: "p/s"}))
    outs = provider.read("e", dict(PROPS)).outs
    assert outs is not None
    assert provider.diff("e", outs, dict(PROPS)).changes is True


@pytest.mark.parametrize("tags", [{OWNER_TAG: "p/other"}, {}])
def test_an_endpoint_that_another_stack_took_over_is_not_ours_any_more(
    provider: EndpointProvider, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    answering(monkeypatch, Release(described(), tags))
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
    assert (made["sagemaker"], made["logs"], made["autoscaling"]) == ("sagemaker", "logs", "application-autoscaling")
