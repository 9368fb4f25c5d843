"""A transform job under way: it reads objects, asks the model's Triton, and writes one object for each that it read."""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.fleet import Fleet, Log, Place, ProvisioningError, Variant
from sandbox.aws.model_server import Launch
from sandbox.aws.models import ExecutionRole, containers_of, memory_of
from sandbox.aws.protocol import AwsError, RequestContext
from sandbox.aws.role_s3 import RoleS3, S3Error
from sandbox.aws.s3_location import S3Location
from sandbox.aws.transform_data import DEFAULT_PAYLOAD_MB, DataError, Layout, Request
from sandbox.aws.usage import Meter

#: API_ModelClientConfig.
DEFAULT_TIMEOUT_SECONDS = 600
DEFAULT_RETRIES = 3

#: Requests in flight, however many instances a job has: all of them are one Triton here.
_MOST_REQUESTS = 32

#: Also the namespace of the metrics.
_LOG_GROUP = "/aws/sagemaker/TransformJobs"

Sources = Mapping[S3Location, S3Location]
"""The output object of each input object, in the order of the input."""


class StoppedError(Exception):
    """The job is to stop."""


class InvocationError(Exception):
    """The container does not answer a request with 2XX.

    Attributes:
        is_clients: whether it blames the request (4XX). That FailureReason is a ClientError then, and an AlgorithmError
            for 5XX or no answer, is inferred from what people report of both.
        lines: of the data log.
    """

    def __init__(self, is_clients: bool, lines: list[str]) -> None:
        super().__init__(lines[0])
        self.is_clients = is_clients
        self.lines = lines


@dataclass(frozen=True)
class JobPlace(Place):
    """Where a job lives; `endpoint` is its name."""

    @property
    def log_group(self) -> str:
        return _LOG_GROUP

    def log_stream(self, variant: str) -> str:
        """Developer guide, logging-cloudwatch: `[job name]/[instance ID]-[epoch timestamp]`."""
        return f"{super().log_stream(variant)}-{int(time.time())}"

    def no_capacity(self) -> str:
        """The text that DIAGNijmegen/rse-grand-challenge looks for."""
        return (
            "CapacityError: Unable to provision requested ML compute capacity. "
            "Please retry using a different ML instance type."
        )

    def ping_failed(self, variant: str) -> str:
        """The wording is ours: no report shows that of SageMaker."""
        return (
            "AlgorithmError: The primary container did not pass the ping health check. "
            "Please check CloudWatch logs for this job."
        )


class TransformJob(threading.Thread):
    """One job; `request` is botocore's CreateTransformJobRequest, `model` the CreateModelInput of its model.

    Attributes:
        status: TransformJobStatus.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        model: Mapping[str, Any],
        layout: Layout,
        directory: Path,
        launch: Launch | None,
        context: RequestContext,
    ) -> None:
        name, resources = request["TransformJobName"], request["TransformResources"]
        super().__init__(name=f"transform job {name}", daemon=True)
        self.status = "InProgress"
        self.failure_reason: str | None = None
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.modified = datetime.now(UTC)
        self._request = request
        self._layout = layout
        self._context = context
        self._s3 = RoleS3(ExecutionRole(model["ExecutionRoleArn"]), context)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        settings = {"VariantName": name, "InstanceType": resources["InstanceType"]}
        self._variant = Variant(settings, _with_environment(request, model), resources["InstanceCount"], 1.0)
        self._place = JobPlace(context.account, context.region, name, directory / name)
        self._fleet = Fleet(self._place, name, [self._variant], launch)
        self._data_log: Callable[[str], None] = lambda line: None
        # Unset and 0 mean what /execution-parameters answers; Triton has no such path, and the default is 1.
        self._concurrent = request.get("MaxConcurrentTransforms") or 1
        client = request.get("ModelClientConfig", {})
        self._timeout_seconds = client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS)
        self._retries = client.get("InvocationsMaxRetries", DEFAULT_RETRIES)

    def stop(self) -> None:
        """Ends the job as Stopped: it sends and writes nothing more."""
        with self._lock:
            if self.status == "InProgress":
                self._enter("Stopping")
        self._stopping.set()
        self._fleet.stop()

    def run(self) -> None:
        reason = None
        try:
            reason = self._transform()
        except ProvisioningError as error:
            reason = str(error)
        except (S3Error, AwsError, DataError) as error:
            reason = f"ClientError: {error}"
        except StoppedError:
            pass
        except Exception as error:
            traceback.print_exc()
            reason = f"InternalServerError: the sandbox failed: {error!r}"
        self._fleet.stop()
        with self._lock:
            self.ended = datetime.now(UTC)
            if self._stopping.is_set():
                self._enter("Stopped")
                return
            self.failure_reason = reason and reason[:1024]
            self._enter("Failed" if reason else "Completed")

    def _enter(self, status: str) -> None:
        self.status, self.modified = status, datetime.now(UTC)

    def _transform(self) -> str | None:
        """Transforms every object; returns the FailureReason if some of them failed."""
        sources = self._sources()
        self._fleet.start(self._context.conditions)
        if self._variant.server is None:
            raise ProvisioningError("No Triton runs here: the sandbox has SageMaker's control plane only.")
        self.started = datetime.now(UTC)
        self._data_log = Log(self._place, f"{self._variant.log_stream}/data-log")
        strategy = "SINGLE_RECORD" if self._layout.single_record else "MULTI_RECORD"
        payload = self._request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)
        self._say(f"MaxConcurrentTransforms={self._concurrent}, MaxPayloadInMB={payload}, BatchStrategy={strategy}")
        workers = min(self._concurrent * self._request["TransformResources"]["InstanceCount"], _MOST_REQUESTS)
        memory = memory_of(self._request["TransformResources"]["InstanceType"])
        meter = Meter(self._variant.server.pid, memory, self._publish)
        meter.start()
        try:
            with ThreadPoolExecutor(workers) as pool:
                asked = [(source, self._ask(source, pool)) for source in sources]
                reasons = [self._finish(source, sources[source], ask) for source, ask in asked]
        finally:
            meter.end()
        return next(filter(None, reasons), None)

    def _publish(self, values: Mapping[str, float]) -> None:
        """With the dimension `[job name]/[instance ID]` (developer guide, monitoring-cloudwatch)."""
        host = self._variant.log_stream.rpartition("-")[0]
        backend_of(self._context.account, self._context.region).publish(_LOG_GROUP, {"Host": host}, values)

    def _sources(self) -> Sources:
        """The input, and where each output goes.

        Its name is what follows the last slash of the prefix, with `.out` (batch-transform: `input1.csv` becomes
        `input1.csv.out`); below a manifest's prefix it is the relative path (inferred).

        Raises:
            S3Error: the role may not read it.
            DataError: there is none.
        """
        source = self._request["TransformInput"]["DataSource"]["S3DataSource"]
        target = S3Location.parse(self._request["TransformOutput"]["S3OutputPath"])
        at = S3Location.parse(source["S3Uri"])
        if source["S3DataType"] == "ManifestFile":
            prefix, *paths = _manifest(self._s3.read(at.bucket, at.key))
            start = S3Location.parse(prefix)
            names = {S3Location(start.bucket, start.key + path): path for path in paths}
        else:
            skipped = len(at.key.rpartition("/")[0])
            keys = self._s3.keys(at.bucket, at.key)
            # A key that ends in a slash is a folder that S3's console made.
            names = {S3Location(at.bucket, key): key[skipped:] for key in keys if not key.endswith("/")}
        if not names:
            raise DataError(f"No S3 objects found under {source['S3Uri']}")
        return {location: target.below(f"{name}.out") for location, name in names.items()}

    def _ask(self, source: S3Location, pool: ThreadPoolExecutor) -> Asked | DataError | S3Error:
        """Reads an object and sends its requests, which are answered while the next objects are read."""
        try:
            requests = self._layout.requests(self._s3.read(source.bucket, source.key))
        except (DataError, S3Error) as error:
            return error
        return Asked(requests, [pool.submit(self._invoke, request.body) for request in requests])

    def _finish(self, source: S3Location, target: S3Location, asked: Asked | DataError | S3Error) -> str | None:
        """Writes the complete output of an object, or nothing; returns the reason of its failure, which concerns no
        other object (batch-transform-errors)."""
        try:
            if not isinstance(asked, Asked):
                raise asked
            answers = [answer.result() for answer in asked.answers]
            output = self._layout.assemble(asked.requests, answers)
            if self._stopping.is_set():
                raise StoppedError
            settings = self._request["TransformOutput"]
            self._s3.write(target.bucket, target.key, output, settings.get("Accept", ""), settings.get("KmsKeyId"))
            return None
        except InvocationError as error:
            lines, kind = error.lines, "ClientError" if error.is_clients else "AlgorithmError"
        except (DataError, S3Error, AwsError) as error:
            lines, kind = [str(error)], "ClientError"
        if isinstance(asked, Asked):
            for answer in asked.answers:
                answer.cancel()
        for line in lines:
            self._say(f"{source.bucket}/{source.key}: {line}")
        return f"{kind}: See job logs for more information"

    def _invoke(self, body: bytes) -> bytes:
        """The container's answer to one request. A request without an answer, or with one of 5XX, is sent again; that
        one of 4XX is not sent again is inferred."""
        settings = self._request
        headers = {"Content-Type": settings["TransformInput"].get("ContentType", "")}
        if accept := settings["TransformOutput"].get("Accept"):
            headers["Accept"] = accept
        assert self._variant.server is not None
        for attempt in range(self._retries + 1):
            if self._stopping.is_set():
                raise StoppedError
            is_last = attempt == self._retries
            try:
                status, _, answer = self._variant.server.invoke(body, headers, self._timeout_seconds)
            except OSError:
                # https://github.com/aws/sagemaker-python-sdk/issues/1951
                if is_last:
                    raise InvocationError(False, ["Unable to get response from algorithm"]) from None
                continue
            if 200 <= status < 300:
                return self._within_limit(answer)
            if is_last or status < 500:
                # https://github.com/aws/sagemaker-tensorflow-serving-container/issues/93
                text = answer.decode(errors="replace").splitlines()
                lines = [f"Bad HTTP status received from algorithm: {status}", "", "Message:", *text]
                raise InvocationError(status < 500, lines)
        raise AssertionError("a last attempt returns or raises")

    def _within_limit(self, answer: bytes) -> bytes:
        """MaxPayloadInMB bounds answers as well (https://github.com/aws/sagemaker-python-sdk/issues/1096)."""
        limit = self._layout.payload_limit
        if limit is not None and len(answer) > limit:
            raise InvocationError(False, [f"Message size exceed limit: {limit}"])
        return answer

    def _say(self, line: str) -> None:
        """A line of the data log, in the form of https://github.com/aws/amazon-sagemaker-examples/issues/3948."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        self._data_log(f"{now}:[sagemaker logs]: {line}")


@dataclass(frozen=True)
class Asked:
    """An input object and its requests, which are being answered."""

    requests: list[Request]
    answers: list[Future[bytes]]


def _with_environment(request: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """The model with what its container gets in a job: the Environments of both, that of the job first, and what
    SageMaker adds (developer guide, your-algorithms-batch-code)."""
    strategy = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}.get(request.get("BatchStrategy", ""))
    given = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": request.get("MaxPayloadInMB"),
        "SAGEMAKER_BATCH_STRATEGY": strategy,
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": request.get("MaxConcurrentTransforms"),
    }
    container = containers_of(model)[0]
    environment = {
        **container.get("Environment", {}),
        **request.get("Environment", {}),
        "SAGEMAKER_BATCH": "true",
        **{name: str(value) for name, value in given.items() if value is not None},
    }
    return {**model, "PrimaryContainer": {**container, "Environment": environment}}


def _manifest(content: bytes) -> list[str]:
    """The prefix of a manifest and the paths below it (API_TransformS3DataSource)."""
    try:
        first, *paths = json.loads(content)
        prefix = first["prefix"]
    except (ValueError, TypeError, KeyError):
        prefix, paths = None, []
    if not isinstance(prefix, str) or not all(isinstance(path, str) for path in paths):
        raise DataError("The manifest must be a JSON array of an object with 'prefix' and of relative paths")
    return [prefix, *paths]
