"""The queue of an asynchronous endpoint."""

from __future__ import annotations

import threading
import traceback
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sandbox.aws.async_invocation import AsyncRequest, Dropped, Processing
from sandbox.aws.async_settings import LONGEST_INVOCATION_SECONDS
from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.conditions import Conditions
from sandbox.aws.fleet import Fleet, Variant
from sandbox.aws.protocol import AwsError, RequestContext

if TYPE_CHECKING:
    from sandbox.aws.endpoint import Endpoint

#: Seconds of AWS's time between two values of the backlog's metrics. CloudWatch shows them by the minute.
_PUBLISH_SECONDS = 10.0

#: "These metrics are the same as the metrics published for real-time endpoints" (async-inference-monitor).
_AS_IN_REAL_TIME = frozenset({"Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency"})

_SHORTEST_NAP = 0.05
_LONGEST_NAP = 0.25

#: How many instances are asked at a time whether they have room for a request.
_DRAWS = 10


def async_request(
    endpoint: Endpoint, params: Mapping[str, Any], headers: Mapping[str, str], context: RequestContext
) -> AsyncRequest:
    """The request of an InvokeEndpointAsync for the endpoint's queue.

    The object's name is Filename, else the inference's own UUID with `.out` (a UUID because an InferenceId may come
    twice; the names of failures are inferred from it).

    Raises:
        AwsError: the endpoint is not asynchronous, or not exactly one of Body and InputLocation is given.
    """
    settings = endpoint.fleet.asynchronous if endpoint.fleet is not None else None
    if settings is None:
        message = f"Endpoint {endpoint.name} is not asynchronous: it accepts InvokeEndpoint, not InvokeEndpointAsync."
        raise AwsError("ValidationError", message)
    if bool(params.get("Body")) == ("InputLocation" in params):
        raise AwsError("ValidationError", "Provide exactly one of Body and InputLocation.")
    own_id = str(uuid.uuid4())
    name, dot, suffix = params.get("Filename", f"{own_id}.out").partition(".")
    extension = params.get("S3OutputPathExtension", "")
    failures = settings.failure_path
    return AsyncRequest(
        context,
        params,
        headers,
        params.get("InferenceId", own_id),
        settings,
        settings.output_path.below(extension, f"{name}{dot}{suffix}"),
        failures.below(extension, f"{name}-error{dot}{suffix}") if failures else None,
        context.conditions.now(),
    )


class Queue(threading.Thread):
    """The one queue of an endpoint, for all configurations that it serves.

    Each instance of the fleets that have traffic processes as many requests at a time as its configuration's
    MaxConcurrentInvocationsPerInstance says. One instance has a request, and finishes it before its fleet ends. An
    update has no loss of availability (UpdateEndpoint); that a request is neither lost nor answered twice is inferred
    from that. Without instances the requests wait until their RequestTTLSeconds are over.
    """

    def __init__(self, endpoint: Endpoint, conditions: Conditions) -> None:
        super().__init__(name=f"queue of {endpoint.name}", daemon=True)
        self._endpoint = endpoint
        self._conditions = conditions
        self._waiting: deque[AsyncRequest] = deque()
        self._running: list[AsyncRequest] = []
        self._busy: Counter[int] = Counter()  # requests in process, by the id of their variant
        self._changed = threading.Condition()
        self._closed = False
        self._published = 0.0

    def put(self, request: AsyncRequest) -> None:
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()

    def finish(self, variant: Variant) -> None:
        """Waits for the requests that a variant without instances still processes.

        AWS documents nothing of a scale-in under a request: that the instance finishes it is inferred.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._busy[id(variant)] or self._closed, LONGEST_INVOCATION_SECONDS)

    def close(self) -> None:
        """Drops what waits; what is in process is not answered any more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def run(self) -> None:
        while not self._closed:
            try:
                self._expire()
                while self._dispatch():
                    pass
                self._publish_backlog()
            except Exception:
                traceback.print_exc()
            with self._changed:
                if not self._closed:
                    self._changed.wait(self._nap())

    def _nap(self) -> float:
        return max(_SHORTEST_NAP, min(_LONGEST_NAP, _PUBLISH_SECONDS / self._conditions.time_factor))

    def _dispatch(self) -> bool:
        """Gives the oldest request to an instance; False where none waits or no instance has room."""
        if not self._waiting:
            return False
        for _ in range(_DRAWS):
            with ExitStack() as held:
                route = held.enter_context(self._endpoint.request())
                if route is None or route.variant is None or not self._has_room(route.fleet, route.variant):
                    continue
                with self._changed:
                    if not self._waiting or not self._has_room(route.fleet, route.variant):
                        return False
                    request = self._waiting.popleft()
                    self._running.append(request)
                    self._busy[id(route.variant)] += 1
                arguments = (request, route.fleet, route.variant, held.pop_all())
                threading.Thread(target=self._process, args=arguments, daemon=True).start()
                return True
        return False

    def _has_room(self, fleet: Fleet, variant: Variant) -> bool:
        settings = fleet.asynchronous
        room = variant.current_count * settings.concurrency if settings is not None else 0
        return self._busy[id(variant)] < room

    def _process(self, request: AsyncRequest, fleet: Fleet, variant: Variant, held: ExitStack) -> None:
        processing = Processing(self._endpoint.place, request, variant, lambda: self._closed)
        try:
            with held:
                processing.run()
            self._publish(fleet, variant, processing.metrics)
        except Dropped:
            pass
        except Exception:
            traceback.print_exc()
        finally:
            with self._changed:
                self._running.remove(request)
                self._busy[id(variant)] -= 1
                self._changed.notify_all()

    def _expire(self) -> None:
        now = self._conditions.now()
        with self._changed:
            expired = [request for request in self._waiting if now - request.queued > request.ttl]
            for request in expired:
                self._waiting.remove(request)
        fleet = self._endpoint.fleet
        for request in expired if fleet is not None else ():
            assert fleet is not None
            variant = fleet.variants[0]
            processing = Processing(self._endpoint.place, request, variant)
            processing.expire()
            self._publish(fleet, variant, processing.metrics)

    def _publish(self, fleet: Fleet, variant: Variant, metrics: Mapping[str, float]) -> None:
        """Those that real-time endpoints have too are published as theirs are; "the following metrics are published
        with the EndpointName and VariantName dimensions" (async-inference-monitor) are the others.
        """
        shared = {name: value for name, value in metrics.items() if name in _AS_IN_REAL_TIME}
        self._endpoint.publish(fleet.config_name, variant.name, shared)
        own = {name: value for name, value in metrics.items() if name not in _AS_IN_REAL_TIME}
        self._endpoint.publish(None, variant.name, own)

    def _publish_backlog(self) -> None:
        """The metrics with the dimension EndpointName (developer guide, async-inference-monitor).

        With zero instances the backlog counts as that of one: "your endpoint won't scale up again until the number of
        requests in the queue exceeds the target specified in your scaling policy" (async-inference-troubleshooting).
        HasBacklogWithoutCapacity is 1 when requests wait for an endpoint with zero instances, else 0. That an empty
        queue has an age of 0 is inferred from Amazon SQS.
        """
        now = self._conditions.now()
        fleet = self._endpoint.fleet
        if fleet is None or now - self._published < _PUBLISH_SECONDS:
            return
        self._published = now
        with self._changed:
            backlog = [*self._running, *self._waiting]
        instances = sum(variant.current_count for variant in fleet.variants)
        values = {
            "ApproximateBacklogSize": float(len(backlog)),
            "ApproximateBacklogSizePerInstance": len(backlog) / max(instances, 1),
            "ApproximateAgeOfOldestRequest": max((now - request.queued for request in backlog), default=0.0),
            "HasBacklogWithoutCapacity": float(bool(backlog) and instances == 0),
        }
        place = self._endpoint.place
        backend_of(place.account, place.region).publish("AWS/SageMaker", {"EndpointName": place.endpoint}, values)
