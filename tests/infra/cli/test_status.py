"""`python -m infra status`: one screen, and an exit code for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from botocore.exceptions import ClientError

from infra.__main__ import main
from infra.aws.mode import Mode
from infra.cli import status
from infra.cli.release_view import requests
from tests.infra.cli.test_release import ROLLED_BACK, ROLLING_OUT, S3, CloudWatch
from tests.infra.cli.test_stack_file import BASE, project
from tests.infra.release.fake_aws import ROLLING_BACK, SageMaker, asynchronous, serving
from tests.infra.release.test_alarms import RATE

LIVE = serving("old", "AllTraffic")
ERRORS = {**RATE, "AlarmName": "iris/error-rate", "StateValue": "OK", "StateReason": "fine"}


class Metrics(CloudWatch):
    """`variants` are those whose metrics were read."""

    def __init__(self) -> None:
        super().__init__()
        self.published = {
            "Invocations": [40.0, 60.0],
            "InvocationModelErrors": [1.0],
            "ModelLatency": [8000.0, 12_000.0],
        }
        self.variants = set[str]()

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        queries = request["MetricDataQueries"]
        if any("MetricStat" not in query for query in queries):  # of an alarm
            return super().get_metric_data(**request)
        metrics = {query["Id"]: query["MetricStat"]["Metric"] for query in queries}
        self.variants = {each["Value"] for metric in metrics.values() for each in metric["Dimensions"][1:]}
        return {
            "MetricDataResults": [
                {"Id": id_, "Values": self.published.get(metric["MetricName"], [])} for id_, metric in metrics.items()
            ]
        }


class Account:
    def __init__(self) -> None:
        self.sagemaker, self.cloudwatch, self.s3 = SageMaker(LIVE), Metrics(), S3()
        self.cloudwatch.alarms["iris/error-rate"] = dict(ERRORS)

    def client(self, service: str) -> Any:
        if service == "application-autoscaling":
            return self
        return {"sagemaker": self.sagemaker, "cloudwatch": self.cloudwatch, "s3": self.s3}[service]

    def describe_scalable_targets(self, ServiceNamespace: str, ResourceIds: list[str]) -> dict[str, Any]:
        return {"ScalableTargets": []}

    def run(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["status", "-s", "dev", *arguments])
        return int(ended.value.code or 0)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    alarmed = f"{BASE}      alarms: {{errorRatePercent: 5}}\n  p:bucket: {{name: models}}\n"
    monkeypatch.setattr(status, "aws_session", lambda _: account)
    monkeypatch.chdir(project(tmp_path, alarmed))
    return account


def test_one_screen_has_model_fleet_traffic_and_alarms(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert account.run() == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "✔ iris (real time) Healthy (InService)",
        "serves s3://b/model-old.tar.gz on ml.c5.xlarge",
        "fleet live: 1 of 1 instances",
        "traffic 100 requests in 5 minutes, 1 % errors, p99 model latency 12 ms",
        "alarms none of 1 fires",
    ):
        assert part in shown, shown


def test_json_has_the_same_facts(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert account.run("iris", "--json") == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["traffic"] == {"requests": 100, "errorPercent": 1.0, "p99Milliseconds": 12.0}
    assert facts["models"][0]["artifact"] == "s3://b/model-old.tar.gz"
    assert (facts["mode"], facts["drift"], facts["alarms"][0]["state"]) == ("real time", [], "OK")


def test_without_data_the_requests_are_not_known(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.cloudwatch.published = {}
    assert account.run() == 0
    assert "traffic no data" in " ".join(capsys.readouterr().out.split())


def test_asynchronous_requests_that_fail_count_although_none_was_processed(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the alarm on the rate of errors. The settings have another mode."""
    account.sagemaker.states, account.sagemaker.modes = [asynchronous(LIVE)], {"old": Mode.ASYNCHRONOUS}
    account.cloudwatch.published = {"InvocationFailures": [3.0], "InvocationsProcessed": [1.0]}
    assert account.run("--json") == 4
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["traffic"]["requests"], facts["traffic"]["errorPercent"]) == (3, 100)


def test_the_traffic_is_that_of_the_live_variants(account: Account) -> None:
    account.sagemaker.states, account.sagemaker.variants["old"] = [serving("old", "a", "b")], ["a", "b"]
    assert account.run() == 4
    assert account.cloudwatch.variants == {"a", "b"}


def test_the_image_is_that_of_the_digest_that_sagemaker_resolved(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.run() == 0
    assert "on ml.c5.xlarge, image not by digest" in " ".join(capsys.readouterr().out.split())
    (variant,) = LIVE["ProductionVariants"]
    deployed = [{"SpecifiedImage": "triton:24.05", "ResolvedImage": f"1.dkr.ecr/triton@sha256:{'4f' * 32}"}]
    account.sagemaker.states = [{**LIVE, "ProductionVariants": [{**variant, "DeployedImages": deployed}]}]
    assert account.run() == 0
    assert "on ml.c5.xlarge, image sha256:4f4f4f4f4f4f" in " ".join(capsys.readouterr().out.split())


def test_a_model_that_the_credentials_may_not_see_is_named_only(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(ModelName: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeModel")

    monkeypatch.setattr(account.sagemaker, "describe_model", denied)
    assert account.run() == 0
    assert "serves model-old on ml.c5.xlarge, image unknown" in " ".join(capsys.readouterr().out.split())


def test_a_firing_alarm_is_a_failure(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.cloudwatch.alarms["iris/error-rate"]["StateValue"] = "ALARM"
    assert account.run() == 1
    assert "iris/error-rate fires" in capsys.readouterr().out


def test_a_release_that_was_rolled_back_is_a_failure(account: Account) -> None:
    account.s3 = S3(ROLLED_BACK)
    assert account.run() == 1


def test_a_release_in_progress_has_a_code_of_its_own(account: Account) -> None:
    account.sagemaker.states = [ROLLING_OUT]
    assert account.run() == 3


@pytest.mark.parametrize("state", [ROLLING_OUT, ROLLING_BACK])
def test_what_a_release_changes_is_not_drift_while_it_is_in_progress(
    account: Account, capsys: pytest.CaptureFixture[str], state: dict[str, Any]
) -> None:
    account.sagemaker.types["old"] = "ml.m5.xlarge"
    account.sagemaker.states = [{**LIVE, **state}]
    account.run()
    assert "drift" not in capsys.readouterr().out


def test_drift_has_a_code_of_its_own(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.sagemaker.types["old"] = "ml.m5.xlarge"
    del account.cloudwatch.alarms["iris/error-rate"]
    assert account.run() == 4
    shown = capsys.readouterr().out
    assert "ml.m5.xlarge" in shown and "iris/error-rate" in shown


def test_a_missing_composite_alarm_is_drift(
    account: Account, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without it nobody is notified."""
    topic = "arn:aws:sns:ap-northeast-1:123456789012:releases"
    alarmed = f"{BASE}      alarms: {{errorRatePercent: 5}}\n  p:bucket: {{name: models}}\n"
    project(tmp_path, f"{alarmed}  p:notifications: {{topicArn: '{topic}'}}\n")
    assert account.run() == 4
    assert "alarm iris/health does not exist" in capsys.readouterr().out
    account.cloudwatch.alarms["iris/health"] = {"AlarmName": "iris/health", "StateValue": "OK", "AlarmRule": "…"}
    assert account.run() == 0
    assert "none of 1 fires" in capsys.readouterr().out


def test_an_endpoint_that_does_not_exist_is_a_failure(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.sagemaker.states = [None]
    assert account.run() == 1
    assert "iris does not exist" in capsys.readouterr().out


def test_watching_prints_each_change_until_it_is_interrupted(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    account.sagemaker.states = [ROLLING_OUT, ROLLING_OUT, LIVE]
    watch(monkeypatch, account, [None, None, None])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("(")[0] for line in lines] == ["iris: Progressing ", "iris: Degraded "]


def test_watching_prints_alarms_for_operators_and_drift(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm, types = account.cloudwatch.alarms["iris/error-rate"], account.sagemaker.types
    changes = [lambda: alarm.update(StateValue="ALARM"), None, lambda: types.update(old="ml.m5.xlarge")]
    watch(monkeypatch, account, changes)
    shown = [line.split("; ")[3:] for line in capsys.readouterr().out.splitlines()]
    drift = "AllTraffic: instanceType is ml.m5.xlarge, and ml.c5.xlarge in the settings"
    fires = "alarm iris/error-rate fires"
    assert shown == [[], [fires], [fires, drift]]


def watch(monkeypatch: pytest.MonkeyPatch, account: Account, changes: Sequence[Callable[[], object] | None]) -> None:
    """Watch, with these changes of the account one after the other, and then an interrupt."""
    left = iter(changes)

    def sleep(_seconds: float) -> None:
        try:
            change = next(left)
        except StopIteration:
            raise KeyboardInterrupt from None
        if change is not None:
            change()

    monkeypatch.setattr("infra.cli.status.time.sleep", sleep)
    assert account.run("--watch") == 130


def test_watching_does_not_print_json(account: Account) -> None:
    assert account.run("--watch", "--json") == 2


@pytest.mark.parametrize("arguments", [["nowhere"], ["-s", "nowhere"]])
def test_bad_input_is_a_message(account: Account, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert account.run(*arguments) == 2 or arguments == ["nowhere"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("count", "words"), [(0, "0 requests"), (1, "1 request"), (1234, "1,234 requests")])
def test_a_number_of_requests_is_singular_or_plural(count: int, words: str) -> None:
    assert requests(count) == words


def test_watching_prints_the_endpoints_that_changed_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = [["a: Healthy", "b: Healthy"], ["a: Healthy", "b: Degraded"]]

    def read() -> list[str]:
        if not polls:
            raise KeyboardInterrupt
        return polls.pop(0)

    monkeypatch.setattr(status, "_line", str)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(typer.Exit):
        status._watch(read)
    assert capsys.readouterr().out.splitlines() == ["a: Healthy", "b: Healthy", "b: Degraded"]
