"""CloudWatch as clients see it: the metrics of invocations, metric math, and alarms with their history."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.metrics import Expression, MetricKey, Metrics, Points, statistic_of
from tests.sandbox.conftest import ALL_TIME, Host, unique
from tests.sandbox.test_deployment import answers, ask, config

MINUTE = timedelta(minutes=1)


@pytest.fixture
def host(scripted_host: Host) -> Host:
    return scripted_host


def listed(dimensions: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


def statistics(host: Host, metric: str, namespace: str = "AWS/SageMaker", **dimensions: str) -> dict[str, float]:
    """All statistics of a metric over the last two hours; nothing where it has no data."""
    now = datetime.now(UTC)
    found = host.aws.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=listed(dimensions),
        StartTime=now - 60 * MINUTE,
        EndTime=now + 60 * MINUTE,
        Period=ALL_TIME,
        Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"],
    )["Datapoints"]
    return {name: value for name, value in found[0].items() if isinstance(value, float)} if found else {}


def data(host: Host, *queries: dict[str, Any]) -> dict[str, list[float]]:
    now = datetime.now(UTC)
    results = host.aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=list(queries), StartTime=now - 60 * MINUTE, EndTime=now + 60 * MINUTE
    )["MetricDataResults"]
    return {result["Id"]: result["Values"] for result in results}


def query(identity: str, metric: str, statistic: str, namespace: str, **options: Any) -> dict[str, Any]:
    named = {"Namespace": namespace, "MetricName": metric, "Dimensions": options.pop("dimensions", [])}
    return {"Id": identity, "MetricStat": {"Metric": named, "Period": ALL_TIME, "Stat": statistic}, **options}


def put(host: Host, namespace: str, metric: str, *values: float) -> None:
    host.aws.client("cloudwatch").put_metric_data(
        Namespace=namespace, MetricData=[{"MetricName": metric, "Values": list(values)}]
    )


def put_alarm(host: Host, namespace: str, **changes: Any) -> str:
    name = unique("alarm")
    watching = {"Namespace": namespace, "MetricName": "Errors", "Statistic": "Sum", "Period": 60}
    crossing = {"Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1}
    simple = {} if "Metrics" in changes else watching
    request = {"AlarmName": name, **simple, **crossing, **changes}
    host.aws.client("cloudwatch").put_metric_alarm(**request)
    return name


def described(host: Host, name: str) -> dict[str, Any]:
    [alarm] = host.aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    alarm_described: dict[str, Any] = alarm
    return alarm_described


def wait_for_state(host: Host, name: str, state: str) -> dict[str, Any]:
    """The alarm once it has a state; fails after a minute."""
    deadline = time.monotonic() + 60
    while (alarm := described(host, name))["StateValue"] != state:
        assert time.monotonic() < deadline, alarm
        time.sleep(0.02)
    return alarm


# ---- what an invocation publishes


def test_an_invocation_is_counted_with_and_without_its_configuration(host: Host) -> None:
    """Developer guide, monitoring-cloudwatch and deployment-guardrails-configuration (EndpointConfigName)."""
    served = config(host, "answer", instances=4)
    name = host.endpoint(served)
    answers(host, name, 8)
    of_variant = {"EndpointName": name, "VariantName": "AllTraffic"}
    for dimensions in (of_variant, {**of_variant, "EndpointConfigName": served}):
        found = {metric: statistics(host, metric, **dimensions) for metric in METRICS}
        assert found["Invocations"]["Sum"] == 8
        assert found["InvocationsPerInstance"]["Sum"] == 2
        for metric in ("InvocationModelErrors", "Invocation4XXErrors", "Invocation5XXErrors"):
            assert (found[metric]["Sum"], found[metric]["SampleCount"]) == (0, 8)
        for metric in ("ModelLatency", "OverheadLatency"):
            assert 0 < found[metric]["Average"] < 60_000_000
    assert statistics(host, "Invocations", EndpointName=name) == {}


METRICS = (
    "Invocations",
    "InvocationsPerInstance",
    "InvocationModelErrors",
    "Invocation4XXErrors",
    "Invocation5XXErrors",
    "ModelLatency",
    "OverheadLatency",
)


@pytest.mark.parametrize(("status", "client_errors", "server_errors"), [(400, 1, 0), (507, 0, 1), (0, 0, 0)])
def test_an_answer_that_is_not_2xx_is_a_model_error(
    host: Host, status: int, client_errors: int, server_errors: int
) -> None:
    """InvocationModelErrors: "requests which did not result in 2XX HTTP response", time-outs among them."""
    name = host.endpoint(config(host, "answer", status=status))
    with pytest.raises(ClientError) as refused:
        ask(host, name)
    assert (refused.value.response["Error"]["Code"], refused.value.response["OriginalStatusCode"]) == (
        "ModelError",
        status,
    )
    of_variant = {"EndpointName": name, "VariantName": "AllTraffic"}
    metrics = ("Invocations", "InvocationModelErrors", "Invocation4XXErrors", "Invocation5XXErrors")
    sums = [statistics(host, metric, **of_variant)["Sum"] for metric in metrics]
    assert sums == [1, 1, client_errors, server_errors]


def test_metrics_are_listed_once_with_their_dimensions(host: Host) -> None:
    served = config(host, "answer")
    name = host.endpoint(served)
    answers(host, name, 3)
    found = host.aws.client("cloudwatch").list_metrics(
        Namespace="AWS/SageMaker", MetricName="Invocations", Dimensions=[{"Name": "EndpointName", "Value": name}]
    )["Metrics"]
    dimensions = [{each["Name"]: each["Value"] for each in metric["Dimensions"]} for metric in found]
    of_variant = {"EndpointName": name, "VariantName": "AllTraffic"}
    assert sorted(dimensions, key=len) == [of_variant, {**of_variant, "EndpointConfigName": served}]


# ---- statistics and metric math


def test_data_that_anybody_puts_have_their_statistics(host: Host) -> None:
    namespace = unique("Test")
    put(host, namespace, "Seconds", *range(1, 101))
    found = data(
        host, *(query(f"m{n}", "Seconds", s, namespace) for n, s in enumerate(("Sum", "p99", "p50", "Maximum")))
    )
    assert found == {"m0": [5050.0], "m1": [99.0], "m2": [50.0], "m3": [100.0]}


def test_a_statistic_set_keeps_its_statistics(host: Host) -> None:
    namespace = unique("Test")
    values = {"SampleCount": 4.0, "Sum": 20.0, "Minimum": 2.0, "Maximum": 9.0}
    datum = {"MetricName": "Seconds", "StatisticValues": values}
    host.aws.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])
    assert statistics(host, "Seconds", namespace) == {**values, "Average": 5.0}


def test_an_expression_is_computed_from_the_queries_it_names(host: Host) -> None:
    namespace = unique("Test")
    put(host, namespace, "Errors", 3)
    put(host, namespace, "Invocations", 12)
    found = data(
        host,
        {"Id": "rate", "Expression": "errors / invocations * 100"},
        query("errors", "Errors", "Sum", namespace, ReturnData=False),
        query("invocations", "Invocations", "Sum", namespace, ReturnData=False),
    )
    assert found == {"rate": [25.0]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a / b * 100", [50.0, None, None]),
        ("FILL(a, 0) + FILL(b, 0)", [3.0, 3.0, 4.0]),
        ("FILL(a, REPEAT) - FILL(a, 0)", [0.0, 1.0, 0.0]),
        ("SUM([a, b])", [3.0, 3.0, 4.0]),
        ("IF(b > 1, a, 0)", [1.0, None, 0.0]),
        ("MAX(a, b) - MIN(a, b)", [1.0, 0.0, 4.0]),
        ("-a ^ 2", [-1.0, None, -16.0]),
        ("b > 1 AND b < 3", [1.0, 0.0, 0.0]),
    ],
)
def test_metric_math_works_period_by_period(expression: str, expected: list[float | None]) -> None:
    """User Guide, using-metric-math: where an operand has no data, or the divisor is 0, there is no result."""
    points: dict[str, Points] = {"a": [1.0, None, 4.0], "b": [2.0, 3.0, 0.0]}
    assert Expression(expression).points(points, 3) == expected


@pytest.mark.parametrize(
    "expression", ["SEARCH('{AWS/SageMaker}', 'Sum')", "a.b", "a +", "__import__('os')", "RATE(a)"]
)
def test_an_expression_that_cannot_be_computed_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="is not in the sandbox"):
        Expression(expression)


def test_values_are_found_by_their_time_in_whatever_order_they_come() -> None:
    metrics, key = Metrics(), MetricKey.of("N", "M", {})
    for at in (30.0, 10.0, 20.0):
        metrics.add(key, at, [at])
    assert list(metrics.values(key, 10.0, 30.0)) == [10.0, 20.0]
    assert metrics.points(key, "Sum", [0.0, 10.0, 20.0, 40.0], 10.0) == [None, 10.0, 20.0, None]


def test_a_statistic_that_there_is_not_is_refused() -> None:
    assert statistic_of("p100")([3.0, 1.0]) == 3.0
    with pytest.raises(ValueError, match="tm99 is not in the sandbox"):
        statistic_of("tm99")


# ---- alarms


def test_a_new_alarm_has_no_data_yet_and_is_shown_whole(host: Host) -> None:
    namespace = unique("Test")
    metrics = [
        {**query("errors", "Errors", "Sum", namespace, ReturnData=False)},
        {"Id": "twice", "Expression": "errors * 2", "Label": "twice", "ReturnData": True},
    ]
    name = put_alarm(host, namespace, Metrics=metrics, DatapointsToAlarm=1, TreatMissingData="notBreaching")
    alarm = described(host, name)
    assert (alarm["StateValue"], alarm["StateReason"]) == ("INSUFFICIENT_DATA", "Unchecked: Initial alarm creation")
    assert (alarm["Metrics"], alarm["TreatMissingData"], alarm["DatapointsToAlarm"]) == (metrics, "notBreaching", 1)


def test_an_alarm_follows_its_metric(host: Host) -> None:
    namespace = unique("Test")
    host.aws.impose(timeFactor=600)
    name = put_alarm(host, namespace, TreatMissingData="notBreaching")
    wait_for_state(host, name, "OK")
    host.aws.impose(timeFactor=1)
    put(host, namespace, "Errors", 5)
    host.aws.impose(timeFactor=10)
    alarm = wait_for_state(host, name, "ALARM")
    assert alarm["StateReason"].startswith("Threshold Crossed: 1 datapoint [5.0 (")
    host.aws.impose(timeFactor=600)
    wait_for_state(host, name, "OK")


def test_a_percentile_is_watched(host: Host) -> None:
    namespace = unique("Test")
    watching = {"Namespace": namespace, "MetricName": "Seconds", "ExtendedStatistic": "p99", "Period": 60}
    client = host.aws.client("cloudwatch")
    crossing = {"Threshold": 98.0, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1}
    host.aws.impose(timeFactor=10)
    put(host, namespace, "Seconds", *range(1, 101))
    client.put_metric_alarm(AlarmName=namespace, **watching, **crossing)
    assert "[99.0 (" in wait_for_state(host, namespace, "ALARM")["StateReason"]


def test_a_state_that_is_set_lasts_until_the_next_evaluation(host: Host) -> None:
    """SetAlarmState: "Metric alarms returns to their actual state quickly, often within seconds"."""
    name = put_alarm(host, unique("Test"), TreatMissingData="notBreaching")
    client = host.aws.client("cloudwatch")
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    alarm = described(host, name)
    assert (alarm["StateValue"], alarm["StateReason"]) == ("ALARM", "by hand")
    host.aws.impose(timeFactor=600)
    wait_for_state(host, name, "OK")


def test_a_state_that_is_set_holds_where_missing_data_are_ignored(host: Host) -> None:
    """User Guide, alarms-and-missing-data: with `ignore`, "the current alarm state is maintained"."""
    held = put_alarm(host, unique("Test"), TreatMissingData="ignore")
    evaluated = put_alarm(host, unique("Test"), TreatMissingData="notBreaching")
    client = host.aws.client("cloudwatch")
    client.set_alarm_state(AlarmName=held, StateValue="ALARM", StateReason="by hand")
    host.aws.impose(timeFactor=600)
    for _ in range(2):
        client.set_alarm_state(AlarmName=evaluated, StateValue="ALARM", StateReason="by hand")
        wait_for_state(host, evaluated, "OK")
    assert described(host, held)["StateValue"] == "ALARM"


def test_what_an_alarm_watches_can_be_asked_for_the_newest_first(host: Host) -> None:
    namespace = unique("Test")
    metrics = [
        {**query("errors", "Errors", "Sum", namespace, ReturnData=False)},
        {"Id": "twice", "Expression": "errors * 2", "Label": "twice", "ReturnData": True},
    ]
    metrics[0]["MetricStat"]["Period"] = 60
    now = datetime.now(UTC)
    client = host.aws.client("cloudwatch")
    for minutes, value in ((3, 1.0), (1, 2.0)):
        datum = {"MetricName": "Errors", "Value": value, "Timestamp": now - minutes * MINUTE}
        client.put_metric_data(Namespace=namespace, MetricData=[datum])
    watched = described(host, put_alarm(host, namespace, Metrics=metrics))["Metrics"]
    [result] = client.get_metric_data(
        MetricDataQueries=watched, StartTime=now - 10 * MINUTE, EndTime=now + MINUTE, ScanBy="TimestampDescending"
    )["MetricDataResults"]
    assert (result["Id"], result["Values"]) == ("twice", [4.0, 2.0])


def test_an_alarm_that_is_put_again_keeps_its_state(host: Host) -> None:
    """PutMetricAlarm: "When you update an existing alarm, its state is left unchanged"."""
    namespace = unique("Test")
    name = put_alarm(host, namespace)
    client = host.aws.client("cloudwatch")
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    put_alarm(host, namespace, AlarmName=name, Threshold=9.0)
    alarm = described(host, name)
    assert (alarm["StateValue"], alarm["StateReason"], alarm["Threshold"]) == ("ALARM", "by hand", 9.0)


def test_an_alarm_that_cannot_be_evaluated_is_refused(host: Host) -> None:
    searching = [{"Id": "s", "Expression": "SEARCH('x', 'Sum', 60)", "ReturnData": True, "Period": 60}]
    twice = [query("a", "Errors", "Sum", "N", ReturnData=True), query("b", "Errors", "Sum", "N", ReturnData=True)]
    for metrics, message in ((searching, "is not in the sandbox"), (twice, "Exactly one of the Metrics")):
        with pytest.raises(ClientError, match=message):
            put_alarm(host, "N", AlarmName="refused", Metrics=metrics)
    assert host.aws.client("cloudwatch").describe_alarms(AlarmNames=["refused"])["MetricAlarms"] == []


# ---- the history of alarms


def history(host: Host, **asked: Any) -> dict[str, Any]:
    answer: dict[str, Any] = host.aws.client("cloudwatch").describe_alarm_history(
        HistoryItemType="StateUpdate", **asked
    )
    return answer


def summaries(answer: dict[str, Any]) -> list[str]:
    return [item["HistorySummary"].removeprefix("Alarm updated from ") for item in answer["AlarmHistoryItems"]]


def set_states(host: Host, name: str, *states: str) -> None:
    for state in states:
        host.aws.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason=f"{state} by hand")


def test_the_history_of_an_alarm_has_its_states_the_newest_first_unless_asked_for_otherwise(host: Host) -> None:
    """API DescribeAlarmHistory, ScanBy; the order without it is that of the AWS CLI's example."""
    name = put_alarm(host, unique("Test"), TreatMissingData="ignore")
    set_states(host, name, "ALARM", "ALARM", "OK")
    newest_first = ["ALARM to OK", "INSUFFICIENT_DATA to ALARM"]
    assert summaries(history(host, AlarmName=name)) == newest_first
    assert summaries(history(host, AlarmName=name, ScanBy="TimestampDescending")) == newest_first
    assert summaries(history(host, AlarmName=name, ScanBy="TimestampAscending")) == newest_first[::-1]


def test_the_data_of_a_state_update_are_json_with_both_states(host: Host) -> None:
    """AWS CLI, example of describe-alarm-history: a state that was set by hand has no stateReasonData."""
    namespace = unique("Test")
    host.aws.impose(timeFactor=10)
    put(host, namespace, "Errors", 5)
    name = put_alarm(host, namespace, TreatMissingData="ignore")
    wait_for_state(host, name, "ALARM")
    host.aws.impose(timeFactor=1)
    set_states(host, name, "OK")
    by_hand, evaluated = history(host, AlarmName=name)["AlarmHistoryItems"][:2]
    assert (evaluated["AlarmName"], evaluated["AlarmType"]) == (name, "MetricAlarm")
    assert (evaluated["HistoryItemType"], evaluated["HistorySummary"]) == (
        "StateUpdate",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
    )
    fired = json.loads(evaluated["HistoryData"])["newState"]
    assert fired["stateReason"].startswith("Threshold Crossed: 1 datapoint [5.0 (")
    assert fired["stateReasonData"]["recentDatapoints"] == [5.0]
    assert json.loads(by_hand["HistoryData"]) == {
        "version": "1.0",
        "oldState": fired,
        "newState": {"stateValue": "OK", "stateReason": "OK by hand"},
    }


def test_the_history_of_an_alarm_is_asked_for_between_two_dates(host: Host) -> None:
    """API DescribeAlarmHistory, StartDate and EndDate."""
    name = put_alarm(host, unique("Test"), TreatMissingData="ignore")
    set_states(host, name, "ALARM")
    between = datetime.now(UTC)
    set_states(host, name, "OK")
    assert summaries(history(host, AlarmName=name, StartDate=between)) == ["ALARM to OK"]
    assert summaries(history(host, AlarmName=name, EndDate=between)) == ["INSUFFICIENT_DATA to ALARM"]
    assert summaries(history(host, AlarmName=name, StartDate=between, EndDate=between)) == []


def test_the_history_of_an_alarm_comes_in_pages(host: Host) -> None:
    """API DescribeAlarmHistory: MaxRecords of 1 to 100, NextToken, and the error InvalidNextToken."""
    name = put_alarm(host, unique("Test"), TreatMissingData="ignore")
    set_states(host, name, "ALARM", "OK", "ALARM")
    first = history(host, AlarmName=name, MaxRecords=2)
    second = history(host, AlarmName=name, MaxRecords=2, NextToken=first["NextToken"])
    assert summaries(first) == ["OK to ALARM", "ALARM to OK"]
    assert (summaries(second), "NextToken" in second) == (["INSUFFICIENT_DATA to ALARM"], False)
    whole = history(host, AlarmName=name, MaxRecords=3)
    assert (len(summaries(whole)), "NextToken" in whole) == (3, False)
    with pytest.raises(ClientError, match=r"\(InvalidNextToken\)"):
        history(host, AlarmName=name, NextToken="x")
    with pytest.raises(ClientError, match="Member must have value less than or equal to 100"):
        history(host, AlarmName=name, MaxRecords=101)


def test_the_history_is_of_one_alarm_and_outlives_it(host: Host) -> None:
    """API DescribeAlarmHistory: "CloudWatch retains the history of an alarm even if you delete the alarm"."""
    names = [put_alarm(host, unique("Test"), TreatMissingData="ignore") for _ in range(2)]
    for name in names:
        set_states(host, name, "ALARM")
    host.aws.client("cloudwatch").delete_alarms(AlarmNames=names)
    (item,) = history(host, AlarmName=names[0])["AlarmHistoryItems"]
    assert item["AlarmName"] == names[0]
    assert set(names) <= {item["AlarmName"] for item in history(host)["AlarmHistoryItems"]}


def test_the_history_of_metric_alarms_is_left_out_where_only_others_are_asked_for(host: Host) -> None:
    """API DescribeAlarmHistory, AlarmTypes."""
    name = put_alarm(host, unique("Test"), TreatMissingData="ignore")
    set_states(host, name, "ALARM")
    assert summaries(history(host, AlarmName=name, AlarmTypes=["CompositeAlarm"])) == []
    assert len(summaries(history(host, AlarmName=name, AlarmTypes=["CompositeAlarm", "MetricAlarm"]))) == 1


def test_other_items_of_the_history_are_not_in_the_sandbox(host: Host) -> None:
    with pytest.raises(ClientError, match="is not in the sandbox"):
        host.aws.client("cloudwatch").describe_alarm_history(HistoryItemType="Action")
