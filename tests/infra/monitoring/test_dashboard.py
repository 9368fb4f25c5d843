"""The body of the dashboard: which graphs an endpoint of each mode has, of which metrics, and where they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from infra.aws import metrics
from infra.aws.console import dashboard_url
from infra.aws.mode import Mode
from infra.monitoring.dashboard import dashboard_body
from infra.settings.load import load
from infra.settings.stack import Settings
from sandbox.aws.dashboards import problems
from tests.infra.mock_runtime import changed, changed_endpoint, run, stack_file, texts
from tests.infra.recorder import Deployment

ARN = "arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:{}"
RELEASES = {
    "sagemaker-endpoint": [
        {"configuration": "sagemaker-endpoint-2", "result": "rolledBack", "began": 1795846500.0, "ended": 1795846590.0},
        {"configuration": "sagemaker-endpoint-1", "result": "succeeded", "began": 1795760100.0, "ended": 1795760190.0},
    ]
}
MODEL = {"model": {"artifact": "artifacts/m.tar.gz"}}


def settings(stack: str = "prod", **endpoints: Mapping[str, Any]) -> Settings:
    """Those of a stack file, with other endpoints."""
    config = stack_file(stack)
    if endpoints:
        config["triton-sagemaker:endpoints"] = {name: MODEL | {**keys} for name, keys in endpoints.items()}
    return load(texts(config), "triton-sagemaker")


def body(stack: str = "prod", **endpoints: Mapping[str, Any]) -> dict[str, Any]:
    return dashboard_body(stack, settings(stack, **endpoints), [], {})


def graphs(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of the graphs by their titles."""
    return {
        widget["properties"]["title"]: widget["properties"] for widget in shown["widgets"] if widget["type"] == "metric"
    }


def names(graph: dict[str, Any]) -> set[str]:
    """The metrics of a graph."""
    return {metric[1] for metric in graph["metrics"] if len(metric) > 1}


def labels(graph: dict[str, Any]) -> list[str]:
    """Those of the visible lines."""
    return [metric[-1]["label"] for metric in graph["metrics"] if metric[-1].get("visible", True)]


def expressions(graph: dict[str, Any]) -> dict[str, str]:
    """By label, with the metrics and their statistics in place of their IDs."""
    ids = {
        metric[-1]["id"]: f"{metric[-1]['stat']}({metric[1]})"
        for metric in graph["metrics"]
        if len(metric) > 1 and "id" in metric[-1]
    }
    return {
        metric[-1]["label"]: re.sub(r"\bm\d+\b", lambda id_: ids[id_[0]], metric[-1]["expression"])
        for metric in graph["metrics"]
        if "expression" in metric[-1]
    }


EXTREMES: dict[str, dict[str, Any]] = {
    "e": {
        "variants": {
            f"v{number}": MODEL | {"instanceType": "ml.g5.12xlarge", "allowSingleInstance": True}
            for number in range(10)
        },
        "model": None,
        "alarms": {"errorRatePercent": 5},
    },
}
EXTREMES["e"].pop("model")


@pytest.mark.parametrize("stack", ["prod", "modes"])
def test_cloudwatch_accepts_the_body(stack: str) -> None:
    arns = [ARN.format(number) for number in range(101)]
    shown = dashboard_body(stack, settings(stack), arns, RELEASES)
    assert problems(json.dumps(shown)) == []


def test_cloudwatch_accepts_the_largest_endpoint() -> None:
    config = stack_file("prod") | {"triton-sagemaker:endpoints": EXTREMES}
    shown = dashboard_body("prod", load(texts(config), "triton-sagemaker"), [], {})
    assert problems(json.dumps(shown)) == []
    assert len(labels(graphs(shown)["ModelLatency"])) == 30
    assert "v3 p99" in labels(graphs(shown)["ModelLatency"])


@pytest.mark.parametrize("stack", ["prod", "modes"])
def test_widgets_fill_the_grid_without_overlaps(stack: str) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard_body(stack, settings(stack), [ARN.format(1)], {})["widgets"]:
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert columns.stop <= 24 and not cells & taken
        taken |= cells
    assert len(taken) == 24 * (max(y for _, y in taken) + 1), "no gaps"


TRAFFIC = ["Requests", "Errors", "ModelLatency", "OverheadLatency"]
FLEET = ["Instances", "CPU, memory and disk"]
TITLES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "real time": ({}, [*TRAFFIC, *FLEET]),
    "on GPUs": ({"instanceType": "ml.g5.xlarge"}, [*TRAFFIC, *FLEET, "GPU"]),
    "asynchronous": ({"asynchronous": {}}, [*TRAFFIC[:3], "Backlog", "Age of the oldest request", *FLEET]),
    "serverless": (
        {"serverless": {"memoryMb": 2048, "maxConcurrency": 5}},
        [*TRAFFIC, "Concurrency", "Cold starts", "Memory"],
    ),
    "always warm": (
        {"serverless": {"memoryMb": 2048, "maxConcurrency": 5, "provisionedConcurrency": 5}},
        [*TRAFFIC, "Concurrency", "Memory"],
    ),
    "batch": ({"batch": {}}, ["CPU and memory of transform jobs"]),
}


@pytest.mark.parametrize("kind", TITLES)
def test_an_endpoint_has_the_graphs_of_its_mode(kind: str) -> None:
    keys, titles = TITLES[kind]
    assert list(graphs(body("modes", e=keys))) == titles


@pytest.mark.parametrize("kind", [kind for kind in TITLES if kind != "batch"])
def test_a_graph_has_only_metrics_that_the_mode_publishes(kind: str) -> None:
    keys, _ = TITLES[kind]
    mode = settings("modes", e=keys).endpoints["e"].mode
    known = [metric for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)]
    published = {(metric.namespace, metric.name) for metric in known if mode in metric.modes}
    shown = [metric for graph in graphs(body("modes", e=keys)).values() for metric in graph["metrics"]]
    assert {(metric[0], metric[1]) for metric in shown if len(metric) > 1} <= published


@pytest.mark.parametrize("kind", [kind for kind in TITLES if kind != "batch"])
def test_metrics_have_the_dimensions_that_they_are_published_with(kind: str) -> None:
    shown = [metric for graph in graphs(body("modes", e=TITLES[kind][0])).values() for metric in graph["metrics"]]
    of_queue = {
        metric.name for metric in (metrics.BACKLOG, metrics.BACKLOG_PER_INSTANCE, metrics.AGE_OF_OLDEST_REQUEST)
    }
    for metric in (metric for metric in shown if len(metric) > 1):
        variant = [] if metric[1] in of_queue else ["VariantName", "AllTraffic"]
        assert metric[2:-1] == ["EndpointName", "e", *variant]


def test_counts_and_rates_do_not_depend_on_the_period() -> None:
    of_real_time, of_queue = graphs(body("modes", e={})), graphs(body("modes", e={"asynchronous": {}}))
    assert expressions(of_real_time["Requests"]) == {"requests": "60 * Sum(Invocations) / PERIOD(Sum(Invocations))"}
    assert expressions(of_real_time["Errors"])["Invocation4XXErrors"] == (
        "100 * Sum(Invocation4XXErrors) / Sum(Invocations)"
    )
    processed = "MAX([Sum(InvocationsProcessed), Sum(InvocationsProcesssed), Sum(InvocationFailures)])"
    assert expressions(of_queue["Errors"])["InvocationFailures"] == f"100 * Sum(InvocationFailures) / {processed}"
    assert set(expressions(of_queue["Errors"])) == {"InvocationFailures", "Invocation5XXErrors", "Invocation4XXErrors"}
    assert expressions(of_real_time["ModelLatency"])["p90"] == "p90(ModelLatency) / 1000"


@pytest.mark.parametrize(
    ("scaling", "count", "levels"),
    [
        (None, "SampleCount(CPUUtilization)", {"configured": 3}),
        ({"min": 2, "max": 10}, "SampleCount(CPUUtilization)", {"maximum": 10, "minimum": 2}),
        (
            {"min": 0, "max": 4, "backlogPerInstance": 5},
            "FILL(SampleCount(CPUUtilization), 0)",
            {"maximum": 4, "minimum": 0},
        ),
    ],
)
def test_the_fleet_is_counted_and_shown_between_its_limits(
    scaling: dict[str, int] | None, count: str, levels: dict[str, int]
) -> None:
    keys = {"autoscaling": scaling} if scaling else {"initialInstanceCount": 3}
    queue: dict[str, Any] = {"asynchronous": {}} if scaling and scaling["min"] == 0 else {}
    graph = graphs(body("modes", e=keys | queue))["Instances"]
    assert expressions(graph) == {"running": f"60 * {count} / PERIOD(SampleCount(CPUUtilization))"}
    assert {level["label"]: level["value"] for level in graph["annotations"]["horizontal"]} == levels


def test_utilization_is_in_percent_of_the_whole_instance() -> None:
    shown = graphs(body("modes", e={"instanceType": "ml.g5.12xlarge"}))
    assert expressions(shown["CPU, memory and disk"]) == {"CPU": "Average(CPUUtilization) / 48"}
    assert expressions(shown["GPU"]) == {
        "GPU": "Average(GPUUtilization) / 4",
        "GPUMemory": "Maximum(GPUMemoryUtilization) / 4",
    }
    assert {graph["yAxis"]["left"]["max"] for graph in (shown["CPU, memory and disk"], shown["GPU"])} == {100}


def test_only_variants_with_gpus_have_lines_of_gpus() -> None:
    config = stack_file("modes")
    variants = {"A": MODEL | {"instanceType": "ml.g5.xlarge"}, "B": MODEL}
    config["triton-sagemaker:endpoints"] = {"e": {"variants": variants}}
    shown = graphs(dashboard_body("modes", load(texts(config), "triton-sagemaker"), [], {}))
    assert labels(shown["GPU"]) == ["A GPU", "A GPUMemory"]
    assert labels(shown["Requests"]) == ["A requests", "B requests"]


def test_thresholds_of_alarms_are_lines_in_the_unit_of_their_graph() -> None:
    alarms = {"p99ModelLatencyMilliseconds": 500, "ageOfOldestRequestSeconds": 600, "backlogSize": 70}
    shown = graphs(body("modes", e={"asynchronous": {}, "alarms": alarms}))
    levels = {
        title: graph["annotations"]["horizontal"][0]["value"]
        for title, graph in shown.items()
        if graph["annotations"] and graph["annotations"]["horizontal"][0]["label"] == "alarm"
    }
    assert levels == {"ModelLatency": 500, "Backlog": 70, "Age of the oldest request": 600}


def levels(graph: dict[str, Any]) -> dict[str, float]:
    return {each["label"]: each["value"] for each in graph["annotations"].get("horizontal", [])}


def test_thresholds_of_saturation_are_lines_and_equal_ones_are_one() -> None:
    """Those that production has by default."""
    shown = graphs(body("prod", e={"instanceType": "ml.g5.xlarge", "initialInstanceCount": 2, "alarms": ALARMS}))
    assert levels(shown["CPU, memory and disk"]) == {"alarm: CPU, Memory": 90, "alarm: Disk": 80}
    assert levels(shown["GPU"]) == {"alarm: GPU, GPUMemory": 95}
    outside_of_production = graphs(body("modes", e={"alarms": ALARMS}))
    assert levels(outside_of_production["CPU, memory and disk"]) == {}


ALARMS = {"errorRatePercent": 5}


def test_the_composite_alarm_comes_first() -> None:
    topic = "arn:aws:sns:ap-northeast-1:123456789012:releases"
    dashboard = of(changed("prod", notifications={"topicArn": topic}))
    assert dashboard is not None
    [widget] = [each for each in json.loads(dashboard["dashboardBody"])["widgets"] if each["type"] == "alarm"]
    shown = [arn.rpartition(":")[2] for arn in widget["properties"]["alarms"]]
    assert (shown[0], len(shown)) == ("sagemaker-endpoint", 10), "the mock runtime names it as the program does"


def test_releases_are_bands_on_the_traffic_of_their_endpoint_alone() -> None:
    shown = dashboard_body("prod", settings(), [], RELEASES)
    bands = {title: graph["annotations"].get("vertical") for title, graph in graphs(shown).items()}
    assert {title for title, marks in bands.items() if marks} == set(TRAFFIC)
    assert bands["Requests"] == [
        [
            {"label": "release 2 was rolled back", "value": "2026-11-28T06:15:00Z", "color": "#d62728"},
            {"value": "2026-11-28T06:16:30Z"},
        ],
        [
            {"label": "release 1", "value": "2026-11-27T06:15:00Z", "color": "#2ca02c"},
            {"value": "2026-11-27T06:16:30Z"},
        ],
    ]


def test_alarms_are_on_top_and_at_most_100_in_a_widget() -> None:
    arns = [ARN.format(number) for number in range(150)]
    alarms = [each for each in dashboard_body("prod", settings(), arns, {})["widgets"] if each["type"] == "alarm"]
    assert [len(each["properties"]["alarms"]) for each in alarms] == [100, 50]
    assert [arn for each in alarms for arn in each["properties"]["alarms"]] == arns
    first = next(each for each in dashboard_body("prod", settings(), arns, {})["widgets"] if each["type"] == "metric")
    assert all(each["y"] < first["y"] for each in alarms)


def of(deployment: Deployment) -> dict[str, Any] | None:
    found = [each for each in deployment.resources if each.type == "aws:cloudwatch/dashboard:Dashboard"]
    return dict(found[0].inputs) if found else None


@pytest.mark.parametrize(
    ("stack", "monitoring", "expected"),
    [
        ("prod", {}, True),
        ("prod", {"dashboard": False}, False),
        ("dev", {}, False),
        ("dev", {"dashboard": True}, True),
        ("modes", {"dashboard": True}, True),
    ],
)
def test_production_has_a_dashboard_unless_the_settings_say_otherwise(
    stack: str, monitoring: dict[str, bool], expected: bool
) -> None:
    dashboard = of(changed(stack, monitoring=monitoring))
    assert (dashboard is not None) is expected
    if dashboard is not None:
        assert dashboard["dashboardName"] == f"triton-{stack}"
        assert problems(dashboard["dashboardBody"]) == []


def test_the_dashboard_has_the_alarms_for_operators_and_none_of_a_fleet() -> None:
    deployment = run("prod")
    alarms = {each.name: each for each in deployment.resources if each.type.endswith(":MetricAlarm")}
    dashboard = of(deployment)
    assert dashboard is not None
    [widget] = [each for each in json.loads(dashboard["dashboardBody"])["widgets"] if each["type"] == "alarm"]
    shown = {arn.rpartition(":")[2] for arn in widget["properties"]["alarms"]}
    assert shown == {name for name in alarms if "rollback" not in name and not name.endswith("-stop")}
    assert len(shown) == 9


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("ap-northeast-1", "ap-northeast-1.console.aws.amazon.com"),
        ("cn-north-1", "console.amazonaws.cn"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_the_console_of_a_region_shows_the_dashboard(region: str, host: str) -> None:
    url = f"https://{host}/cloudwatch/home?region={region}#dashboards/dashboard/triton-prod"
    assert dashboard_url(region, "triton-prod") == url
    if region == "ap-northeast-1":
        assert run("prod").outputs["dashboard"] == url and "dashboard" not in run("dev").outputs


def test_the_dashboard_is_that_of_all_endpoints() -> None:
    dashboard = of(changed_endpoint("modes", "iris-serverless", alarms={"concurrencyUtilizationPercent": 90}))
    assert dashboard is not None
    texts_shown = [each["properties"].get("markdown", "") for each in json.loads(dashboard["dashboardBody"])["widgets"]]
    headings = [text.removeprefix("## ") for text in texts_shown if text.startswith("## ")]
    assert headings == [f"iris-{str(mode).replace(' ', '-')} · {mode}" for mode in Mode]
