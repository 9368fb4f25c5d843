"""An intake on loopback for what Firehose delivers of metric streams: it speaks the protocol of HTTP endpoints
(Firehose Developer Guide, httpdeliveryrequestresponse), checks the API key, and reads the OpenTelemetry records.

The condition `httpEndpoints` of the sandbox's AWS makes it the intake of a Datadog site.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from google.protobuf.message import DecodeError
from google.protobuf.proto import parse_length_prefixed
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True)
class Value:
    """One data point that arrived.

    Attributes:
        resource: attributes of the stream: account, region and the stream's ARN.
        quantiles: values by quantile; 0 is the minimum and 1 the maximum.
        start, end: in nanoseconds since the epoch.
    """

    metric: str
    unit: str
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    count: int
    sum: float
    quantiles: Mapping[float, float]
    start: int
    end: int
    resource: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """A request that arrived; names of headers are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the intake answers to a request; `body` None is the acknowledgement that the protocol asks for.

    Attributes:
        lose: whether the connection breaks without an answer.
    """

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lose: bool = False


class Intake:
    """Runs as long as the `with` block lasts."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._scripted: deque[Answer] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> list[Request]:
        """All that arrived, in order, also those that were not accepted."""
        with self._lock:
            return list(self._requests)

    @property
    def values(self) -> list[Value]:
        """The data points of the requests that were accepted."""
        return [value for request in self.requests for value in request.values]

    def answer(self, *answers: Answer) -> None:
        """Answers the next requests with these, and does not accept them."""
        with self._lock:
            self._scripted += answers

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Takes a request in."""
        request = Request(path, headers, body)
        with self._lock:
            scripted = self._scripted.popleft() if self._scripted else None
        if scripted is None:
            try:
                self._check_key(headers)
                request = Request(path, headers, body, tuple(_values(headers, body)))
            except PermissionError as error:
                scripted = _refusal(403, headers, str(error))
            except (DecodeError, ValueError, KeyError) as error:
                scripted = _refusal(400, headers, repr(error))
        with self._lock:
            self._requests.append(request)
        return scripted or Answer()

    def _check_key(self, headers: Mapping[str, str]) -> None:
        if headers.get("x-amz-firehose-access-key") != self._api_key:
            raise PermissionError("the API key is not valid")


def acknowledgement(headers: Mapping[str, str], **more: Any) -> bytes:
    """The body that the protocol asks for."""
    acknowledged = {"requestId": headers.get("x-amz-firehose-request-id"), "timestamp": round(time.time() * 1000)}
    return json.dumps({**acknowledged, **more}).encode()


def _refusal(status: int, headers: Mapping[str, str], message: str) -> Answer:
    return Answer(status, acknowledgement(headers, errorMessage=message))


def _values(headers: Mapping[str, str], body: bytes) -> Iterator[Value]:
    """The data points of a request.

    Raises:
        ValueError, KeyError, DecodeError: it is not one of Firehose's, or its records are not of a metric stream.
    """
    if headers["x-amz-firehose-protocol-version"] != "1.0" or headers["content-type"] != "application/json":
        raise ValueError("not a request of the protocol's version 1.0")
    request = json.loads(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
    if request["requestId"] != headers["x-amz-firehose-request-id"]:
        raise ValueError("two request IDs")
    for record in request["records"]:
        for message in messages(base64.b64decode(record["data"], validate=True)):
            yield from _values_of(message)


def messages(record: bytes) -> Iterator[ExportMetricsServiceRequest]:
    """The messages of a record, each with its length before it.

    Raises:
        ValueError, DecodeError: the record is no sequence of them.
    """
    stream = io.BytesIO(record)
    while (message := parse_length_prefixed(ExportMetricsServiceRequest, stream)) is not None:
        yield message


def _values_of(message: ExportMetricsServiceRequest) -> Iterator[Value]:
    for resource in message.resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            for point in metric.summary.data_points:
                attributes = {pair.key: pair.value for pair in point.attributes}
                yield Value(
                    metric=metric.name,
                    unit=metric.unit,
                    namespace=attributes["Namespace"].string_value,
                    name=attributes["MetricName"].string_value,
                    dimensions=_texts(attributes["Dimensions"].kvlist_value.values),
                    count=point.count,
                    sum=point.sum,
                    quantiles={each.quantile: each.value for each in point.quantile_values},
                    start=point.start_time_unix_nano,
                    end=point.time_unix_nano,
                    resource=_texts(resource.resource.attributes),
                )


def _texts(pairs: Any) -> dict[str, str]:
    def text(pair: KeyValue) -> str:
        value: AnyValue = pair.value
        return str(value.string_value)

    return {pair.key: text(pair) for pair in pairs}


def _handler(intake: Intake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            answer = intake.receive(self.path, headers, body)
            if answer.lose:
                self.close_connection = True
                return
            content = acknowledgement(headers) if answer.body is None else answer.body
            self.send_response(answer.status)
            given = {"Content-Type": "application/json", "Content-Length": str(len(content)), **answer.headers}
            for name, value in given.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
