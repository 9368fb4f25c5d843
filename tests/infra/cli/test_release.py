"""`python -m infra release` against a SageMaker that ends each change as a test decides."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.__main__ import main
from infra.cli import release
from infra.release import waiting
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.records import ReleaseRecord
from infra.release.request import OWNER_TAG
from tests.infra.cli.test_stack_file import BASE, project
from tests.infra.mock_runtime import ROOT
from tests.infra.release.fake_aws import (
    CREATING,
    FAILED,
    NEW,
    OLD,
    ROLLING_BACK,
    FakeTime,
    SageMaker,
    Sts,
    asynchronous,
    rolling_out,
    serverless,
    serving,
)
from tests.infra.release.test_alarms import COMPOSITE, LATENCY, RATE
from tests.infra.release.test_alarms import CloudWatch as Metrics

CANARY = ReleasePolicy("canary", wait_seconds=600, batch=BatchSize("percent", 50))
ROLLING_OUT = {
    **rolling_out("Creating"),
    "LastDeploymentConfig": CANARY.deployment_config(["new-rate", "new-latency", "new-stop"]),
}
DELETING = {**CREATING, "EndpointStatus": "Deleting"}
ROLLBACK_FAILED = {**OLD, "EndpointStatus": "UpdateRollbackFailed", "FailureReason": "x"}
GONE_BACK = {**OLD, "FailureReason": "an alarm fired"}
ROLLED_BACK = ReleaseRecord(
    "iris", "rolledBack", "old", "new", 1_764_000_000.0, 1_764_000_754.0, "arn:ci", "canary", reason="slow",
    override="INC-42",
)  # fmt: skip


class CloudWatch(Metrics):
    """Alarms of the new configuration, and what they are set to."""

    def __init__(self) -> None:
        stop = {**LATENCY, "AlarmName": "new-stop", "MetricName": "StopRelease", "Threshold": 0.0}
        made = [{**RATE, "AlarmName": "new-rate"}, {**LATENCY, "AlarmName": "new-latency"}, stop]
        super().__init__(*made, values={"rate": [7.5], "value": [412_000.0]})
        self.set: list[tuple[str, str]] = []

    def get_metric_statistics(self, **asked: Any) -> dict[str, Any]:
        return {"Datapoints": [{"Timestamp": datetime.now(UTC), **dict.fromkeys(asked["Statistics"], 12.0)}]}

    def get_paginator(self, _operation: str) -> Any:
        alarms = list(self.alarms.values())

        class Pages:
            def paginate(self, AlarmNamePrefix: str) -> Iterator[dict[str, Any]]:
                yield {"MetricAlarms": [each for each in alarms if each["AlarmName"].startswith(AlarmNamePrefix)]}

        return Pages()

    def set_alarm_state(self, AlarmName: str, StateValue: str, StateReason: str) -> None:
        self.set.append((AlarmName, StateValue))


class S3:
    """A bucket with the records of releases, or one that may not be read."""

    def __init__(self, *records: ReleaseRecord) -> None:
        self.records, self.buckets = records, set[str]()
        self.refuse = False

    def get_paginator(self, _operation: str) -> Any:
        s3 = self

        class Pages:
            def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
                if s3.refuse:
                    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")
                s3.buckets.add(Bucket)
                yield {"Contents": [{"Key": f"{Prefix}{n:03}"} for n, _ in enumerate(s3.records)]}

        return Pages()

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        record = replace(self.records[int(Key[-3:])], endpoint=Key.split("/")[1])
        return {"Body": io.BytesIO(record.json().encode())}


@dataclass
class Account:
    """The account that a test's stack is in."""

    directory: Path
    sagemaker: SageMaker = field(default_factory=lambda: SageMaker(OLD))
    cloudwatch: CloudWatch = field(default_factory=CloudWatch)
    s3: S3 = field(default_factory=S3)

    def client(self, service: str) -> Any:
        return {"sagemaker": self.sagemaker, "cloudwatch": self.cloudwatch, "s3": self.s3, "sts": Sts()}[service]

    def becomes(self, *states: dict[str, Any] | None) -> None:
        self.sagemaker.states = list(states)

    def run(self, command: str, *arguments: str) -> int:
        """The exit code of a command on the stack."""
        with pytest.raises(SystemExit) as ended:
            main(["release", command, "-s", "dev", "--cwd", str(self.directory), *arguments])
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return code or 0


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account(project(tmp_path, f"{BASE}  p:bucket: {{name: models}}\n"))
    monkeypatch.setattr("infra.cli.release_target.aws_session", lambda *_, **__: account)
    monkeypatch.setattr(waiting.Clock, "pause", lambda _: None)
    monkeypatch.setattr(release, "RECORD_SECONDS", 0)
    return account


@pytest.fixture
def interrupted(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is interrupted."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting.Clock, "pause", interrupt)


Capture = pytest.CaptureFixture[str]


# ---- status


def test_status_shows_a_release_with_every_alarms_value_against_its_threshold(
    account: Account, capsys: Capture
) -> None:
    account.becomes(ROLLING_OUT)
    assert account.run("status") == 3
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "Endpoint: iris (real time) Status: ◌ Progressing (Updating)",
        "Message: new is being released; old is live",
        "Strategy: canary 50 %, bakeSeconds 600, timeoutSeconds 3600",
        "Stage: Creating instances (stage 1 of 4)",
        "new new 2 of 2 instances 0 % 12",
        "new-rate ALARM 7.5 ≥ 5 errors in percent",
        "new-latency OK 412 ms > 500 ms ModelLatency p99",
        "new-stop OK none: `release stop` sets it",
    ):
        assert part in shown, shown


def test_status_of_an_asynchronous_endpoint_shows_its_backlog(account: Account, capsys: Capture) -> None:
    account.becomes(asynchronous(serving("old", "AllTraffic", count=0)))
    assert account.run("status") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "iris (asynchronous)" in shown and "Backlog: 12 requests" in shown
    assert "live old 0 of 0 instances 100 % 12" in shown
    account.becomes(asynchronous(ROLLING_OUT))
    account.run("status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert (status["mode"], status["backlog"]) == ("asynchronous", 12)
    assert [fleet["recentRequests"] for fleet in status["fleets"]] == [None, None], "the metric counts both fleets"


@pytest.mark.parametrize(("provisioned", "capacity"), [(None, "on demand"), (3, "provisioned concurrency 3")])
def test_status_of_a_serverless_endpoint_shows_no_instances(
    account: Account, capsys: Capture, provisioned: int | None, capacity: str
) -> None:
    account.becomes(serverless("old", provisioned))
    assert account.run("status") == 0
    assert f"live old {capacity} 100 % 12" in " ".join(capsys.readouterr().out.split())
    account.run("status", "--json")
    (fleet,) = json.loads(capsys.readouterr().out)["fleets"]
    assert (fleet["currentInstances"], fleet["provisionedConcurrency"]) == (None, provisioned or 0)


def test_status_shows_the_alarms_that_were_there_before_too(account: Account, capsys: Capture) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(f"{BASE}      alarms: {{existing: [pager]}}\n")
    account.cloudwatch.alarms["pager"] = {**COMPOSITE, "AlarmName": "pager", "StateValue": "ALARM"}
    assert account.run("status") == 0
    assert "pager ALARM (composite)" in " ".join(capsys.readouterr().out.split())


def test_status_as_json_holds_the_same_facts(account: Account, capsys: Capture) -> None:
    account.becomes(ROLLING_OUT)
    assert account.run("status", "--json") == 3
    facts = json.loads(capsys.readouterr().out)
    assert (facts["status"], facts["endpointStatus"], facts["stage"]["number"]) == ("Progressing", "Updating", 1)
    assert {each["name"]: each["value"] for each in facts["alarms"]}["new-rate"] == 7.5


def test_status_is_0_for_an_endpoint_that_serves(account: Account, capsys: Capture) -> None:
    assert account.run("status") == 0
    shown = capsys.readouterr().out
    assert "✔ Healthy (InService)" in shown
    assert "allAtOnce" in shown, "the strategy of the next release, from the settings"


def test_status_is_1_after_a_rollback_that_is_on_record(account: Account, capsys: Capture) -> None:
    times = [1_764_100_000.0 + at for at in range(20)]
    refused = [ReleaseRecord("iris", "refused", "old", "newer", time, time, "arn:ci", "canary") for time in times]
    account.s3 = S3(ROLLED_BACK, *refused)
    assert account.run("status") == 1
    assert "the release of new was rolled back; old is live: slow" in capsys.readouterr().out
    assert account.s3.buckets == {"models"}


def test_status_goes_without_a_history_that_may_not_be_read(account: Account, capsys: Capture) -> None:
    account.becomes(GONE_BACK)
    account.s3.refuse = True
    assert account.run("status") == 1
    printed = capsys.readouterr()
    assert "the last change failed; old is live: an alarm fired" in printed.out
    assert "the history of releases is left out: s3://models/releases/iris/: ListObjectsV2 was refused" in printed.err


def test_the_bucket_is_that_of_the_live_model_where_the_settings_name_none(account: Account) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(BASE)
    account.s3 = S3(ROLLED_BACK)
    assert account.run("status") == 1
    assert account.s3.buckets == {"b"}


# ---- watch


def test_watch_says_a_line_for_each_change_and_exits_as_status_does(account: Account, capsys: Capture) -> None:
    account.becomes(ROLLING_OUT, ROLLING_OUT, ROLLING_BACK, ROLLING_BACK, GONE_BACK)
    assert account.run("watch") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("iris: ")]
    assert lines == [
        "iris: Progressing (Updating); Creating instances; 2 of 2 new instances with 0 % of the traffic; "
        "alarm new-rate fires",
        "iris: Degraded (RollingBack); the release is being rolled back to old: ping failed",
    ]


def test_watch_knows_of_a_rollback_that_is_not_on_record_and_that_sagemaker_is_silent_about(
    account: Account, capsys: Capture
) -> None:
    account.s3 = S3(ReleaseRecord("iris", "succeeded", None, "old", 0.0, 1.0, "arn:ci", "canary"))
    account.becomes(ROLLING_OUT, ROLLING_BACK, OLD)
    assert account.run("watch") == 1
    assert "the release of new did not succeed; old is live: ping failed" in capsys.readouterr().out


def test_watch_of_a_release_that_arrives_exits_with_0(account: Account, capsys: Capture) -> None:
    account.becomes(ROLLING_OUT, {**ROLLING_OUT, "FailureReason": "of the release before"}, NEW)
    assert account.run("watch") == 0
    assert "new is live" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("polls", "stale", "message"),
    [
        (3, False, "new is live, and its release succeeded"),
        (3, True, "new is live, and its release succeeded"),
        (10_000, False, "new is live; `pulumi up` has not recorded the end of its release yet"),
        (10_000, True, "new is live; `pulumi up` has not recorded the end of its release yet"),
    ],
)
@pytest.mark.parametrize("began", [{**ROLLING_OUT}, CREATING], ids=["update", "creation"])
def test_watch_waits_for_the_record_of_the_release_but_not_for_ever(
    account: Account,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    began: dict[str, Any],
    polls: int,
    stale: bool,
    message: str,
) -> None:
    """A record of an earlier release of the same configuration is not that of this one."""
    passing = FakeTime()
    monkeypatch.setattr(release, "Clock", passing.clock)
    monkeypatch.setattr(release, "RECORD_SECONDS", 120)
    earlier = [replace(ROLLED_BACK, began=1.0, ended=2.0)] if stale else []
    record = ReleaseRecord("iris", "succeeded", "old", "new", 9e9, 9e9 + 60, "arn:ci", "canary")

    account.s3 = S3(*earlier)

    def pause(_: object) -> None:
        passing.sleep(10)
        if len(passing.sleeps) == polls:
            account.s3.records = (*earlier, record)

    monkeypatch.setattr(waiting.Clock, "pause", pause)
    account.becomes(began, began, NEW)
    assert account.run("watch") == 0
    shown = capsys.readouterr().out
    assert f"Message:   {message}" in " ".join(shown.splitlines())
    assert passing.at - 1_000 <= 150


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([CREATING, FAILED, DELETING, None], "✖ Degraded (Failed)"),
        ([CREATING, DELETING, None], "iris was deleted. `pulumi up` does so"),
        ([CREATING, None], "iris was deleted. `pulumi up` does so"),
        ([ROLLING_OUT, DELETING, None], "iris was deleted.\n"),
        ([ROLLING_OUT, ROLLING_BACK, ROLLBACK_FAILED, None], "✖ Degraded (UpdateRollbackFailed)"),
    ],
)
def test_watch_waits_for_no_record_of_what_is_not_in_service(
    account: Account,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    states: list[dict[str, Any] | None],
    words: str,
) -> None:
    """`pulumi up` deletes an endpoint whose creation failed before it writes the record."""
    monkeypatch.setattr(release, "RECORD_SECONDS", 120)
    account.becomes(*states)
    assert account.run("watch") == 1
    assert words in capsys.readouterr().out


def test_watch_of_an_endpoint_at_rest_is_its_status(account: Account, capsys: Capture) -> None:
    assert account.run("watch") == 0
    assert "Healthy" in capsys.readouterr().out


def test_watch_draws_the_whole_status_again_on_a_terminal(
    account: Account, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    account.becomes(ROLLING_OUT, ROLLING_BACK, OLD)
    assert account.run("watch") == 1
    shown = capsys.readouterr().out
    assert "✖ Degraded (InService)" in shown
    assert "iris: Progressing" not in shown


def test_an_interrupted_watch_leaves_the_release_alone(account: Account, capsys: Capture, interrupted: None) -> None:
    account.becomes(ROLLING_OUT)
    assert account.run("watch") == 130
    assert "the change in progress continues" in capsys.readouterr().out
    assert account.sagemaker.calls == []


# ---- history


def test_history_lists_releases_with_their_result_and_duration(account: Account, capsys: Capture) -> None:
    account.s3 = S3(ROLLED_BACK)
    assert account.run("history") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "began",
        "result",
        "duration",
        "strategy",
        "from",
        "→",
        "to",
        "who",
        "reason",
        "freeze",
        "override",
    ]
    (row,) = rows
    assert row.split("  ")[0] == "2025-11-24 16:00:00Z"
    for part in ("rolled back", "12 min 34 s", "canary", "old → new", "arn:ci", "slow", "INC-42"):
        assert part in row


def test_history_as_json_is_what_is_kept(account: Account, capsys: Capture) -> None:
    account.s3 = S3(ROLLED_BACK)
    assert account.run("history", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [json.loads(ROLLED_BACK.json())]


def test_history_of_nothing_says_so(account: Account, capsys: Capture) -> None:
    assert account.run("history") == 0
    assert "iris: no release is on record." in capsys.readouterr().out


# ---- stop


def test_stop_rolls_back_and_tells_what_is_live(account: Account, capsys: Capture) -> None:
    account.becomes(ROLLING_OUT, ROLLING_OUT, ROLLING_BACK, GONE_BACK)
    assert account.run("stop", "--yes") == 0
    assert account.cloudwatch.set == [("new-stop", "ALARM"), ("new-stop", "ALARM"), ("new-stop", "OK")]
    assert "stopped the release of new; old is live: an alarm fired" in capsys.readouterr().out


def test_stop_that_comes_too_late_says_what_is_live(account: Account, capsys: Capture) -> None:
    account.becomes(ROLLING_OUT, NEW)
    assert account.run("stop", "--yes") == 1
    assert "too late. The release of new ended before the stop took effect, and it is live" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (None, "iris was deleted by someone else"),
        (ROLLBACK_FAILED, "UpdateRollbackFailed"),
    ],
)
def test_stop_that_ends_otherwise_says_how(
    account: Account, capsys: Capture, ended: dict[str, Any] | None, words: str
) -> None:
    account.becomes(ROLLING_OUT, ended)
    assert account.run("stop", "--yes") == 1
    assert words in capsys.readouterr().out


def test_stop_asks_on_a_terminal(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = io.StringIO("n\n")
    answer.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answer)
    account.becomes(ROLLING_OUT)
    assert account.run("stop") == 1
    assert account.cloudwatch.set == []


def test_stop_in_ci_needs_yes(account: Account, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    account.becomes(ROLLING_OUT)
    assert account.run("stop") == 2
    assert "Use --yes" in capsys.readouterr().err
    assert account.cloudwatch.set == []


def test_an_interrupted_stop_leaves_the_alarm_ok(account: Account, capsys: Capture, interrupted: None) -> None:
    account.becomes(ROLLING_OUT)
    assert account.run("stop", "--yes") == 130
    assert account.cloudwatch.set == [("new-stop", "ALARM"), ("new-stop", "OK")]
    assert "the alarm is OK again" in capsys.readouterr().out


def test_stop_without_a_release_says_that_there_is_none(account: Account, capsys: Capture) -> None:
    assert account.run("stop", "--yes") == 2
    assert "error: endpoint iris: no release is in progress" in capsys.readouterr().err


def test_a_first_creation_cannot_be_stopped(account: Account, capsys: Capture) -> None:
    account.becomes(CREATING)
    assert account.run("stop", "--yes") == 2
    assert "no earlier configuration" in capsys.readouterr().err


# ---- what a person may do wrong


@pytest.mark.parametrize("command", ["status", "watch", "stop"])
def test_an_endpoint_that_does_not_exist_is_told_in_a_line(account: Account, capsys: Capture, command: str) -> None:
    account.becomes(None)
    assert account.run(command) == 2
    assert capsys.readouterr().err == (
        "error: endpoint iris does not exist in the stack's account and region; `pulumi up` creates it.\n"
    )


@pytest.mark.parametrize("command", ["status", "watch", "history", "stop"])
def test_one_of_several_endpoints_has_to_be_named(account: Account, capsys: Capture, command: str) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(f"{BASE}    rose: {{model: {{path: models}}}}\n")
    assert account.run(command) == 2
    assert "has several endpoints: iris, rose" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "watch", "history", "stop"])
def test_a_model_for_transform_jobs_has_no_releases(account: Account, capsys: Capture, command: str) -> None:
    file, jobs = account.directory / "Pulumi.dev.yaml", "    rose: {model: {path: models}, batch: {}}\n"
    file.write_text(f"{BASE}{jobs}")
    assert account.run(command, "rose") == 2
    assert "rose is a Model for transform jobs only" in capsys.readouterr().err
    account.run(command)
    assert "several endpoints" not in capsys.readouterr().err, "iris is the only endpoint"


@pytest.mark.parametrize("command", ["status", "watch", "history", "stop"])
def test_an_endpoint_of_another_stack_is_refused(account: Account, capsys: Capture, command: str) -> None:
    assert account.run(command, "rose") == 2
    assert "endpoint rose belongs to stack p/s; it is not an endpoint of p/dev. Endpoints in the stack file: iris." in (
        capsys.readouterr().err
    )
    account.sagemaker.tags = {}
    assert account.run(command, "rose") == 2
    assert "endpoint rose has no tag triton-sagemaker:stack" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "watch", "history", "stop"])
def test_an_endpoint_that_neither_the_file_nor_the_account_has_is_refused(
    account: Account, capsys: Capture, command: str
) -> None:
    account.becomes(None)
    assert account.run(command, "rose") == 2
    assert "endpoint rose does not exist in the stack's account and region. Endpoints in the stack file: iris." in (
        capsys.readouterr().err
    )


# ---- a stack file that is being edited

MISTAKES = {
    "unknown key": f"{BASE}      instanceTyp: ml.c5.xlarge\n",
    "wrong value": f"{BASE}      release: {{strategy: canary, percent: 99}}\n",
    "no models": BASE.replace("      model: {path: models}\n", ""),
    "misspelt provider": f"{BASE}  aws:allowedAccountId: x\n",
    "two endpoints in one": f"{BASE}    rose: {{model: {{path: models}}, instanceTyp: x}}\n",
    "unknown key beside config": f"{BASE}configg: 1\n",
    "not YAML in an endpoint": f"{BASE}      release: {{strategy: canary\n  p:alarms: {{}}\n",
    "not YAML elsewhere": f"{BASE}  p:freezeWindows: [{{\n",
    "tab": f"{BASE}\tp:freezeWindows: []\n",
    "secret as a whole": """
config:
  aws:region: ap-northeast-1
  p:endpoints:
    secure: v1:AAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAA
""",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_stack_file_are_warnings_and_stop_nothing(
    account: Account, capsys: Capture, mistake: str
) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(MISTAKES[mistake])
    account.sagemaker.tags = {OWNER_TAG: "p/dev"}
    account.becomes(ROLLING_OUT)
    assert account.run("status", "iris") == 3
    printed = capsys.readouterr()
    assert "Strategy:  canary 50 %, bakeSeconds 600, timeoutSeconds 3600" in printed.out, "as SageMaker says"
    assert printed.err.startswith("warning: ")
    assert "Pulumi.dev.yaml" in printed.err
    account.s3 = S3(ROLLED_BACK)
    assert account.run("history", "iris") == 0
    assert "rolled back" in capsys.readouterr().out
    account.becomes(ROLLING_OUT, ROLLING_OUT, ROLLING_BACK, GONE_BACK)
    assert account.run("stop", "iris", "--yes") == 0
    assert "stopped the release of new" in capsys.readouterr().out


def test_the_only_endpoint_of_a_file_with_mistakes_needs_no_name(account: Account) -> None:
    account.sagemaker.tags = {OWNER_TAG: "p/dev"}
    for mistake in ("unknown key", "wrong value", "no models", "not YAML in an endpoint", "not YAML elsewhere"):
        (account.directory / "Pulumi.dev.yaml").write_text(MISTAKES[mistake])
        assert account.run("status") == 0


def test_without_a_name_that_can_be_read_one_has_to_be_given(account: Account, capsys: Capture) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(MISTAKES["secret as a whole"])
    assert account.run("status") == 2
    assert "has no readable endpoint" in capsys.readouterr().err
    (account.directory / "Pulumi.dev.yaml").write_text(MISTAKES["two endpoints in one"])
    assert account.run("status") == 2
    assert "several endpoints: iris, rose" in capsys.readouterr().err


def test_a_file_with_mistakes_leads_to_no_endpoint_of_another_stack(account: Account, capsys: Capture) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(MISTAKES["unknown key"])
    account.becomes(ROLLING_OUT)
    assert account.run("stop", "--yes") == 2
    assert "belongs to stack p/s" in capsys.readouterr().err
    assert account.cloudwatch.set == []


# ---- an endpoint that the stack file no longer has


def test_an_endpoint_that_was_taken_out_of_the_file_is_the_stacks_by_its_tag(account: Account, capsys: Capture) -> None:
    account.sagemaker.tags = {OWNER_TAG: "p/dev"}
    account.becomes(ROLLING_OUT)
    assert account.run("status", "rose") == 3
    account.becomes(ROLLING_OUT, ROLLING_OUT, ROLLING_BACK, GONE_BACK)
    assert account.run("stop", "rose", "--yes") == 0
    account.s3 = S3(ROLLED_BACK)
    assert account.run("history", "rose") == 0
    assert "rolled back" in capsys.readouterr().out


def test_the_history_of_a_deleted_endpoint_is_in_the_stacks_bucket(account: Account, capsys: Capture) -> None:
    account.s3 = S3(ROLLED_BACK)
    account.becomes(None)
    assert account.run("history", "rose") == 0
    assert "rolled back" in capsys.readouterr().out
    assert account.s3.buckets == {"models"}


def test_the_stacks_bucket_is_that_of_its_other_endpoints_where_the_settings_name_none(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    (account.directory / "Pulumi.dev.yaml").write_text(BASE)
    account.s3 = S3(ROLLED_BACK)
    describe = account.sagemaker.describe_endpoint

    def without_rose(EndpointName: str) -> dict[str, Any]:
        account.becomes(None if EndpointName == "rose" else OLD)
        return describe(EndpointName)

    monkeypatch.setattr(account.sagemaker, "describe_endpoint", without_rose)
    assert account.run("history", "rose") == 0
    assert account.s3.buckets == {"b"}


def test_a_refusal_of_aws_is_told_with_the_operation(account: Account, capsys: Capture) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeEndpoint")

    account.sagemaker.describe_endpoint = refuse  # type: ignore[assignment, method-assign]
    assert account.run("status") == 2
    assert "endpoint iris: DescribeEndpoint was refused: AccessDeniedException: no" in capsys.readouterr().err


def test_nothing_of_pulumi_is_loaded() -> None:
    code = (
        "import sys\nimport infra.__main__, infra.release.observer, infra.release.stop, infra.settings.load\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('pulumi', 'pulumi_aws')]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
