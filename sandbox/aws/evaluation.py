"""The CloudWatch service, which evaluates alarms in the background and scales by them, and streams metrics."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import Alarm, cloudwatch_backends

from sandbox.aws.alarms import ALARM, Breach
from sandbox.aws.cloudwatch import Backend, backend_of, epoch
from sandbox.aws.conditions import Conditions
from sandbox.aws.protocol import PASS_TO_MOTO, RequestContext, not_in_sandbox
from sandbox.aws.streaming import PutRecords, Streaming

#: Seconds between two evaluations of an alarm: a minute, and ten seconds with a period below that
#: (User Guide, "Alarm evaluation": alarms on high-resolution metrics).
_EVALUATION_SECONDS = 60
_FAST_EVALUATION_SECONDS = 10

#: How long a change of the time factor may go unnoticed, in seconds.
_LONGEST_NAP = 0.25
_SHORTEST_NAP = 0.02

ScalingAction = Callable[[str, str, str, Breach, Conditions], None]
"""What a scaling policy does, by its account, region and ARN."""


class CloudWatch:
    """The service: moto answers, with the backend of `cloudwatch.py`. Alarms are evaluated from the first one on.

    Of the actions of an alarm those are done that are SNS topics, and scaling policies by `scale`. Metric streams put
    their records by `put_records`, from the first stream on.
    """

    def __init__(self, scale: ScalingAction, put_records: PutRecords) -> None:
        self._scale = scale
        self._put_records = put_records
        self._evaluation: Evaluation | None = None
        self._streaming: Streaming | None = None
        self._lock = threading.Lock()

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any] | None:
        if operation == "GetMetricData":
            backend_of(context.account, context.region).aws_seconds = context.conditions.aws_seconds
        if operation in ("PutMetricAlarm", "PutCompositeAlarm"):
            self.watch(context.conditions)
        if operation == "PutMetricStream":
            self._stream(context.conditions)
        if operation == "DescribeAlarmHistory" and params.get("HistoryItemType") != "StateUpdate":
            raise not_in_sandbox("DescribeAlarmHistory without HistoryItemType StateUpdate")
        return PASS_TO_MOTO  # type: ignore[no-any-return]

    def watch(self, conditions: Conditions) -> None:
        """Evaluates alarms from now on."""
        with self._lock:
            if self._evaluation is None:
                self._evaluation = Evaluation(conditions, self._scale)
                self._evaluation.start()

    def _stream(self, conditions: Conditions) -> None:
        with self._lock:
            if self._streaming is None:
                self._streaming = Streaming(conditions, self._put_records)
                self._streaming.start()

    def close(self) -> None:
        for thread in (self._evaluation, self._streaming):
            if thread is not None:
                thread.end()


class Evaluation(threading.Thread):
    """Evaluates every alarm of every account and region, as often as CloudWatch does."""

    def __init__(self, conditions: Conditions, scale: ScalingAction) -> None:
        super().__init__(name="evaluation of alarms", daemon=True)
        self._scale = scale
        self._conditions = conditions
        self._ended = threading.Event()
        self._due: dict[tuple[str, str, str], float] = {}

    def run(self) -> None:
        while not self._ended.wait(self._nap()):
            for account, region in [(a, r) for a in list(cloudwatch_backends) for r in list(cloudwatch_backends[a])]:
                backend = backend_of(account, region)
                for alarm in list(backend.alarms.values()):
                    self._evaluate(backend, alarm)
                backend.evaluate_composites()

    def end(self) -> None:
        self._ended.set()

    def _nap(self) -> float:
        return max(_SHORTEST_NAP, min(_LONGEST_NAP, _FAST_EVALUATION_SECONDS / 2 / self._conditions.time_factor))

    def _evaluate(self, backend: Backend, alarm: Alarm) -> None:
        """Each alarm at its own time, the first time a full interval after it was put."""
        now = self._conditions.now()
        interval = _FAST_EVALUATION_SECONDS if (alarm.period or 60) < 60 else _EVALUATION_SECONDS
        key = (backend.account_id, backend.region_name, alarm.name)
        if now < self._due.setdefault(key, now + interval):
            return
        self._due[key] = now + interval
        try:
            newest = backend.evaluate(alarm, epoch(datetime.now(UTC)), self._conditions.time_factor)
            if newest is not None and alarm.state_value == ALARM and alarm.actions_enabled:
                self._act(backend, alarm, Breach(newest, float(alarm.threshold)))
        except Exception:
            traceback.print_exc()

    def _act(self, backend: Backend, alarm: Alarm, breach: Breach) -> None:
        """At each evaluation: "Except for Auto Scaling actions, the actions happen only on state transitions" (User
        Guide, alarm-actions).
        """
        for action in alarm.alarm_actions or ():
            if ":scalingPolicy:" in action:
                self._scale(backend.account_id, backend.region_name, action, breach, self._conditions)
