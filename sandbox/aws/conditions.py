"""What a test imposes on the embedded AWS: slow instances, missing capacity, throttling, and how fast its time runs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

#: How soon `wait` sees that its condition has changed.
_LOOKS_EVERY_SECONDS = 0.1


class Conditions:
    """The conditions in force; each `replace` sets those it names and leaves the others as they are.

    - `provisioningSeconds`: seconds that starting instances takes beyond the start of their container.
    - `healthCheckSeconds`: seconds within which a container must pass its health check; None leaves it those that its
      configuration gives it.
    - `insufficientCapacity`: instance types of which there are none.
    - `throttle`: `service.Operation` → how many of the next calls are answered ThrottlingException.
    - `answerSeconds`: `service.Operation` → seconds between what a call did and its answer.
    - `rollbackSeconds`: seconds that an endpoint stays RollingBack.
    - `timeFactor`: how much faster than here the time of AWS runs, in the waits of a deployment, the periods of an
      alarm, the cooldowns of scaling policies and the queues of asynchronous endpoints: 60 makes a minute last a
      second. The other conditions are in seconds as they pass here.
    - `uploadPartSeconds`: seconds that each UploadLayerPart takes.
    - `serverlessIdleSeconds`: seconds without a request after which the compute of a serverless variant ends. AWS does
      not document how many these are.
    - `serverlessNotReady`: how many of the next cold starts are answered ModelNotReadyException.
    - `layerUrlSeconds`: seconds for which a download address of an ECR layer is good, from when it is handed out.
    - `authorizationTokenSeconds`: seconds for which an authorization token of ECR is good.
    - `httpEndpoints`: host → URL of a stand-in on this machine, for HTTP endpoints that Firehose delivers to; no other
      host can be reached.
    - `proxyEndpoint`: where authorization tokens and download addresses say that ECR's registries are; None is where
      they are.
    """

    _DEFAULTS: Mapping[str, Any] = {
        "provisioningSeconds": 0.0,
        "healthCheckSeconds": None,
        "insufficientCapacity": [],
        "throttle": {},
        "answerSeconds": {},
        "rollbackSeconds": 0.0,
        "timeFactor": 1.0,
        "uploadPartSeconds": 0.0,
        "layerUrlSeconds": 3600.0,
        "authorizationTokenSeconds": 12 * 3600.0,
        "serverlessIdleSeconds": 300.0,
        "serverlessNotReady": 0,
        "httpEndpoints": {},
        "proxyEndpoint": None,
    }

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = dict(self._DEFAULTS)
        self._aws_seconds = 0.0
        self._aws_seconds_taken = time.monotonic()
        self._factors = [(0.0, self.time_factor)]  # each with when it was set, in seconds since the epoch

    def replace(self, values: Mapping[str, Any]) -> None:
        """Raises `ValueError` for a condition that does not exist, and for a time that would not run forward."""
        unknown = sorted(set(values) - set(self._DEFAULTS))
        if unknown:
            raise ValueError(f"no such condition: {', '.join(unknown)}; there are: {', '.join(self._DEFAULTS)}")
        if not float(values.get("timeFactor", 1.0)) > 0:
            raise ValueError(f"timeFactor is {values['timeFactor']}: it must be greater than 0")
        with self._lock:
            self._aws_seconds, self._aws_seconds_taken = self._now(), time.monotonic()
            self._values = {**self._values, **values}
            if "timeFactor" in values:
                self._factors.append((time.time(), float(values["timeFactor"])))

    def as_dict(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._values)

    def wait(self, name: str, cancelled: threading.Event) -> None:
        """Lets the seconds of a condition pass, as many as it has while they pass: setting it to 0 ends the wait."""
        began = time.monotonic()
        while (left := began + float(self.as_dict()[name]) - time.monotonic()) > 0:
            if cancelled.wait(min(left, _LOOKS_EVERY_SECONDS)):
                return

    def now(self) -> float:
        """Seconds of AWS's time, counted from some moment on."""
        with self._lock:
            return self._now()

    def aws_seconds(self, start: float, end: float) -> float:
        """How many seconds of AWS's time pass between two moments here, which are in seconds since the epoch."""
        with self._lock:
            factors = [*self._factors, (math.inf, 1.0)]
        return sum(
            max(0.0, min(end, until) - max(start, since)) * factor for (since, factor), (until, _) in pairwise(factors)
        )

    def pass_time(self, seconds: float, cancelled: threading.Event) -> None:
        """Lets seconds of AWS's time pass, or until cancelled; a new `timeFactor` holds from when it is set."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            if cancelled.wait(min(left / self.time_factor, _LOOKS_EVERY_SECONDS)):
                return

    def _now(self) -> float:
        passed = time.monotonic() - self._aws_seconds_taken
        return self._aws_seconds + passed * float(self._values["timeFactor"])

    @property
    def time_factor(self) -> float:
        return float(self.as_dict()["timeFactor"])

    @property
    def health_check_seconds(self) -> float | None:
        seconds = self.as_dict()["healthCheckSeconds"]
        return None if seconds is None else float(seconds)

    @property
    def upload_part_seconds(self) -> float:
        return float(self.as_dict()["uploadPartSeconds"])

    @property
    def layer_url_seconds(self) -> float:
        return float(self.as_dict()["layerUrlSeconds"])

    @property
    def authorization_token_seconds(self) -> float:
        return float(self.as_dict()["authorizationTokenSeconds"])

    @property
    def serverless_idle_seconds(self) -> float:
        return float(self.as_dict()["serverlessIdleSeconds"])

    def is_still_provisioning(self) -> bool:
        """Whether this cold start is one of those that are not ready; it then counts as answered."""
        with self._lock:
            left = int(self._values["serverlessNotReady"])
            self._values["serverlessNotReady"] = max(left - 1, 0)
            return left > 0

    @property
    def http_endpoints(self) -> Mapping[str, str]:
        return dict(self.as_dict()["httpEndpoints"])

    @property
    def proxy_endpoint(self) -> str | None:
        url = self.as_dict()["proxyEndpoint"]
        return None if url is None else str(url)

    def lacks_capacity(self, instance_type: str) -> bool:
        return instance_type in self.as_dict()["insufficientCapacity"]

    def answer_seconds(self, service: str, operation: str) -> float:
        return float(self.as_dict()["answerSeconds"].get(f"{service}.{operation}", 0))

    def throttles(self, service: str, operation: str) -> bool:
        """Whether this call is one of those to throttle; it then counts as answered."""
        name = f"{service}.{operation}"
        with self._lock:
            left = int(self._values["throttle"].get(name, 0))
            if left > 0:
                self._values["throttle"] = {**self._values["throttle"], name: left - 1}
            return left > 0
