"""AWS's JSON protocols by botocore's shapes: parse and validate a request, serialize an answer or an error."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape

if TYPE_CHECKING:
    from sandbox.aws.conditions import Conditions

#: What a service returns to let moto answer the request as it came.
PASS_TO_MOTO: Final[Any] = NotImplemented


class AwsError(Exception):
    """An error answer of AWS; `members` are further members of the error's shape (as `lastValidByteReceived`)."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def invalid(message: str) -> AwsError:
    """For what most services refuse."""
    return AwsError("ValidationException", message)


def not_in_sandbox(what: str) -> AwsError:
    """For what AWS can do and this stand-in cannot: refused, never pretended."""
    return AwsError("NotInTheSandbox", f"{what} is not in the sandbox; only AWS can do this.")


@dataclass(frozen=True)
class RequestContext:
    """Who calls what, and where: everything of a request that is not its parameters."""

    account: str
    region: str
    operation: str
    headers: Mapping[str, str]
    url_root: str
    conditions: Conditions
    body: bytes = b""

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of the caller's account and region."""
        return f"arn:{partition(self.region)}:{service}:{self.region}:{self.account}:{resource}"


Guard = Callable[[str, Mapping[str, Any], RequestContext], None]
"""Raises `AwsError` for a call, by its operation and parameters, that must not be answered."""


@dataclass(frozen=True)
class HttpRequest:
    """The parts of an HTTP request that AWS's protocols read; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def partition(region: str) -> str:
    """The first part of a region's ARNs."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


@cache
def service_names() -> frozenset[str]:
    """The names that boto3's clients have."""
    return frozenset(botocore.session.get_session().get_available_services())


@cache
def service_model(service: str) -> ServiceModel:
    """botocore's model of a service, by the name that boto3's clients have."""
    return botocore.session.get_session().get_service_model(service)


def parse(operation: OperationModel, request: HttpRequest) -> dict[str, Any]:
    """The request's parameters, validated by the operation's input shape.

    Members that the shape does not know are dropped, as AWS's services do.
    Raises `AwsError`: SerializationException for a wrong type, the service's validation error for violated constraints.
    """
    shape = operation.input_shape
    if shape is None:
        return {}
    raw = _rest_members(operation, request) if _is_rest(operation) else _json_object(request.body)
    parsed: dict[str, Any] = _decode(shape, raw)
    check(operation, parsed)
    return parsed


def check(operation: OperationModel, params: Mapping[str, Any]) -> None:
    """Raises `AwsError` for parameters that violate a constraint of the operation's input shape."""
    problems = list(_violations(operation.input_shape, params, "")) if operation.input_shape is not None else []
    if problems:
        detected = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
        raise AwsError(_validation_code(operation), f"{detected} detected: {'; '.join(problems)}")


def serialize(operation: OperationModel, result: Mapping[str, Any] | None) -> HttpAnswer:
    """The answer to a call, by the operation's output shape; members that the shape does not know are left out."""
    shape = operation.output_shape
    result = result or {}
    status = int(operation.http.get("responseCode", 200))
    if not _is_rest(operation):
        body = _encode(shape, result) if shape is not None else {}
        return HttpAnswer(200, {"Content-Type": _json_content_type(operation)}, json.dumps(body).encode())
    headers, members = {}, {}
    for name, member in shape.members.items() if shape is not None else ():
        if name not in result or result[name] is None:
            continue
        if member.serialization.get("location") == "header":
            headers[member.serialization.get("name", name)] = str(result[name])
        else:
            members[name] = result[name]
    payload = shape.serialization.get("payload") if shape is not None else None
    if payload is not None:
        return HttpAnswer(status, headers, members.get(payload, b""))
    body = json.dumps(_encode(shape, members) if shape is not None else {})
    return HttpAnswer(status, {"Content-Type": "application/json", **headers}, body.encode())


def serialize_error(protocol: str, error: AwsError, request_id: str) -> HttpAnswer:
    """An error in the words of a protocol: `json`, `rest-json`, `query`, `ec2` or `rest-xml`."""
    if protocol in ("query", "ec2", "rest-xml"):
        return HttpAnswer(error.status, {"Content-Type": "text/xml"}, _xml_error(protocol, error, request_id).encode())
    # Clients of different services read `message` or `Message`; botocore takes either.
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": error.code}
    return HttpAnswer(error.status, headers, json.dumps(body).encode())


def _is_rest(operation: OperationModel) -> bool:
    return bool(operation.service_model.protocol.startswith("rest"))


def _json_content_type(operation: OperationModel) -> str:
    return f"application/x-amz-json-{operation.service_model.metadata.get('jsonVersion', '1.1')}"


def _validation_code(operation: OperationModel) -> str:
    """The error code that a service gives to invalid input; most services' models leave ValidationException out."""
    if operation.service_model.protocol == "query":
        return "ValidationError"
    modeled = {shape.name for shape in operation.error_shapes}
    return next((c for c in ("ValidationError", "InvalidParameterException") if c in modeled), "ValidationException")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        raise AwsError("SerializationException", "The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise AwsError("SerializationException", "Start of structure expected")
    return value


def path_pattern(uri: str) -> re.Pattern[str]:
    """A botocore `requestUri` as a regular expression over a request's path, still percent-encoded."""
    path = re.escape(uri.partition("?")[0]).replace(r"\{", "{").replace(r"\}", "}").replace(r"\+", "+")
    return re.compile(re.sub(r"\{(\w+)(\+?)\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", path) + "/?")


def _rest_members(operation: OperationModel, request: HttpRequest) -> dict[str, Any]:
    match = path_pattern(operation.http["requestUri"]).fullmatch(request.path)
    labels = match.groupdict() if match else {}
    query = parse_qs(request.query, keep_blank_values=True)
    payload = operation.input_shape.serialization.get("payload")
    members: dict[str, Any] = {} if payload else _json_object(request.body)
    for name, shape in operation.input_shape.members.items():
        place, key = shape.serialization.get("location"), shape.serialization.get("name", name)
        if place == "uri" and key in labels:
            members[name] = _from_text(shape, unquote(labels[key]))
        elif place == "header" and key.lower() in request.headers:
            members[name] = _from_text(shape, request.headers[key.lower()])
        elif place == "querystring" and key in query:
            members[name] = _from_text(shape, query[key][0])
        elif name == payload:
            members[name] = request.body
    return members


def _from_text(shape: Shape, text: str) -> Any:
    """A header, label or query parameter as the JSON value that its shape asks for; other text stays text."""
    if shape.type_name in ("integer", "long") and re.fullmatch(r"-?\d+", text):
        return int(text)
    return text


def _decode(shape: Shape, value: Any) -> Any:
    """A JSON value as a shape's Python value: blobs as bytes, timestamps as aware datetimes."""
    match shape.type_name:
        case "structure":
            value = _expect(value, dict, "Start of structure expected")
            known = {name: value.get(name) for name in shape.members}
            return {name: _decode(shape.members[name], v) for name, v in known.items() if v is not None}
        case "list":
            return [_decode(shape.member, item) for item in _expect(value, list, "Start of list expected")]
        case "map":
            value = _expect(value, dict, "Start of map expected")
            return {key: _decode(shape.value, item) for key, item in value.items() if item is not None}
        case "string":
            return _expect(value, str, f"{_kind(value)} can not be converted to a String")
        case "integer" | "long":
            return int(_number(value, "an Integer"))
        case "float" | "double":
            return float(_number(value, "a Float"))
        case "boolean":
            return _expect(value, bool, f"{_kind(value)} can not be converted to a Boolean")
        case "timestamp":
            return datetime.fromtimestamp(float(_number(value, "milliseconds since epoch")), UTC)
        case "blob" if not isinstance(value, bytes):
            return _base64(value)
    return value


def _expect(value: Any, kind: type, message: str) -> Any:
    if not isinstance(value, kind):
        raise AwsError("SerializationException", message)
    return value


def _kind(value: Any) -> str:
    """How AWS's JSON reader calls the kind of a value."""
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    kinds = {"str": "STRING_VALUE", "dict": "START_OBJECT", "list": "START_ARRAY"}
    return kinds.get(type(value).__name__, "NUMBER_VALUE")


def _number(value: Any, target: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AwsError("SerializationException", f"{_kind(value)} can not be converted to {target}")
    return value


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise AwsError("SerializationException", "Invalid base64 in a blob") from None


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Every constraint that a value violates, in AWS's words.

    The wording is that of real answers, as in
    https://github.com/aws-samples/sagemaker-ml-workflow-with-apache-airflow/issues/3 and
    https://github.com/aws/amazon-sagemaker-examples/issues/2236.
    """
    for constraint in _broken_constraints(shape, value):
        shown = "Value" if shape.type_name == "blob" else f"Value '{_shown(value)}'"
        yield f"{shown} at '{path}' failed to satisfy constraint: {constraint}"
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                missing = _member_path(path, name)
                yield f"Value null at '{missing}' failed to satisfy constraint: Member must not be null"
        for name, member in value.items():
            yield from _violations(shape.members[name], member, _member_path(path, name))
    elif shape.type_name == "list":
        for place, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{place}.member")


def _broken_constraints(shape: Shape, value: Any) -> Iterator[str]:
    if shape.type_name == "map":
        for what, part, items in (("keys", shape.key, value.keys()), ("value", shape.value, value.values())):
            if any(next(_broken_constraints(part, item), None) for item in items if isinstance(item, str)):
                yield f"Map {what} must satisfy constraint: [{', '.join(_constraints(part))}]"
    if shape.type_name in ("string", "list", "map", "blob"):
        low, high, size = shape.metadata.get("min"), shape.metadata.get("max"), len(value)
        if low is not None and size < low:
            yield f"Member must have length greater than or equal to {low}"
        if high is not None and size > high:
            yield f"Member must have length less than or equal to {high}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            yield f"Member must have value greater than or equal to {low}"
        if high is not None and value > high:
            yield f"Member must have value less than or equal to {high}"
    if shape.type_name == "string":
        pattern = shape.metadata.get("pattern")
        if pattern and (compiled := _compiled(pattern)) and not compiled.fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            yield f"Member must satisfy enum value set: [{', '.join(allowed)}]"


def _constraints(shape: Shape) -> Iterator[str]:
    """All constraints of a map's keys or values, which AWS lists together."""
    if "max" in shape.metadata:
        yield f"Member must have length less than or equal to {shape.metadata['max']}"
    if "min" in shape.metadata:
        yield f"Member must have length greater than or equal to {shape.metadata['min']}"
    if "pattern" in shape.metadata:
        yield f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}"


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A shape's pattern, written in Java's dialect; None where Python has no such dialect (as `\\p{ASCII}*`)."""
    flags = 0 if r"\p{" in pattern else re.ASCII  # Java's \w is ASCII's
    for java, python in ((r"\p{L}", r"\w"), (r"\p{N}", r"\w"), (r"\p{Z}", r"\s")):
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern, flags)
    except re.error:
        return None


def _member_path(path: str, member: str) -> str:
    member = member[:1].lower() + member[1:]
    return f"{path}.{member}" if path else member


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)


def _encode(shape: Shape, value: Any) -> Any:
    """A Python value as JSON, by its shape."""
    match shape.type_name:
        case "structure":
            members = ((name, member) for name, member in shape.members.items() if value.get(name) is not None)
            return {m.serialization.get("name", name): _encode(m, value[name]) for name, m in members}
        case "list":
            return [_encode(shape.member, item) for item in value]
        case "map":
            return {key: _encode(shape.value, item) for key, item in value.items()}
        case "timestamp" if isinstance(value, datetime):
            return value.timestamp()
        case "blob":
            return base64.b64encode(value).decode()
    return value


def _xml_error(protocol: str, error: AwsError, request_id: str) -> str:
    words = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "rest-xml":
        return f"<Error>{words}<RequestId>{request_id}</RequestId></Error>"
    if protocol == "ec2":
        return f"<Response><Errors><Error>{words}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    return f"<ErrorResponse><Error>{words}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
