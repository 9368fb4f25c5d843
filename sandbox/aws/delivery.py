"""How Firehose delivers records to an HTTP endpoint (Developer Guide, httpdeliveryrequestresponse).

The host of an endpoint is where the condition `httpEndpoints` says: a stand-in on loopback, reached by plain HTTP. A
host that is not in it cannot be reached. What Firehose cannot deliver it writes to S3, below the error output prefix
and `http-endpoint-failed/` (https://www.sumologic.com/help/docs/send-data/hosted-collectors/amazon-aws/
aws-kinesis-firehose-logs-source, S3 Replay).
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import urllib3
from moto.core.exceptions import ServiceException
from moto.secretsmanager.models import secretsmanager_backends

from sandbox.aws.conditions import Conditions
from sandbox.aws.protocol import AwsError, RequestContext
from sandbox.aws.role_s3 import RoleS3, S3Error
from sandbox.aws.service_role import ServiceRole

ANSWER_SECONDS: Final = 180
"""As they pass here, because the endpoint is as fast as it is whatever `timeFactor` says."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, JITTER = 1, 120, 0.15
LARGEST_ANSWER: Final = 1024 * 1024
LONGEST_ERROR_MESSAGE: Final = 8192
MOST_RECORDS: Final = 10_000
SECRET_SECONDS: Final = 600
"""How old a cached secret may be (Developer Guide, secrets-manager-how: "It refreshes the cache every 10 minutes")."""

_NAP_SECONDS = 0.02
_HTTP = urllib3.PoolManager(retries=False)


class _Undelivered(Exception):
    """An attempt failed, and is repeated. The codes are those of the Developer Guide, http_troubleshooting."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = f"HttpEndpoint.{code}"


class _TooLarge(Exception):
    """413: permanent, "and the record batch is not sent to error bucket"."""


@dataclass(frozen=True)
class Destination:
    """Where the records of a stream go now: what CreateDeliveryStream and UpdateDestination gave."""

    stream: str
    stream_arn: str
    version: int
    configuration: Mapping[str, Any]

    @property
    def s3(self) -> Mapping[str, Any]:
        configured: Mapping[str, Any] = self.configuration["S3Configuration"]
        return configured


class Records:
    """The buffer of a stream."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._since = 0.0
        self.closed = threading.Event()

    def add(self, records: Sequence[bytes]) -> None:
        with self._lock:
            if not self._waiting:
                self._since = self._conditions.now()
            self._waiting += records

    def take(self, hints: Mapping[str, int]) -> list[bytes]:
        """A batch, if there is one that is large or old enough."""
        with self._lock:
            large = sum(map(len, self._waiting)) >= hints["SizeInMBs"] * 1024 * 1024
            old = self._conditions.now() - self._since >= hints["IntervalInSeconds"]
            if not self._waiting or not (large or old):
                return []
            batch, self._waiting = self._waiting[:MOST_RECORDS], self._waiting[MOST_RECORDS:]
            return batch

    def close(self) -> None:
        self.closed.set()


@dataclass
class _Secret:
    key: str
    read: float


@dataclass
class _Attempts:
    """What has become of one batch so far."""

    made: int = 0
    paused: float = 0.0
    arrived: float = field(default_factory=time.time)


class Sender(threading.Thread):
    """Delivers what comes into the buffer of a stream until it is closed."""

    def __init__(self, records: Records, destination: Callable[[], Destination], context: RequestContext) -> None:
        super().__init__(name=f"delivery of {context.operation}", daemon=True)
        self._records = records
        self._destination = destination
        self._context = context
        self._conditions = context.conditions
        self._secret: _Secret | None = None

    def run(self) -> None:
        while not self._records.closed.wait(_NAP_SECONDS):
            if batch := self._records.take(self._destination().configuration["BufferingHints"]):
                try:
                    self._deliver(batch)
                except Exception:
                    traceback.print_exc()

    def _deliver(self, batch: Sequence[bytes]) -> None:
        request_id, attempts = str(uuid.uuid4()), _Attempts()
        while not self._records.closed.is_set():
            destination = self._destination()  # an update may change it between two attempts
            attempts.made += 1
            try:
                return self._send(destination, request_id, batch)
            except _TooLarge:
                return None
            except _Undelivered as error:
                pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempts.made - 1), LONGEST_PAUSE_SECONDS)
                pause *= random.uniform(1 - JITTER, 1 + JITTER)
                attempts.paused += pause
                if attempts.paused > destination.configuration["RetryOptions"]["DurationInSeconds"]:
                    return self._keep(destination, batch, attempts, error)
                self._conditions.pass_time(pause, self._records.closed)
        return None

    def _send(self, destination: Destination, request_id: str, batch: Sequence[bytes]) -> None:
        configuration = destination.configuration
        body = json.dumps(
            {
                "requestId": request_id,
                "timestamp": round(time.time() * 1000),
                "records": [{"data": base64.b64encode(record).decode()} for record in batch],
            }
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Firehose-Protocol-Version": "1.0",
            "X-Amz-Firehose-Request-Id": request_id,
            "X-Amz-Firehose-Source-Arn": destination.stream_arn,
        }
        if key := self._key(configuration):
            headers["X-Amz-Firehose-Access-Key"] = key
        request = configuration["RequestConfiguration"]
        if attributes := request.get("CommonAttributes"):
            named = {each["AttributeName"]: each["AttributeValue"] for each in attributes}
            headers["X-Amz-Firehose-Common-Attributes"] = json.dumps({"commonAttributes": named})
        if request.get("ContentEncoding") == "GZIP":
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        _check_answer(self._post(configuration["EndpointConfiguration"]["Url"], body, headers), request_id)

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        asked = urlsplit(url)
        stand_in = self._conditions.http_endpoints.get(asked.hostname or "")
        if stand_in is None:
            raise _Undelivered("ConnectionFailed", f"{asked.hostname} cannot be reached from the sandbox")
        reached = urlsplit(stand_in)
        try:
            return _HTTP.request(
                "POST",
                urlunsplit((reached.scheme, reached.netloc, asked.path, asked.query, "")),
                body=body,
                headers={**headers, "Host": asked.netloc},
                timeout=ANSWER_SECONDS,
                redirect=False,
                decode_content=False,
            )
        except urllib3.exceptions.TimeoutError:
            raise _Undelivered("RequestTimeout", "The endpoint did not answer in time.") from None
        except urllib3.exceptions.HTTPError as error:
            raise _Undelivered("ConnectionReset", f"The connection to the endpoint failed: {error}") from None

    def _key(self, configuration: Mapping[str, Any]) -> str | None:
        secret = configuration["SecretsManagerConfiguration"]
        if not secret["Enabled"]:
            key: str | None = configuration["EndpointConfiguration"].get("AccessKey")
            return key
        now = self._conditions.now()
        if self._secret is None or now - self._secret.read >= SECRET_SECONDS:
            role = ServiceRole(secret.get("RoleARN") or configuration["RoleARN"])
            self._secret = _Secret(api_key(secret["SecretARN"], role), now)
        return self._secret.key

    def _keep(self, destination: Destination, batch: Sequence[bytes], attempts: _Attempts, error: _Undelivered) -> None:
        """Writes a batch to the bucket. One that it cannot write is lost, as on AWS after 24 hours."""
        now, s3 = datetime.now(UTC), destination.s3
        lines = [
            json.dumps(
                {
                    "attemptsMade": attempts.made,
                    "arrivalTimestamp": round(attempts.arrived * 1000),
                    "errorCode": error.code,
                    "errorMessage": str(error),
                    "attemptEndingTimestamp": round(now.timestamp() * 1000),
                    "rawData": base64.b64encode(record).decode(),
                }
            )
            for record in batch
        ]
        content = "".join(f"{line}\n" for line in lines).encode()
        name = f"{destination.stream}-{destination.version}-{now:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}"
        if s3["CompressionFormat"] == "GZIP":
            content, name = gzip.compress(content), f"{name}.gz"
        key = f"{s3.get('ErrorOutputPrefix', '')}http-endpoint-failed/{now:%Y/%m/%d/%H}/{name}"
        try:
            RoleS3(ServiceRole(s3["RoleARN"]), self._context).write(s3["BucketARN"].split(":")[5], key, content)
        except (S3Error, AwsError) as problem:
            print(f"firehose: {destination.stream} cannot write {key}: {problem}", flush=True)


def api_key(secret_arn: str, role: ServiceRole) -> str:
    """The `api_key` of a secret, as a role reads it (Developer Guide, secrets-manager-whats-secret)."""
    _, _, _, region, account, *_ = secret_arn.split(":")
    if not role.allows("secretsmanager:GetSecretValue", secret_arn):
        raise _Undelivered("SecretsManagerAccessDenied", f"{role.arn} may not read {secret_arn}")
    backend = secretsmanager_backends[account][region]
    try:
        value = backend.get_secret_value(secret_arn, "", "")
        key_arn = getattr(backend.describe_secret(secret_arn), "kms_key_id", None)  # a replica has none
    except ServiceException as error:
        raise _Undelivered("SecretsManagerException", f"{secret_arn}: {error}") from None
    context = {
        "kms:ViaService": f"secretsmanager.{region}.amazonaws.com",
        "kms:EncryptionContext:SecretARN": secret_arn,
    }
    if key_arn and ":key/" in key_arn and not role.allows("kms:Decrypt", key_arn, context):
        raise _Undelivered("SecretsManagerAccessDenied", f"{role.arn} may not decrypt {secret_arn}")
    try:
        return str(json.loads(value["SecretString"])["api_key"])
    except (KeyError, TypeError, ValueError):
        raise _Undelivered("SecretsManagerException", f'{secret_arn} does not have the form {{"api_key": …}}') from None


def _check_answer(answer: urllib3.BaseHTTPResponse, request_id: str) -> None:
    """Whether the endpoint acknowledged the request. What is malformed counts as a 500 without a body."""
    if (problem := _malformed(answer, request_id)) is not None:
        message = f"The response of the endpoint is malformed: {problem}"
        raise _Undelivered("InvalidResponseFromDestination", message)
    if answer.status == 413:
        raise _TooLarge
    if answer.status != 200:
        message = f"The following response was received from the endpoint destination. {answer.status}: "
        raise _Undelivered("DestinationException", message + answer.data.decode())


def _malformed(answer: urllib3.BaseHTTPResponse, request_id: str) -> str | None:
    body, headers = answer.data, answer.headers
    if answer.status // 100 not in (2, 4, 5):
        return f"status {answer.status}"
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return f"Content-Type {headers.get('Content-Type')}"
    if "Content-Encoding" in headers or "Content-Length" not in headers:
        return "a Content-Encoding, or no Content-Length"
    if len(body) > LARGEST_ANSWER:
        return f"{len(body)} bytes"
    try:
        acknowledged = json.loads(body)
    except ValueError:
        return "not JSON"
    if not isinstance(acknowledged, dict) or acknowledged.get("requestId") != request_id:
        return "another requestId"
    if type(acknowledged.get("timestamp")) is not int:
        return "no timestamp"
    message = acknowledged.get("errorMessage", "")
    return None if isinstance(message, str) and len(message) <= LONGEST_ERROR_MESSAGE else "errorMessage"
