"""Which AWS operation an HTTP request is for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

from botocore.model import OperationModel

from sandbox.aws.protocol import HttpRequest, path_pattern, service_model, service_names

#: Credential scopes (signing names) that are not the name of a client of boto3.
_CLIENT_OF_SCOPE = {
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
    "elasticloadbalancing": "elbv2",
    "states": "stepfunctions",
    "email": "ses",
}

_SCOPE = re.compile(r"([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class Signature:
    """What a request says of its signature (Signature Version 4).

    Attributes:
        timestamp: when it was signed, as `20260131T235959Z`.
        expires: for how many seconds a presigned request is good; None for one that is signed in its header.
    """

    access_key: str
    region: str
    service: str
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    expires: int | None = None


def signature(headers: Mapping[str, str], query: str) -> Signature | None:
    """From the Authorization header, else from a presigned query; None where neither has a whole signature."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme == "AWS4-HMAC-SHA256":
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        parts["Date"], expires = headers.get("x-amz-date", ""), None
    else:
        parts = {name.removeprefix("X-Amz-"): value for name, value in parse_qsl(query) if name.startswith("X-Amz-")}
        if not re.fullmatch(r"\d{1,6}", parts.get("Expires", "")):
            return None
        expires = int(parts["Expires"])
    scope = _SCOPE.fullmatch(parts.get("Credential", ""))
    if scope is None or not _TIMESTAMP.fullmatch(parts.get("Date", "")) or not parts.get("Signature", "").isascii():
        return None
    signed_headers = tuple(parts.get("SignedHeaders", "").split(";"))
    return Signature(scope[1], scope[2], scope[3], parts["Date"], signed_headers, parts.get("Signature", ""), expires)


def service_of(scope: str, path: str) -> str:
    """The name of boto3's client for a credential scope; SageMaker's runtime signs as SageMaker and differs by path."""
    if scope == "sagemaker" and path.startswith("/endpoints/"):
        return "sagemaker-runtime"
    return _CLIENT_OF_SCOPE.get(scope, scope)


@dataclass(frozen=True)
class Call:
    """An operation of a service, and the parameters that the request shows without its shapes."""

    service: str
    operation: str
    params: dict[str, Any]

    @property
    def model(self) -> OperationModel | None:
        """None for an operation that botocore does not know."""
        if self.service not in service_names() or self.operation not in service_model(self.service).operation_names:
            return None
        return service_model(self.service).operation_model(self.operation)

    @property
    def protocol(self) -> str:
        return protocol_of(self.service)


def protocol_of(service: str) -> str:
    """The protocol of one of boto3's clients; that of most services where there is no such client."""
    return str(service_model(service).protocol) if service in service_names() else "json"


def identify(service: str, request: HttpRequest) -> Call:
    """The operation by X-Amz-Target, by Action, by an RPC path or by a REST path, in this order."""
    target = request.headers.get("x-amz-target")
    if target:
        return Call(service, target.rpartition(".")[2], _json_params(request.body))
    if rpc := re.fullmatch(r"/service/[^/]+/operation/([^/]+)", request.path):
        return Call(service, rpc[1], {})
    fields = parse_qs(request.query, keep_blank_values=True)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        fields |= parse_qs(request.body.decode(errors="replace"), keep_blank_values=True)
    if "Action" in fields:
        params = {name: values[0] for name, values in fields.items() if name not in ("Action", "Version")}
        return Call(service, fields["Action"][0], params)
    if service in service_names():
        return _rest_call(service, request, fields)
    return Call(service, f"{request.method} {request.path}", {})


def _json_params(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        return {}
    return params if isinstance(params, dict) else {}


@dataclass(frozen=True)
class _Route:
    """One operation of a REST protocol: what a request must show to be a call of it."""

    operation: str
    method: str
    path: re.Pattern[str]
    literals: Mapping[str, list[str]]
    query: frozenset[str]
    headers: frozenset[str]

    def matches(self, request: HttpRequest, path: str, fields: Mapping[str, list[str]]) -> bool:
        return (
            self.method == request.method
            and self.path.fullmatch(path) is not None
            and all(fields.get(name) == values for name, values in self.literals.items())
            and self.query <= set(fields)
            and self.headers <= set(request.headers)
        )

    @property
    def rank(self) -> tuple[int, int]:
        """The operation that asks for more is the one meant: `GET /b?tagging` is not ListObjects."""
        return len(self.literals) + len(self.query) + len(self.headers), self.path.groups


@cache
def _routes(service: str) -> tuple[_Route, ...]:
    model = service_model(service)
    return tuple(_route(model.operation_model(name)) for name in model.operation_names)


def _route(operation: OperationModel) -> _Route:
    uri = operation.http["requestUri"]
    members = operation.input_shape.members if operation.input_shape is not None else {}
    required = [members[name] for name in (operation.input_shape.required_members if operation.input_shape else ())]

    def bound_to(location: str) -> frozenset[str]:
        return frozenset(s.serialization["name"] for s in required if s.serialization.get("location") == location)

    return _Route(
        operation.name,
        operation.http["method"],
        path_pattern(uri),
        parse_qs(uri.partition("?")[2], keep_blank_values=True),
        bound_to("querystring"),
        frozenset(name.lower() for name in bound_to("header")),
    )


def _rest_call(service: str, request: HttpRequest, fields: Mapping[str, list[str]]) -> Call:
    path = _with_bucket(request) if service == "s3" else request.path
    routes = [route for route in _routes(service) if route.matches(request, path, fields)]
    if not routes:
        return Call(service, f"{request.method} {request.path}", {})
    route = max(routes, key=lambda r: r.rank)
    match = route.path.fullmatch(path)
    labels = {name: unquote(value) for name, value in match.groupdict().items()} if match else {}
    query = {name: values[0] for name, values in fields.items() if not name.startswith("X-Amz-")}
    is_json = service != "s3" and request.headers.get("content-type") == "application/json"
    body = _json_params(request.body) if is_json else {}
    return Call(service, route.operation, {**labels, **query, **body})


def _with_bucket(request: HttpRequest) -> str:
    """An S3 path with its bucket in front, also where the request names the bucket in its host."""
    host = request.headers.get("host", "").partition(":")[0]
    bucket = re.match(r"(.+)\.(?:s3[.-].*|s3|localhost)$", host)
    return f"/{bucket[1]}{request.path}" if bucket else request.path
