"""`python -m infra dashboard`: the address, the body and the picture, and why there is none."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.__main__ import main
from infra.cli import dashboard
from infra.monitoring import graph_data
from infra.monitoring.graph import Graph, text
from infra.monitoring.picture import Picture
from tests.infra.cli.test_stack_file import BASE, project

ON = f"{BASE}  p:monitoring: {{dashboard: true}}\n"
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:{}"
METRIC = ["AWS/SageMaker", "Invocations", "EndpointName", "iris"]
TIMES = [datetime(2026, 11, 28, 9, minute, tzinfo=UTC) for minute in range(3)]


def body() -> dict[str, Any]:
    graph = Graph("Requests", "per minute", right_unit="s", metrics=[[*METRIC, {"label": "requests"}]])
    graph.level("limit", 5)
    bands = [
        [{"value": "2026-11-28T09:01:00Z", "label": "release 1", "color": "#2ca02c"}, {"value": "2026-11-28T09:02:00Z"}]
    ]
    place = {"x": 0, "y": 0, "width": 12, "height": 6}
    alarm = {"type": "alarm", "properties": {"alarms": [ARN.format("a"), ARN.format("gone")], "title": "Alarms"}}
    return {
        "widgets": [{**each, **place} for each in (text("# iris\nby `up`"), alarm, graph.widget("us-east-1", bands))]
    }


class CloudWatch:
    def __init__(self) -> None:
        self.body: dict[str, Any] | None = body()
        self.queries: list[dict[str, Any]] = []

    def get_dashboard(self, DashboardName: str) -> dict[str, Any]:
        if self.body is None:
            raise ClientError({"Error": {"Code": "ResourceNotFound"}}, "GetDashboard")
        return {"DashboardName": DashboardName, "DashboardBody": json.dumps(self.body)}

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        assert AlarmNames == ["a", "gone"] and "CompositeAlarm" in AlarmTypes
        return {"CompositeAlarms": [{"AlarmName": "a", "StateValue": "ALARM"}]}

    def get_paginator(self, operation: str) -> CloudWatch:
        assert operation == "get_metric_data"
        return self

    def paginate(self, MetricDataQueries: list[dict[str, Any]], **_: Any) -> Iterator[dict[str, Any]]:
        self.queries += MetricDataQueries
        for part in (TIMES[:2], TIMES[2:]):
            results = [
                {"Id": query["Id"], "Label": query.get("Label", "?"), "Timestamps": part, "Values": [4.0] * len(part)}
                for query in MetricDataQueries
                if query["ReturnData"]
            ]
            yield {"MetricDataResults": results}


@pytest.fixture
def cloudwatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CloudWatch:
    cloudwatch = CloudWatch()

    class Session:
        def client(self, service: str) -> CloudWatch:
            assert service == "cloudwatch"
            return cloudwatch

    monkeypatch.setattr(dashboard, "aws_session", lambda _: Session())
    monkeypatch.chdir(project(tmp_path, ON))
    return cloudwatch


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", "-s", "dev", *arguments])
    return int(ended.value.code or 0)


def test_the_address_requires_no_credentials(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "aws_session", None)
    assert run() == 0
    assert capsys.readouterr().out.strip().endswith("#dashboards/dashboard/triton-dev")


def test_json_is_the_body_that_cloudwatch_has(cloudwatch: CloudWatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out) == cloudwatch.body


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_picture_is_written(
    cloudwatch: CloudWatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert run("--png", str(tmp_path / "d.png"), "--since", "2026-11-28T09:00Z", *more) == 0
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert f"wrote {tmp_path}/d.png\n" == (printed.err if more else printed.out)


@pytest.mark.parametrize("width", [6, 8, 12, 24])
def test_time_ranges_of_any_length_have_ticks_and_no_warnings(width: int) -> None:
    ended = datetime(2026, 11, 28, 9, 13, 7, tzinfo=UTC)
    widget = {"type": "metric", "x": 0, "y": 0, "width": width, "height": 6, "properties": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for power in range(60):  # 50 years at the end
            began = ended - timedelta(seconds=int(1.43**power) if power else 0)
            axes = Picture("triton-dev", {"widgets": [widget]}, began, ended).graph(widget, [])
            assert axes.get_xticks().size


def test_graphs_of_endpoints_without_traffic_are_drawn(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cloudwatch.body is not None
    del cloudwatch.body["widgets"][2]["properties"]["annotations"]["horizontal"]
    none: dict[str, list[Any]] = {"Timestamps": [], "Values": []}
    silent = [{"MetricDataResults": [{"Id": "line0", "Label": "requests", **none}]}]
    monkeypatch.setattr(cloudwatch, "paginate", lambda **_: silent)
    assert run("--png", str(tmp_path / "d.png"), "--since", "2026-11-28T09:00Z") == 0


def test_a_file_that_cannot_be_written_is_refused(cloudwatch: CloudWatch, tmp_path: Path) -> None:
    assert run("--png", str(tmp_path / "missing" / "d.png")) == 2


def test_a_time_range_has_at_least_one_period(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def paginate(_self: CloudWatch, **query: Any) -> Iterator[dict[str, Any]]:
        asked.append(query)
        return iter(())

    monkeypatch.setattr(CloudWatch, "paginate", paginate)
    graph_data.lines(cloudwatch, body()["widgets"][-1], 119, 120)
    graph_data.lines(cloudwatch, body()["widgets"][-1], 121, 125)
    assert [(each["StartTime"].timestamp(), each["EndTime"].timestamp()) for each in asked] == [(60, 120), (120, 180)]


def test_a_stack_without_a_dashboard_says_how_to_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path, BASE))
    assert run() == 2
    assert "monitoring: {dashboard: true}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--json"], ["--png", "d.png"]])
def test_a_dashboard_that_does_not_exist_is_a_problem(cloudwatch: CloudWatch, arguments: list[str]) -> None:
    cloudwatch.body = None
    assert run(*arguments) == 2


@pytest.mark.parametrize("time", ["soon", "0001-01-01", "9999-12-31T23:59"])
def test_a_time_that_is_not_one_is_refused(cloudwatch: CloudWatch, time: str) -> None:
    assert run("--png", "d.png", "--since", time) == 2


def test_without_matplotlib_a_picture_says_what_to_install(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "infra.monitoring.picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("--png", "d.png") == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def figure(cloudwatch: CloudWatch) -> Any:
    shown = cloudwatch.body or {}
    return dashboard.draw(cloudwatch, "triton-dev", shown, TIMES[0], TIMES[-1])


def test_a_picture_has_texts_alarms_lines_levels_and_releases(cloudwatch: CloudWatch) -> None:
    drawn = figure(cloudwatch)
    texts = [each.get_text() for each in drawn.texts]
    assert texts[:2] == ["triton-dev", "2026-11-28 09:00 to 2026-11-28 09:02 UTC"]
    assert {"iris", "by up", "Alarms", "a  alarm", "gone  does not exist", "Requests", "per minute"} <= {*texts}
    [axes] = drawn.axes
    line, level, release = axes.get_lines()
    assert list(line.get_ydata()) == [4.0, 4.0, 4.0] and line.get_label() == "requests"
    assert list(level.get_ydata()) == [5, 5]
    assert [each.get_text() for each in axes.texts] == ["limit", "release 1"]
    assert release.get_xdata()[0] * 86_400 == pytest.approx(TIMES[1].timestamp())
    assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 5


def test_releases_before_the_time_range_are_left_out(cloudwatch: CloudWatch) -> None:
    later = [datetime(2026, 11, 28, 10, minute, tzinfo=UTC) for minute in (0, 30)]
    [axes] = dashboard.draw(cloudwatch, "triton-dev", body(), *later).axes
    assert [each.get_text() for each in axes.texts] == ["limit"]


@pytest.mark.parametrize(
    ("hours", "seconds"), [(1, 60), (3, 60), (24, 480), (24 * 15, 6600), (24 * 30, 13_200), (24 * 63, 28_800)]
)
def test_the_period_grows_with_the_time_range(hours: int, seconds: int) -> None:
    assert graph_data.period(0, hours * 3600) == seconds


def test_queries_are_those_of_the_graph(cloudwatch: CloudWatch) -> None:
    hidden = {"id": "m1", "visible": False, "stat": "Sum"}
    shown = [[*METRIC, hidden], ["...", "other"], [{"id": "e3", "expression": "m1 / 2", "label": "half"}]]
    widget = {"type": "metric", "properties": {"title": "t", "stat": "Maximum", "metrics": shown}}
    lines = graph_data.lines(cloudwatch, widget, 0, 3600)
    first, second, third = cloudwatch.queries
    assert (first["Id"], first["ReturnData"], first["MetricStat"]["Stat"]) == ("m1", False, "Sum")
    assert second["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "EndpointName", "Value": "other"}]
    assert second["MetricStat"]["Stat"] == "Maximum"
    assert third == {"Id": "e3", "ReturnData": True, "Label": "half", "Expression": "m1 / 2", "Period": 60}
    assert [(line.label, len(line.values)) for line in lines] == [("?", 3), ("half", 3)]
