"""CloudWatch in front of moto, which neither evaluates alarms nor tells metrics with more dimensions apart, and has no
history of alarms.

moto keeps its part, the protocols; this backend takes the place of moto's own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

from moto.cloudwatch import urls
from moto.cloudwatch.exceptions import (
    CloudWatchException,
    DashboardInvalidInputError,
    InvalidParameterValue,
    ValidationError,
)
from moto.cloudwatch.models import (
    Alarm,
    CloudWatchBackend,
    MetricDatum,
    MetricDatumBase,
    Statistics,
    cloudwatch_backends,
)
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from sandbox.aws import dashboards
from sandbox.aws.alarm_actions import actions_of, notify
from sandbox.aws.alarm_mute_rules import MUTE_RULES, AlarmMuteRuleOperations, is_muted
from sandbox.aws.alarms import (
    ALARM,
    COMPARISON_OPERATORS,
    FURTHER_PERIODS,
    INSUFFICIENT_DATA,
    Datapoint,
    State,
    StateUpdate,
    Threshold,
)
from sandbox.aws.cloudwatch_params import params_of
from sandbox.aws.composite_alarms import CompositeAlarmOperations, Rule, evaluated
from sandbox.aws.metric_streams import STREAMS, MetricStreamOperations
from sandbox.aws.metrics import Expression, MetricKey, Metrics, Points, statistic_of
from sandbox.aws.searches import PERIOD, in_full

#: What moto's alarms know of their state.
_STATE_OF_ALARM = ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp")

#: History items in an answer that does not say how many: the most that may be asked for (API `DescribeAlarmHistory`).
_MAX_RECORDS = 100


class Backend(CloudWatchBackend):
    """What one account has in one region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.metrics = Metrics()
        self.states = threading.RLock()
        self.aws_seconds: Callable[[float, float], float] = lambda start, end: end - start
        self._state_updates: list[StateUpdate] = []
        self._withheld: dict[str, StateUpdate] = {}
        self._put_at: dict[str, datetime] = {}

    @property
    def _url_module(self) -> Any:
        """moto looks for it beside the class."""
        paths = dict.fromkeys(urls.url_paths, Responses.dispatch)
        return SimpleNamespace(url_bases=urls.url_bases, url_paths=paths)

    def publish(self, namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float]) -> None:
        """One value of each metric, now."""
        now = epoch(datetime.now(UTC))
        for name, value in values.items():
            self.metrics.add(MetricKey.of(namespace, name, dimensions), now, [value])

    def put_metric_data(self, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        before = len(self.metric_data)
        super().put_metric_data(namespace, metric_data)
        data, self.metric_data = self.metric_data[before:], self.metric_data[:before]
        for datum in data:
            dimensions = {str(dimension.name): str(dimension.value) for dimension in datum.dimensions}
            self.metrics.add(MetricKey.of(namespace, datum.name, dimensions), epoch(datum.timestamp), _values(datum))

    def get_all_metrics(self) -> list[MetricDatumBase]:
        """One datum of each metric: what ListMetrics shows."""
        own = [
            MetricDatum(key.namespace, key.name, 0.0, [{"Name": n, "Value": v} for n, v in key.dimensions], None)
            for key in self.metrics.known()
        ]
        return [*own, *self.aws_metric_data]

    def get_metric_statistics(
        self,
        namespace: str,
        metric_name: str,
        start_time: datetime,
        end_time: datetime,
        period: int,
        stats: list[str],
        dimensions: list[dict[str, str]],
        unit: str | None = None,
    ) -> list[Statistics]:
        if start_time >= end_time:
            raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
        key = MetricKey.of(namespace, metric_name, _dimensions(dimensions))
        found = []
        for start in _periods(start_time, end_time, period):
            if values := self.metrics.values(key, start, start + period):
                statistics = Statistics(stats, datetime.fromtimestamp(start, UTC), unit)
                statistics.metric_data = [MetricDatum(namespace, metric_name, value, [], None) for value in values]
                found.append(statistics)
        return found

    def get_metric_data(
        self,
        queries: list[dict[str, Any]],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampAscending",
    ) -> list[dict[str, Any]]:
        if start_time >= end_time:
            raise ValidationError("The parameter EndTime must be greater than StartTime.")
        period = _period(queries)
        try:
            queries = [*in_full(queries, period, self.metrics.known())]
        except ValueError as error:
            raise ValidationError(str(error)) from None
        starts = _periods(start_time, end_time, period)
        points = self._points(queries, starts, period, {PERIOD: [self.aws_seconds(at, at + period) for at in starts]})
        results = []
        for query in (query for query in queries if query.get("ReturnData", True)):
            found = [(datetime.fromtimestamp(t, UTC), p) for t, p in zip(starts, points[query["Id"]], strict=True)]
            shown = [(time, point) for time, point in found if point is not None]
            if scan_by != "TimestampAscending":
                shown.reverse()
            results.append(
                {
                    "id": query.get("ResultId", query["Id"]),
                    "label": " ".join(filter(None, (query.get("Label"), query.get("Found")))) or _label(query),
                    "timestamps": [time for time, _ in shown],
                    "values": [point for _, point in shown],
                    "status_code": "Complete",
                }
            )
        return results

    def put_metric_alarm(self, name: str, *args: Any, **options: Any) -> Alarm:
        """ "When you update an existing alarm, its state is left unchanged" (PutMetricAlarm)."""
        with self.states:
            before = self.alarms.get(name)
            alarm = super().put_metric_alarm(name, *args, **options)
            try:
                _Watched.of(alarm)
            except ValueError as error:
                self.alarms.pop(name)
                if before is not None:
                    self.alarms[name] = before
                raise ValidationError(str(error)) from None
            self._keep_state(alarm, before)
        return alarm

    def put_composite_alarm(self, rule: Rule, params: Mapping[str, Any]) -> None:
        with self.states:
            name, before = params["AlarmName"], self.alarms.get(params["AlarmName"])
            if missing := [child for child in rule.children if child not in self.alarms]:
                listed = ", ".join(missing)
                raise ValidationError(
                    f"Could not save the composite alarm as alarms [{listed}] in the alarm rule do not exist"
                )
            alarm = super().put_metric_alarm(
                name=name,
                namespace="",
                metric_name="",
                comparison_operator="",
                evaluation_periods=0,
                period=0,
                threshold=0.0,
                statistic="",
                description=params.get("AlarmDescription", ""),
                dimensions=[],
                alarm_actions=params.get("AlarmActions", []),
                ok_actions=params.get("OKActions", []),
                insufficient_data_actions=params.get("InsufficientDataActions", []),
                actions_enabled=params.get("ActionsEnabled", True),
                rule=rule.text,
                tags=params.get("Tags", []) if before is None else [],
            )
            self._keep_state(alarm, before)

    def _keep_state(self, alarm: Alarm, before: Alarm | None) -> None:
        alarm.state_value = INSUFFICIENT_DATA
        self._put_at.setdefault(alarm.name, datetime.now(UTC))
        if before is not None:
            for member in _STATE_OF_ALARM:
                setattr(alarm, member, getattr(before, member))

    def delete_alarms(self, alarm_names: list[str]) -> None:
        with self.states:
            for alarm in self.alarms.values():
                children = set(Rule.parse(alarm.rule).children) if alarm.rule else set()
                if alarm.name not in alarm_names and (used := [name for name in alarm_names if name in children]):
                    which = "it" if len(used) == 1 else "them"
                    raise ValidationError(
                        f"Cannot delete {','.join(used)} as there are composite alarm(s) depending on {which}."
                    )
            super().delete_alarms(alarm_names)
            for name in alarm_names:
                self._put_at.pop(name, None)
                self._withheld.pop(name, None)

    def set_alarm_state(self, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
        with self.states:
            super().set_alarm_state(alarm_name, reason, reason_data or "{}", state_value)
            self._remember_update(self.alarms[alarm_name])

    def tag_resource(self, arn: str, tags: dict[str, str]) -> None:
        place = self.account_id, self.region_name
        streams, rules = STREAMS[place].all(), MUTE_RULES[place].values()
        if arn in [*(stream.arn for stream in streams), *(rule.arn for rule in rules)]:
            self.tagger.tag_resource(arn, self.tagger.convert_dict_to_tags_input(tags))
        else:
            super().tag_resource(arn, tags)

    def state_updates(self, name: str | None, start: datetime | None, end: datetime | None) -> list[StateUpdate]:
        """The changes of alarms' states, of one alarm or all, the oldest first. They outlive the alarm: "CloudWatch
        retains the history of an alarm even if you delete the alarm" (DescribeAlarmHistory).
        """
        with self.states:
            return [
                update
                for update in self._state_updates
                if name in (None, update.alarm)
                and (start is None or epoch(start) <= epoch(update.time))
                and (end is None or epoch(update.time) <= epoch(end))
            ]

    def alarms_fired(self, names: Iterable[str], since: datetime) -> list[str]:
        """Those of the alarms that have been in ALARM at some moment since then, or are now."""
        with self.states:
            updates = takewhile(lambda update: update.time >= since, reversed(self._state_updates))
            fired = {update.alarm for update in updates if update.new.value == ALARM}
            fired |= {name for name, alarm in self.alarms.items() if alarm.state_value == ALARM}
            return [name for name in names if name in fired]

    def evaluate(self, alarm: Alarm, now: float, time_factor: float) -> float | None:
        """Gives an alarm the state that its datapoints up to now ask for; returns the newest, None without any."""
        watched = _Watched.of(alarm)
        if watched is None:
            return None
        period = watched.period / time_factor
        periods = watched.threshold.evaluation_periods + FURTHER_PERIODS
        starts = [now - period * number for number in range(periods, 0, -1)]
        points = self._points(watched.queries, starts, period)[watched.returned]
        datapoints = [
            None if point is None else Datapoint(datetime.fromtimestamp(start, UTC), point)
            for start, point in zip(starts, points, strict=True)
        ]
        if not self._warms_up(alarm, datapoints, (now - epoch(self._put_at[alarm.name])) * time_factor):
            self._set_state(alarm, watched.threshold.state(datapoints))
        return next((point for point in reversed(points) if point is not None), None)

    def evaluate_composites(self) -> None:
        """Gives composite alarms the states that follow from those of their children, and does what was withheld while
        alarms were muted, unless they returned to their state of before (User Guide, alarm-mute-rules-behaviour)."""
        with self.states:
            for alarm in [alarm for alarm in self.alarms.values() if alarm.rule is not None]:
                self._set_state(alarm, evaluated(alarm, self.alarms))
            for name, update in list(self._withheld.items()):
                if not self._is_muted(name):
                    del self._withheld[name]
                    if update.new.value != update.old.value:
                        notify(self.alarms[name], update, self.alarms, self.account_id)

    def _warms_up(self, alarm: Alarm, datapoints: Sequence[Datapoint | None], passed: float) -> bool:
        """Whether an alarm that was put so many seconds ago still waits for data (User Guide, alarm-warm-up)."""
        warm_up = getattr(alarm, "warm_up_configuration", None)
        if not warm_up:
            return False
        if passed >= 60 * int(warm_up["WarmUpPeriodDurationInMinutes"]):
            return False
        filled = sum(point is not None for point in datapoints) >= alarm.evaluation_periods
        return bool(warm_up.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds")) or not filled

    def _set_state(self, alarm: Alarm, state: State | None) -> None:
        with self.states:
            if state is not None and self.alarms.get(alarm.name) is alarm and state.value != alarm.state_value:
                alarm.update_state(state.reason, state.reason_data, state.value)
                self._remember_update(alarm)

    def _remember_update(self, alarm: Alarm) -> None:
        """Of an alarm that has just been given its state; moto keeps the one before."""
        _, reason, reason_data, value, _ = alarm.history[-1]
        if alarm.state_value == value:
            return
        old = State(value, reason, reason_data)
        new = State(alarm.state_value, alarm.state_reason, alarm.state_reason_data)
        kind = "MetricAlarm" if alarm.rule is None else "CompositeAlarm"
        update = StateUpdate(alarm.name, datetime.now(UTC), old, new, kind)
        self._state_updates.append(update)
        if not alarm.actions_enabled or not actions_of(alarm):
            return
        if self._is_muted(alarm.name):
            first = self._withheld.get(alarm.name, update)
            self._withheld[alarm.name] = replace(update, old=first.old)
        else:
            notify(alarm, update, self.alarms, self.account_id)

    def _is_muted(self, name: str) -> bool:
        return is_muted(self.account_id, self.region_name, name)

    def _points(
        self, queries: list[dict[str, Any]], starts: list[float], period: float, known: Mapping[str, Points] = {}
    ) -> dict[str, Points]:
        """The points of each query by its ID; expressions may use each other, and what is known, in any order."""
        points = dict(known) | {
            query["Id"]: self.metrics.points(_key(query["MetricStat"]), query["MetricStat"]["Stat"], starts, period)
            for query in queries
            if "MetricStat" in query
        }
        expressions = {query["Id"]: Expression(query["Expression"]) for query in queries if "Expression" in query}
        while ready := {name: e for name, e in expressions.items() if name not in points and e.ids <= set(points)}:
            points.update({name: expression.points(points, len(starts)) for name, expression in ready.items()})
        if unresolved := sorted(set(expressions) - set(points)):
            raise ValidationError(f"The expression of {', '.join(unresolved)} uses an ID that no query has.")
        return points


# Before moto makes its first one for any account.
cloudwatch_backends.backend = Backend


class Responses(CompositeAlarmOperations, AlarmMuteRuleOperations, MetricStreamOperations, CloudWatchResponse):
    """moto's, with operations that it lacks."""

    def put_metric_alarm(self) -> ActionResult:
        """moto drops WarmUpConfiguration."""
        answer = super().put_metric_alarm()
        alarm = backend_of(self.current_account, self.region).alarms[self._get_param("AlarmName")]
        alarm.warm_up_configuration = self._get_param("WarmUpConfiguration")  # type: ignore[attr-defined]
        return answer

    def describe_alarms(self) -> ActionResult:
        """ "If you omit this parameter, only metric alarms are returned" (DescribeAlarms, AlarmTypes)."""
        answer: Any = super().describe_alarms().result
        shown = {f"{type_}s" for type_ in self._get_param("AlarmTypes") or ["MetricAlarm"]}
        return ActionResult({kind: alarms for kind, alarms in answer.items() if kind in shown})

    def describe_alarm_history(self) -> ActionResult:
        """Without ScanBy the newest come first, as in the AWS CLI's example of describe-alarm-history."""
        params = params_of(self, "DescribeAlarmHistory")
        backend = backend_of(self.current_account, self.region)
        updates = backend.state_updates(params.get("AlarmName"), params.get("StartDate"), params.get("EndDate"))
        updates = [update for update in updates if update.kind in params.get("AlarmTypes", ["MetricAlarm"])]
        if params.get("ScanBy") != "TimestampAscending":
            updates.reverse()
        page, token = _page(updates, params.get("MaxRecords", _MAX_RECORDS), params.get("NextToken"))
        return ActionResult({"AlarmHistoryItems": [update.item() for update in page], "NextToken": token})

    def put_dashboard(self) -> ActionResult:
        """Validated, which moto does not."""
        name, body = self._get_param("DashboardName"), self._get_param("DashboardBody")
        try:
            found = [problem] if (problem := dashboards.name_problem(name)) else dashboards.problems(body)
        except dashboards.NotValidated as what:
            raise InvalidParameterValue(f"{what} is not in the sandbox; only AWS can do this.") from None
        if found:
            raise InvalidDashboard(found)
        return super().put_dashboard()


class InvalidDashboard(DashboardInvalidInputError):
    """The text is that of the answer in pulumi/pulumi#13059."""

    def __init__(self, messages: list[dashboards.Message]) -> None:
        shown = [{"dataPath": each["DataPath"], "message": each["Message"]} for each in messages]
        number = f"there are {len(messages)} validation errors"
        super().__init__(f"The dashboard body is invalid, {number}:\n{json.dumps(shown, indent=2)}")
        self.dashboardValidationMessages = messages


class InvalidNextToken(CloudWatchException):
    code = "InvalidNextToken"


class _Watched:
    """What an alarm watches: queries in GetMetricData's form, and the threshold for the one that returns data."""

    def __init__(self, alarm: Alarm) -> None:
        self.queries = [_query(query) for query in alarm.metric_data_queries] or [_simple_query(alarm)]
        returning = [query["Id"] for query in self.queries if query["ReturnData"]]
        if len(returning) != 1:
            raise ValueError("Exactly one of the Metrics of an alarm must have ReturnData set to true.")
        self.returned = returning[0]
        for query in self.queries:
            if "Expression" in query:
                Expression(query["Expression"])
            else:
                statistic_of(query["MetricStat"]["Stat"])
        self.period = _period(self.queries)
        self.threshold = Threshold(
            alarm.comparison_operator,
            float(alarm.threshold),
            alarm.evaluation_periods,
            alarm.datapoints_to_alarm,
            alarm.treat_missing_data or "missing",
        )

    @classmethod
    def of(cls, alarm: Alarm) -> _Watched | None:
        """None for a composite alarm and for a band of anomaly detection, whose states are set by hand only.

        Raises `ValueError` for what cannot be evaluated.
        """
        return cls(alarm) if alarm.rule is None and alarm.comparison_operator in COMPARISON_OPERATORS else None


def backend_of(account: str, region: str) -> Backend:
    backend = cloudwatch_backends[account][region]
    assert isinstance(backend, Backend)
    return backend


def epoch(time: datetime) -> float:
    """moto's times have no time zone and are in UTC."""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _periods(start: datetime, end: datetime, period: int) -> list[float]:
    """The beginnings of the periods from `start` to before `end`, which are multiples of the period."""
    first, last = floor(epoch(start) / period), ceil(epoch(end) / period)
    return [float(number * period) for number in range(first, last)]


def _values(datum: MetricDatumBase) -> list[float]:
    """The values of a datum; for a statistic set values that have its statistics."""
    if isinstance(datum, MetricDatum):
        return [datum.value]
    count, total, low, high = round(datum.sample_count), datum.sum, datum.min, datum.max  # type: ignore[attr-defined]
    between = [(total - low - high) / (count - 2)] * (count - 2) if count > 2 else []
    return [low, *between, high] if count > 1 else [total]


def _dimensions(dimensions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {dimension["Name"]: dimension["Value"] for dimension in dimensions}


def _key(stat: Mapping[str, Any]) -> MetricKey:
    metric = stat["Metric"]
    return MetricKey.of(metric["Namespace"], metric["MetricName"], _dimensions(metric.get("Dimensions", [])))


def _label(query: Mapping[str, Any]) -> str:
    return str(query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"])


def _period(queries: Iterable[Mapping[str, Any]]) -> int:
    """The period of queries in seconds, the longest where they differ; an expression has that of its metrics."""
    periods = [query["MetricStat"]["Period"] if "MetricStat" in query else query.get("Period") for query in queries]
    return max(int(period) for period in periods if period is not None)


def _query(query: Any) -> dict[str, Any]:
    """One of the Metrics of an alarm, as moto keeps it, in GetMetricData's form."""
    common = {"Id": query.id, "ReturnData": True if query.return_data is None else query.return_data}
    if query.metric_stat is None:
        return {**common, "Expression": query.expression, "Period": query.period}
    stat, metric = query.metric_stat, query.metric_stat.metric
    found = _metric_stat(metric.namespace, metric.metric_name, metric.dimensions, stat.period, stat.stat)
    return {**common, "MetricStat": found}


def _simple_query(alarm: Alarm) -> dict[str, Any]:
    statistic = alarm.statistic or alarm.extended_statistic
    if not (alarm.namespace and alarm.metric_name and alarm.period and statistic):
        raise ValueError("An alarm needs either Metrics, or Namespace, MetricName, Period and a statistic.")
    stat = _metric_stat(alarm.namespace, alarm.metric_name, alarm.dimensions, alarm.period, statistic)
    return {"Id": "m1", "ReturnData": True, "MetricStat": stat}


def _metric_stat(namespace: str, name: str, dimensions: Iterable[Any], period: Any, statistic: str) -> dict[str, Any]:
    named = [{"Name": dimension.name, "Value": dimension.value} for dimension in dimensions]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
    return {"Metric": metric, "Period": int(period), "Stat": statistic}


def _page(updates: Sequence[StateUpdate], size: int, token: str | None) -> tuple[Sequence[StateUpdate], str | None]:
    """The page that the token stands for, and the token of the next one."""
    tokens = {str(place): place for place in range(size, len(updates), size)}
    if token is not None and token not in tokens:
        raise InvalidNextToken("The next token specified is invalid.")
    start = tokens[token] if token else 0
    following = str(start + size)
    return updates[start : start + size], following if following in tokens else None
