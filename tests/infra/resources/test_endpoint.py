"""The Endpoint resource: what updates it, and that the state of earlier versions is still understood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.release.endpoint import EndpointRelease, EndpointRequest
from infra.release.policy import BatchSize, ReleasePolicy
from infra.resources.endpoint import EndpointProvider
from infra.resources.provider import UNKNOWN

DEPLOYMENT = {
    "strategy": "canary",
    "percent": 10.0,
    "bakeSeconds": 600.0,
    "timeoutSeconds": 3600.0,
    "deadlineSeconds": 3900.0,
    "minimumInvocations": {"count": 100.0, "otherwise": "fail"},
}
INPUTS = {
    "name": "e",
    "endpointConfigName": "new",
    "accountId": "123456789012",
    "owner": "p/s",
    "tags": {},
    "autoscaled": True,
    "deployment": DEPLOYMENT,
    "rollbackAlarms": ["new-error-rate"],
}
EARLIER = {
    **{key: value for key, value in INPUTS.items() if key not in ("deployment", "rollbackAlarms")},
    "timeoutSeconds": 1800.0,
}
"""What a stack has stored that was deployed before there were strategies."""


@dataclass
class Asked:
    """What the provider asked of the driver."""

    requests: list[EndpointRequest] = field(default_factory=list)
    deletes: list[tuple[str, str, int]] = field(default_factory=list)


class Session:
    default_tags: dict[str, str] = {}  # noqa: RUF012

    def require_account(self, expected: str) -> None:
        assert expected == "123456789012"

    def client(self, service: str) -> str:
        return service


@pytest.fixture
def provider() -> EndpointProvider:
    made = EndpointProvider()
    made.aws = Session()  # type: ignore[assignment]
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    asked = Asked()

    def release(_self: EndpointRelease, request: EndpointRequest) -> Any:
        asked.requests.append(request)
        return type("Live", (), {"arn": "arn:e", "config_name": request.config_name})

    monkeypatch.setattr(EndpointRelease, "release", release)
    monkeypatch.setattr(EndpointRelease, "delete", lambda _self, *args: asked.deletes.append(args))
    yield asked


@pytest.mark.parametrize(
    "change",
    [
        {"endpointConfigName": "newer"},
        {"endpointConfigName": UNKNOWN},
        {"deployment": {**DEPLOYMENT, "bakeSeconds": 60.0}},
        {"rollbackAlarms": []},
        {"rollbackAlarms": UNKNOWN},
        {"tags": {"a": "b"}},
    ],
)
def test_a_change_updates_in_place(provider: EndpointProvider, change: dict[str, Any]) -> None:
    diff = provider.diff("e", INPUTS, {**INPUTS, **change})
    assert (diff.changes, diff.replaces) == (True, [])


def test_nothing_changed_is_no_change(provider: EndpointProvider) -> None:
    assert provider.diff("e", {**INPUTS, "arn": "arn:e"}, INPUTS).changes is False


def test_a_state_from_before_there_were_strategies_is_updated_and_deleted(
    provider: EndpointProvider, asked: Asked
) -> None:
    diff = provider.diff("e", EARLIER, INPUTS)
    assert (diff.changes, diff.replaces) == (True, [])
    provider.delete("e", EARLIER)
    assert asked.deletes == [("e", "p/s", 1800)]


def test_the_driver_gets_the_policy_in_whole_numbers(provider: EndpointProvider, asked: Asked) -> None:
    outs = provider.update("e", EARLIER, INPUTS).outs
    (request,) = asked.requests
    assert request.policy == ReleasePolicy("canary", 600, BatchSize("percent", 10), timeout_seconds=3600)
    assert request.deadline_seconds == 3900
    assert request.rollback_alarms == ("new-error-rate",)
    assert request.minimum_invocations is not None
    assert (request.minimum_invocations.count, request.minimum_invocations.otherwise) == (100, "fail")
    assert outs is not None
    assert {key: outs[key] for key in INPUTS} == INPUTS, "the whole inputs are stored"
