"""The WSGI front of the embedded AWS: finds the operation, asks our own services first, else moto.

A service of ours is an object with

- `handle(operation, params, context)`: `params` are validated by botocore's shape; returns the answer's members, or
  `PASS_TO_MOTO`; raises `AwsError`;
- optionally `serve(perform)`: called once with `EmbeddedAws.perform`, by which a service that is also reached by other
  ways than AWS's API (as ECR's registries are) performs its operations;
- optionally `close()`: called once when the server ends.

A request must name this machine as its host and be signed with the access key of the sandbox or with one that this
AWS has issued (see `access.py`); download addresses are signed by the service that hands them out.

Paths below `/_sandbox/` are outside AWS's API, for tests and the sandbox's command line, which send the access key as
`AccessKey.authorization`:

- `GET /_sandbox/health`: what `aws.json` says;
- `GET /_sandbox/calls?after=N&wait=SECONDS`: the call log (see `calls.py`);
- `GET`, `PUT /_sandbox/conditions`: see `conditions.py`.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

from botocore.parsers import create_parser
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import get_account_id_from, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.serving import BaseWSGIServer, make_server

from infra.triton.server import TritonServer, unavailable
from sandbox.aws import firehose
from sandbox.aws.access import AccessKey, check_signature, is_loopback, not_signed, unknown_key
from sandbox.aws.autoscaling import ApplicationAutoScaling
from sandbox.aws.budgets import Budgets
from sandbox.aws.calls import CallLog
from sandbox.aws.conditions import Conditions
from sandbox.aws.ecr import Ecr
from sandbox.aws.evaluation import CloudWatch
from sandbox.aws.hosting import Hosting, Hostings
from sandbox.aws.iam import Iam
from sandbox.aws.live import LiveFleets
from sandbox.aws.model_server import Launch
from sandbox.aws.pricing import Pricing
from sandbox.aws.protocol import (
    PASS_TO_MOTO,
    AwsError,
    HttpAnswer,
    HttpRequest,
    RequestContext,
    not_in_sandbox,
    parse,
    serialize,
    serialize_error,
)
from sandbox.aws.routing import Call, Signature, identify, protocol_of, service_of, signature
from sandbox.aws.runtime import SageMakerRuntime
from sandbox.aws.s3 import S3
from sandbox.aws.sagemaker import SageMaker
from sandbox.aws.scaling import Scaling
from sandbox.aws.tagging import Tagging

ACCOUNT = DEFAULT_ACCOUNT_ID
REGION = "ap-northeast-1"

StartResponse = Callable[..., Any]
Environ = dict[str, Any]


class Service(Protocol):
    """A service answered here; see the module's words for the optional members."""

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any] | None: ...


class EmbeddedAws:
    """A WSGI application that speaks for all of AWS."""

    def __init__(self, services: Mapping[str, Service], access_key: AccessKey) -> None:
        """`services` by the names of boto3's clients; `access_key` is the one of the sandbox's owner."""
        self._access_key = access_key
        self.calls = CallLog()
        self.conditions = Conditions()
        self.facts: dict[str, Any] = {}  # what `/_sandbox/health` says
        self._services = services
        self._moto = DomainDispatcherApplication(create_backend_app)
        for service in services.values():
            if serve := getattr(service, "serve", None):
                serve(self.perform)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, host = environ["PATH_INFO"], environ.get("HTTP_HOST", "")
        if not is_loopback(host):
            return _send(_json(403, {"error": f"the Host {host!r} is not a name of this machine"}), start_response)
        if path.startswith("/_sandbox/"):
            if not self._access_key.authorizes(_headers(environ)):
                return _send(_json(403, {"error": "not authorized with the sandbox's access key"}), start_response)
            return _send(self._control(path, environ), start_response)
        return self._answer_aws_call(environ, start_response)

    def _secret_of(self, access_key: str) -> str | None:
        """The secret of the sandbox's key, or of one that IAM or STS has issued."""
        if access_key == self._access_key.id:
            return self._access_key.secret
        keys = (account[name].access_keys for account in list(iam_backends.values()) for name in list(account))
        return next((held[access_key].secret_access_key for held in keys if access_key in held), None)

    def close(self) -> None:
        """Ends what the services run."""
        for service in self._services.values():
            if close := getattr(service, "close", None):
                close()

    def _answer_aws_call(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = time.time()
        headers = _headers(environ)
        signed = signature(headers, environ["QUERY_STRING"])
        service = service_of(signed.service if signed else "s3", environ["PATH_INFO"])
        request_id = str(uuid.uuid4())
        protocol = protocol_of(service)
        try:
            if signed is None:
                raise not_signed(protocol)
            if (secret := self._secret_of(signed.access_key)) is None:
                raise unknown_key(protocol)
            request = _request(environ, headers)
            check_signature(signed, request, secret)
        except AwsError as e:
            return _send(serialize_error(protocol, e, request_id), start_response)
        call = identify(service, request)
        try:
            answer = self._own_answer(call, request, signed)
            if answer is None:
                return self._moto_answer(call, began, environ, start_response)
            error = None
        except AwsError as e:
            answer, error = serialize_error(call.protocol, e, request_id), str(e)
        except Exception as e:
            traceback.print_exc()
            failure = AwsError("InternalFailure", f"the sandbox failed on {call.service} {call.operation}: {e!r}", 500)
            answer, error = serialize_error(call.protocol, failure, request_id), str(failure)
        answer.headers["x-amzn-RequestId"] = request_id
        self._done(began, call, answer.status, error)
        return _send(answer, start_response)

    def _own_answer(self, call: Call, request: HttpRequest, signed: Signature) -> HttpAnswer | None:
        """The answer of our own service, or None for moto to answer."""
        if self.conditions.throttles(call.service, call.operation):
            raise AwsError("ThrottlingException", "Rate exceeded")
        service, model = self._services.get(call.service), call.model
        if service is None:
            return None
        if model is None:
            raise not_in_sandbox(f"{call.service} {call.operation}")
        context = RequestContext(
            account=get_account_id_from(signed.access_key),
            region=signed.region,
            operation=call.operation,
            headers=request.headers,
            url_root=f"http://{request.headers['host']}",
            conditions=self.conditions,
            body=request.body,
        )
        params = parse(model, request) if call.protocol in ("json", "rest-json") else call.params
        call.params.update(params)
        result = service.handle(call.operation, params, context)
        return None if result is PASS_TO_MOTO else serialize(model, result)

    def perform(
        self, service: str, operation: str, params: dict[str, Any], account: str, region: str
    ) -> dict[str, Any]:
        """The answer to an operation that an account asked for by another way than AWS's API; it is logged as a call.

        Raises:
            AwsError: the operation's.
        """
        began, status, error = time.time(), 200, None
        context = RequestContext(account, region, operation, {}, "", self.conditions)
        try:
            if self.conditions.throttles(service, operation):
                raise AwsError("ThrottlingException", "Rate exceeded")
            return self._services[service].handle(operation, params, context) or {}
        except AwsError as e:
            status, error = e.status, str(e)
            raise
        except OSError as e:
            status, error = 500, f"InternalFailure: {e!r}"
            raise
        finally:
            self.calls.add(began, service, operation, params, status, error)
            time.sleep(self.conditions.answer_seconds(service, operation))

    def _moto_answer(
        self, call: Call, began: float, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [int(status.split()[0]), headers]
            return start_response(status, headers, exc_info)

        body: Iterable[bytes] = self._moto(environ, start)
        status, headers = started
        error = None
        if status >= 400:
            body = [b"".join(body)]
            error = _error_of(call, environ, status, headers, body[0])
        self._done(began, call, status, error)
        return body

    def _done(self, began: float, call: Call, status: int, error: str | None) -> None:
        """Logs a call before it is answered: whoever waits for it in the log may be sooner than who made it."""
        self.calls.add(began, call.service, call.operation, call.params, status, error)
        time.sleep(self.conditions.answer_seconds(call.service, call.operation))

    def _control(self, path: str, environ: Environ) -> HttpAnswer:
        match environ["REQUEST_METHOD"], path.removeprefix("/_sandbox/"):
            case "GET", "health":
                return _json(200, self.facts)
            case "GET", "calls":
                query = parse_qs(environ["QUERY_STRING"])
                after, wait = int(query.get("after", ["0"])[0]), float(query.get("wait", ["0"])[0])
                return _json(200, self.calls.after(after, wait))
            case "GET", "conditions":
                return _json(200, self.conditions.as_dict())
            case "PUT", "conditions":
                try:
                    self.conditions.replace(json.loads(_body(environ)))
                except (ValueError, TypeError) as e:
                    return _json(400, {"error": str(e)})
                return _json(200, self.conditions.as_dict())
        return _json(404, {"error": f"no such control endpoint: {environ['REQUEST_METHOD']} {path}"})


def _headers(environ: Environ) -> dict[str, str]:
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    return {
        **headers,
        "content-type": environ.get("CONTENT_TYPE", ""),
        "content-length": environ.get("CONTENT_LENGTH", ""),
    }


def _request(environ: Environ, headers: Mapping[str, str]) -> HttpRequest:
    """The request, whose body stays readable for moto."""
    raw_path = str(environ.get("RAW_URI", environ["PATH_INFO"])).partition("?")[0]
    body = _body(environ)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return HttpRequest(environ["REQUEST_METHOD"], raw_path, environ["QUERY_STRING"], headers, body)


def _body(environ: Environ) -> bytes:
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _error_of(call: Call, environ: Environ, status: int, headers: list[tuple[str, str]], body: bytes) -> str:
    """An error answer of moto as `Code: message`."""
    protocol = "json" if "HTTP_X_AMZ_TARGET" in environ else call.protocol
    lower = {name.lower(): value for name, value in headers}
    with suppress(Exception):
        parsed = create_parser(protocol).parse({"status_code": status, "headers": lower, "body": body}, None)
        return f"{parsed['Error']['Code']}: {parsed['Error']['Message']}"
    return f"{status}: {body[:500].decode(errors='replace')}"


def _json(status: int, value: Any) -> HttpAnswer:
    return HttpAnswer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _send(answer: HttpAnswer, start_response: StartResponse) -> list[bytes]:
    headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
    start_response(f"{answer.status} {HTTP_STATUS_CODES.get(answer.status, '')}", headers)
    return [answer.body]


class _RequestHandler(MotoRequestHandler):
    """moto's, without a line on stderr for every request: the call log has them."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def services(home: Path, launch: Launch | None) -> dict[str, Service]:
    """Our own services by the names of boto3's clients; every other one is moto's. `launch`: see `Fleet`."""
    hostings: Hostings = defaultdict(Hosting)
    live = LiveFleets(hostings)
    # An alarm acts on what `scaling` needs alarms to be made by.
    cloudwatch = CloudWatch(lambda *breach: scaling.act(*breach), firehose.put_records)
    autoscaling = ApplicationAutoScaling(hostings, cloudwatch.watch)
    sagemaker = SageMaker(hostings, home / "endpoints", launch, autoscaling.scalable_variants, autoscaling.deregister)
    scaling = Scaling(hostings, autoscaling, sagemaker.handle)
    return {
        "application-autoscaling": autoscaling,
        "budgets": Budgets(),
        "cloudwatch": cloudwatch,
        "ecr": Ecr(home / "layers", live.check),
        "firehose": firehose.Firehose(),
        "iam": Iam(live.check),
        "pricing": Pricing(),
        "resourcegroupstaggingapi": Tagging(hostings),
        "s3": S3(),
        "sagemaker": sagemaker,
        "sagemaker-runtime": SageMakerRuntime(hostings),
    }


def listen(aws: EmbeddedAws, port: int = 0) -> BaseWSGIServer:
    """A threaded server on loopback that listens already; port 0 is a free one."""
    return make_server("127.0.0.1", port, aws, threaded=True, request_handler=_RequestHandler)


def serve(home: Path, port: int = 0) -> None:
    """Serves until SIGTERM; `home/aws.json`, with the access key, is there exactly while it does."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    access_key = AccessKey.generate()
    aws = EmbeddedAws(services(home, TritonServer if unavailable() is None else None), access_key)
    server = listen(aws, port)
    aws.facts = {
        "pid": os.getpid(),
        "url": f"http://127.0.0.1:{server.server_port}",
        "region": REGION,
        "account": ACCOUNT,
        "triton": unavailable(),
        "accessKey": asdict(access_key),
    }
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for serve_forever(), which this very thread runs.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    announcement = home / "aws.json"
    _write_atomically(announcement, json.dumps(aws.facts))
    try:
        server.serve_forever(poll_interval=0.1)  # how long a SIGTERM waits
    finally:
        announcement.unlink(missing_ok=True)
        aws.close()
        server.server_close()
    sys.exit(0)


def _write_atomically(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
