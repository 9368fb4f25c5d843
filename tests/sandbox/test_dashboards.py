"""Dashboards as CloudWatch accepts them. The rules are those of "Dashboard Body Structure and Syntax" (CloudWatch API
Reference), unless a test names an answer that people show."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.cli.dashboard import draw
from infra.monitoring.dashboard import dashboard_body
from infra.settings.load import load
from sandbox.aws.dashboards import NotValidated, name_problem, problems, repeated
from tests.infra.mock_runtime import texts
from tests.sandbox.conftest import Host, eventually, unique
from tests.sandbox.test_deployment import ask, config
from tests.sandbox.test_host_metrics import named

METRIC: list[Any] = ["AWS/EC2", "CPUUtilization", "InstanceId", "i-012345"]


def graph(*metrics: Any, **properties: Any) -> dict[str, Any]:
    listed = {"metrics": list(metrics) or [METRIC]}
    return {"type": "metric", "properties": {"region": "us-east-1", **listed, **properties}}


def body(*widgets: dict[str, Any], **more: Any) -> str:
    return json.dumps({"widgets": list(widgets), **more})


def found(*widgets: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return [(each["DataPath"], each["Message"]) for each in problems(body(*widgets, **more))]


def text(**place: Any) -> dict[str, Any]:
    return {"type": "text", "properties": {"markdown": "Hello world"}, **place}


def alarm(*arns: str, **properties: Any) -> dict[str, Any]:
    return {"type": "alarm", "properties": {"alarms": list(arns), **properties}}


LINE = {"value": 20, "label": "high", "color": "#9467bd", "fill": "above", "yAxis": "right", "visible": True}
RELEASE = [{"value": "2018-08-27T15:25:26Z", "label": "began"}, {"value": "2018-08-28T15:25:26Z", "label": "ended"}]


@pytest.mark.parametrize(
    "valid",
    [
        body(),
        body(text(x=23, y=0, width=24, height=1000), start="-PT6H", periodOverride="inherit"),
        body(text(), start="-P3M"),
        body(text(), start="2018-12-17T06:00:00.000Z", end="2018-12-18T06:00:00.000Z"),
        body(graph()),
        body(graph(["AWS/EC2", "CPUUtilization"])),
        body(graph(METRIC, [".", ".", ".", "i-abc"], ["...", "i-123", {"yAxis": "right", "label": "third"}])),
        body(graph([*METRIC, {"id": "m1", "visible": False}], [{"expression": "SUM(METRICS())", "id": "e3"}])),
        body(graph(period=300, stat="p99.9", view="timeSeries", stacked=False, legend={"position": "right"})),
        body(graph(yAxis={"left": {"min": 0, "max": 100, "label": "%", "showUnits": False}}, view="gauge")),
        body(graph(annotations={"horizontal": [LINE, [LINE, {"value": 9.5}]], "vertical": [RELEASE, RELEASE[0]]})),
        body({"type": "metric", "properties": {"region": "us-east-1", "annotations": {"alarms": ["arn"]}}}),
        body(alarm("arn", sortBy="timestamp", states=["ALARM"], title="all")),
    ],
)
def test_what_the_guide_shows_is_valid(valid: str) -> None:
    assert problems(valid) == []


ALLOWED = "Should be equal to one of the allowed values"
HEX = '"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"'


@pytest.mark.parametrize(
    ("widget", "path", "message"),
    [
        (text(x=24, y=0), "/x", "Should be <= 23"),
        (text(x=0, y=-1), "/y", "Should be >= 0"),
        (text(x=0), "", "Should have property y when property x is present"),
        (text(y=0), "", "Should have property x when property y is present"),
        (text(width=0), "/width", "Should be >= 1"),
        (text(width=25), "/width", "Should be <= 24"),
        (text(height=1001), "/height", "Should be <= 1000"),
        (text(width=1.5), "/width", "Should be integer"),
        ({"type": "text"}, "", "Should have required property 'properties'"),
        ({"type": "image", "properties": {}}, "/type", ALLOWED),
        ({"type": "text", "properties": {}}, "/properties", "Should have required property 'markdown'"),
        (alarm(), "/properties/alarms", "Should NOT have less than 1 items"),  # …alerting-on-aws#7
        (alarm(*["arn"] * 101), "/properties/alarms", "Should NOT have more than 100 items"),
        (alarm("arn", sortBy="name"), "/properties/sortBy", ALLOWED),
        (graph(*[METRIC] * 501), "/properties/metrics", "Should NOT have more than 500 items"),
        (graph(period=90), "/properties/period", "Should be multiple of 60"),
        (graph(period=0), "/properties/period", "Should be >= 60"),
        (graph(view="lines"), "/properties/view", ALLOWED),
        (graph(legend={"position": "top"}), "/properties/legend/position", ALLOWED),
        (graph(view="gauge"), "/properties/yAxis", "A gauge should have a minimum and a maximum of the left axis"),
        (graph([*METRIC, {"color": "red"}]), "/properties/metrics/0/4/color", f"Should match pattern {HEX}"),
        (graph([*METRIC, {"yAxis": "top"}]), "/properties/metrics/0/4/yAxis", ALLOWED),
        (graph([*METRIC, {"period": 61}]), "/properties/metrics/0/4/period", "Should be multiple of 60"),
        (
            graph([*METRIC, {"id": "M1"}]),
            "/properties/metrics/0/4/id",
            'Should match pattern "^[a-z][A-Za-z0-9_]*$"',
        ),
        (graph(METRIC, [*METRIC, {"expression": "m1"}]), "/properties/metrics/1", "Should NOT have more than 1 items"),
        (
            graph([".", "CPUUtilization"]),
            "/properties/metrics/0",
            '"." and "..." repeat the metric before, which has no such part',
        ),
        (
            graph(METRIC, [".", ".", ".", ".", "."]),
            "/properties/metrics/1",
            '"." and "..." repeat the metric before, which has no such part',
        ),
        (
            graph(["AWS/EC2", "CPUUtilization", "InstanceId"]),
            "/properties/metrics/0",
            "Should have a namespace, a metric name, and a value for each dimension",
        ),
        (
            graph(annotations={"horizontal": [LINE | {"yAxis": "annotations"}]}),  # aws/aws-cdk#25496
            "/properties/annotations/horizontal/0/yAxis",
            ALLOWED,
        ),
        (
            graph(annotations={"horizontal": [{"label": "high"}]}),
            "/properties/annotations/horizontal/0",
            "Should have required property 'value'",
        ),
        (
            graph(annotations={"horizontal": [[LINE]]}),
            "/properties/annotations/horizontal/0",
            "Should NOT have less than 2 items",
        ),
        (
            graph(annotations={"vertical": [RELEASE[0] | {"fill": "above"}]}),
            "/properties/annotations/vertical/0/fill",
            ALLOWED,
        ),
        (
            graph(annotations={"alarms": ["arn"]}),
            "/properties/annotations",
            "An alarm annotation excludes metrics and other annotations",
        ),
        (
            {"type": "metric", "properties": {"metrics": [METRIC]}},
            "/properties",
            "Should have required property 'region'",
        ),
    ],
)
def test_a_broken_rule_is_found_at_its_path(widget: dict[str, Any], path: str, message: str) -> None:
    assert found(text(), widget) == [(f"/widgets/1{path}", message)]


def test_a_time_that_is_not_iso_8601_is_refused() -> None:
    [(path, _)] = found(graph(annotations={"vertical": [{"value": "yesterday"}]}))
    assert path == "/widgets/0/properties/annotations/vertical/0/value"


def test_a_metric_that_is_no_array_has_the_two_messages_of_aws() -> None:
    """pulumi/pulumi#13059."""
    expected = "has to be an array of array of strings, with an optional metricRenderer object as last element"
    of_metrics = ["Should be array", f'Field "metrics" {expected}']
    assert found(graph(*METRIC)) == [
        (f"/widgets/0/properties/metrics/{at}", message) for at in range(4) for message in of_metrics
    ]


def test_a_graph_without_data_has_the_three_messages_of_aws() -> None:
    """aws-samples/aws-eda-slurm-cluster#116."""
    assert found({"type": "metric", "properties": {"region": "us-east-1"}}) == [
        ("/widgets/0/properties", "Should have required property 'metrics'"),
        (
            "/widgets/0/properties",
            "The metric widget should have specified a region and a data source or an alarm annotation",
        ),
        ("/widgets/0/properties", "Should have required property 'annotations'"),
    ]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"periodOverride": "never"}, "/periodOverride"),
        ({"start": "6 hours"}, "/start"),
        ({"end": "2018-12-18T06:00:00Z"}, ""),
        ({"widgets": [text()] * 501}, "/widgets"),
        ({"widgets": {}}, "/widgets"),
    ],
)
def test_the_dashboard_as_a_whole_has_rules_too(more: dict[str, Any], path: str) -> None:
    assert [at for at, _ in found(**more)] == [path]


@pytest.mark.parametrize("broken", ["", "{", "[]", "5", "{}"])
def test_a_body_that_is_no_dashboard_is_refused(broken: str) -> None:
    assert problems(broken)


@pytest.mark.parametrize(
    "unknown",
    [
        body({"type": "log", "properties": {"region": "us-east-1", "query": "SOURCE 'a'"}}),
        body(text(), variables=[{"type": "property"}]),
    ],
)
def test_what_is_not_validated_is_refused_rather_than_accepted(unknown: str) -> None:
    with pytest.raises(NotValidated):
        problems(unknown)


@pytest.mark.parametrize(
    ("metric", "full"),
    [
        ([".", ".", ".", "b"], ["N", "M", "D", "b"]),
        (["...", "b"], ["N", "M", "D", "b"]),
        (["...", "b", {"label": "x"}], ["N", "M", "D", "b"]),
        ([".", "O", "..."], ["N", "O", "D", "a"]),
        (["N2", "M2"], ["N2", "M2"]),
        ([".", ".", ".", ".", "."], None),
    ],
)
def test_dots_repeat_the_metric_before(metric: list[Any], full: list[str] | None) -> None:
    assert repeated(metric, ["N", "M", "D", "a"]) == full


@pytest.mark.parametrize(
    ("name", "valid"), [("triton-prod_1", True), ("a" * 255, True), ("a" * 256, False), ("", False), ("a/b", False)]
)
def test_names_are_those_of_put_dashboard(name: str, valid: bool) -> None:
    assert (name_problem(name) is None) is valid


@pytest.fixture
def cloudwatch(scripted_host: Host) -> Any:
    return scripted_host.aws.client("cloudwatch")


def refused(call: Callable[[], Any]) -> ClientError:
    with pytest.raises(ClientError) as error:
        call()
    return error.value


def test_a_dashboard_is_kept_read_replaced_and_deleted(cloudwatch: Any) -> None:
    name = unique("dashboard")
    assert cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body(text()))["DashboardValidationMessages"] == []
    cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body(graph()))
    kept = cloudwatch.get_dashboard(DashboardName=name)
    assert json.loads(kept["DashboardBody"]) == json.loads(body(graph()))
    assert kept["DashboardArn"] == f"arn:aws:cloudwatch::123456789012:dashboard/{name}"
    cloudwatch.delete_dashboards(DashboardNames=[name])
    error = refused(lambda: cloudwatch.get_dashboard(DashboardName=name))
    assert error.response["Error"]["Code"] == "ResourceNotFound"


def test_an_invalid_body_is_refused_with_its_messages_and_the_dashboard_stays(cloudwatch: Any) -> None:
    name = unique("dashboard")
    cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body(text()))
    error = refused(lambda: cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body(graph(period=90))))
    assert error.response["Error"]["Code"] == "InvalidParameterInput"
    assert error.response["dashboardValidationMessages"] == [
        {"DataPath": "/widgets/0/properties/period", "Message": "Should be multiple of 60"}
    ]
    assert '"dataPath": "/widgets/0/properties/period"' in str(error)
    assert json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]) == json.loads(body(text()))


def test_what_only_aws_can_judge_is_not_accepted(cloudwatch: Any) -> None:
    log = body({"type": "log", "properties": {"region": "us-east-1", "query": "SOURCE 'a'"}})
    error = refused(lambda: cloudwatch.put_dashboard(DashboardName=unique("dashboard"), DashboardBody=log))
    assert "not in the sandbox" in str(error)


def shown(figure: Any) -> dict[str, dict[str, list[float]]]:
    """The values of the lines that a picture has, by the titles of its graphs and by label."""
    titles = [each.get_text() for each in figure.texts if each.get_fontweight() == "bold"]
    graphs = [axes for axes in figure.axes if axes.get_lines() and not axes.get_label().startswith("twin")]
    legends = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert len(graphs) == len(legends)
    named = [title for title in titles if title in EXPECTED]
    return {
        title: {
            line.get_label(): [float(value) for value in line.get_ydata()]
            for line in axes.get_lines()
            if not line.get_label().startswith("_")
        }
        for title, axes in zip(named, graphs, strict=True)
    }


EXPECTED = ["Requests", "Errors", "ModelLatency", "OverheadLatency", "Instances", "CPU, memory and disk"]


def test_a_picture_has_the_numbers_of_requests_errors_and_instances(unhurried_host: Host) -> None:
    host = unhurried_host
    endpoint = host.endpoint(config(host, "x", instances=3))
    failing = host.endpoint(config(host, "x", status=500))
    for _ in range(7):
        ask(host, endpoint)
    for _ in range(2):
        refused(lambda: ask(host, failing))
    eventually(lambda: "CPUUtilization" in named(host, endpoint))
    settings = load(
        texts(
            {
                "aws:region": "ap-northeast-1",
                "triton-sagemaker:environment": "staging",
                "triton-sagemaker:tags": {"CostEnv": "test", "CostService": "x"},
                "triton-sagemaker:endpoints": {
                    name: {"model": {"artifact": "artifacts/m.tar.gz"}, "initialInstanceCount": 3}
                    for name in (endpoint, failing)
                },
            }
        ),
        "triton-sagemaker",
    )
    cloudwatch, name, now = host.aws.client("cloudwatch"), unique("dashboard"), datetime.now(UTC)
    cloudwatch.put_dashboard(DashboardName=name, DashboardBody=json.dumps(dashboard_body("staging", settings, [], {})))
    put = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    first = [widget for widget in put["widgets"] if f'"{endpoint}"' in json.dumps(widget)]
    second = [widget for widget in put["widgets"] if f'"{failing}"' in json.dumps(widget)]
    of_first, of_second = (
        shown(draw(cloudwatch, name, {"widgets": widgets}, now - timedelta(hours=1), now + timedelta(minutes=2)))
        for widgets in (first, second)
    )
    assert list(of_first) == EXPECTED
    assert sum(of_first["Requests"]["requests"]) == 7
    assert {sum(values) for values in of_first["Errors"].values()} == {0}
    assert of_second["Errors"]["Invocation5XXErrors"] == of_second["Errors"]["InvocationModelErrors"]
    assert {*of_second["Errors"]["Invocation5XXErrors"]} == {100}
    assert {*of_first["OverheadLatency"]["p99"]} == {1}, "milliseconds"
    assert {*of_first["Instances"]["running"]} == {3}
