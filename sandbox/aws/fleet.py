"""The instances behind one endpoint configuration: a real Triton for each production variant."""

from __future__ import annotations

import random
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.logs.models import LogsBackend, logs_backends

from infra.triton.serve_script import ArchiveError, ServeError
from infra.triton.server import INVOKE_TIMEOUT_SECONDS
from sandbox.aws.async_settings import LONGEST_INVOCATION_SECONDS, AsyncSettings
from sandbox.aws.conditions import Conditions
from sandbox.aws.model_server import Launch, Server
from sandbox.aws.models import Image, ModelData, containers_of, platform_of
from sandbox.aws.serverless import MAX_IMAGE, STARTUP_SECONDS, Execution, Function, is_serverless

#: SageMaker's own limit where the configuration names none ("How containers serve requests": 8 minutes after startup).
DEFAULT_HEALTH_CHECK_SECONDS = 480

_PING_INTERVAL_SECONDS = 0.1


class ProvisioningError(Exception):
    """A fleet did not come into service; the message is the endpoint's FailureReason, in SageMaker's words."""


@dataclass(frozen=True)
class Place:
    """Where an endpoint lives: its account and region, and a directory for what its containers hold."""

    account: str
    region: str
    endpoint: str
    directory: Path

    @property
    def log_group(self) -> str:
        return f"/aws/sagemaker/Endpoints/{self.endpoint}"

    def log_stream(self, variant: str) -> str:
        """A new instance's log stream."""
        return f"{variant}/i-{secrets.token_hex(8)}0"

    def no_capacity(self) -> str:
        """https://github.com/aws/deep-learning-containers/pull/6673"""
        return (
            "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
            "Please retry using a different ML instance type or after some time."
        )

    def ping_failed(self, variant: str) -> str:
        """https://github.com/aws/amazon-sagemaker-examples/issues/210"""
        return (
            f"The primary container for production variant {variant} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )


@dataclass
class Variant:
    """A production variant in life: what its configuration asks for, and what it has now."""

    settings: Mapping[str, Any]  # botocore's ProductionVariant
    model: Mapping[str, Any]  # botocore's CreateModelInput
    desired_count: int
    desired_weight: float
    current_count: int = 0
    current_weight: float = 0.0
    status: str | None = "Creating"
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    resolved_image: str | None = None
    platform: str | None = None
    server: Server | None = None
    log_stream: str = ""
    serverless: dict[str, Any] | None = None  # the live ServerlessConfig; None for a variant with instances

    def __post_init__(self) -> None:
        if is_serverless(self.settings):
            self.serverless = dict(self.settings["ServerlessConfig"])

    @property
    def name(self) -> str:
        return str(self.settings["VariantName"])

    @property
    def instance_type(self) -> str | None:
        """None for a serverless variant."""
        return self.settings.get("InstanceType")

    @property
    def function(self) -> Function | None:
        """The compute of a serverless variant; None for one with instances, and where no Triton runs."""
        return self.server if isinstance(self.server, Function) else None

    def execution(self) -> AbstractContextManager[Execution]:
        """What answers one request. Raises what `Function.execution` raises, and `OSError` where no Triton runs."""
        if self.server is None:
            raise ConnectionError("no Triton runs here")
        return self.function.execution() if self.function else nullcontext(Execution(self.server))

    @property
    def container(self) -> Mapping[str, Any]:
        return containers_of(self.model)[0]

    def enter(self, status: str | None) -> None:
        """A new VariantStatus; None once nothing is under way."""
        self.status, self.since = status, datetime.now(UTC)

    def summary(self) -> dict[str, Any]:
        """botocore's PendingProductionVariantSummary, of which ProductionVariantSummary is a part."""
        image = {"SpecifiedImage": self.container["Image"], "ResolvedImage": self.resolved_image}
        return {
            "VariantName": self.name,
            "InstanceType": self.instance_type,
            "CurrentServerlessConfig": self.serverless,
            "DesiredServerlessConfig": self.serverless if self.status else None,
            "DeployedImages": [{**image, "ResolutionTime": self.since}] if self.resolved_image else [],
            "CurrentWeight": self.current_weight,
            "DesiredWeight": self.desired_weight,
            "CurrentInstanceCount": self.current_count,
            "DesiredInstanceCount": self.desired_count,
            "VariantStatus": [{"Status": self.status, "StartTime": self.since}] if self.status else None,
            "ManagedInstanceScaling": self.settings.get("ManagedInstanceScaling"),
            "RoutingConfig": self.settings.get("RoutingConfig"),
        }


class Fleet:
    """The instances behind one endpoint configuration.

    One Triton serves each variant, however many instances the variant has: their number is bookkeeping.
    `launch` is None where no Triton runs on this machine; the fleet then comes into service without one.
    """

    def __init__(
        self,
        place: Place,
        config_name: str,
        variants: Iterable[Variant],
        launch: Launch | None,
        asynchronous: AsyncSettings | None = None,
    ) -> None:
        self.config_name = config_name
        self.variants = list(variants)
        self.asynchronous = asynchronous
        self.created = datetime.now(UTC)
        self._place = place
        self._directory = place.directory / f"{config_name}-{secrets.token_hex(4)}"
        self._launch = launch
        self._stopping = threading.Event()
        self._stopping_reason = "The endpoint is being deleted."
        self._stop_lock = threading.Lock()
        self._in_flight = 0
        self._answered = threading.Condition()

    def start(self, conditions: Conditions, counts: Mapping[str, int] | None = None) -> None:
        """Brings every variant into service, with so many instances of each, else as many as are desired.

        A variant with zero instances, which an asynchronous endpoint may have, starts no container.

        Raises `ProvisioningError`; `stop` takes away what was started.
        """
        wanted = {variant.name: variant.desired_count for variant in self.variants} | dict(counts or {})
        started = [variant for variant in self.variants if variant.serverless is not None or wanted[variant.name]]
        self._provision(conditions, started)
        for variant in self.variants:
            self._resolve(variant)
            if self._launch is not None and variant in started:
                self._start_container(variant, self._launch, conditions)
        began = time.monotonic()
        for variant in self.variants:
            self._wait_until_healthy(variant, began, conditions.health_check_seconds)
            variant.current_weight = variant.desired_weight
        self.resize(counts or {})

    def grow(self, conditions: Conditions, counts: Mapping[str, int]) -> None:
        """Adds instances until there are so many of each variant. Raises `ProvisioningError`."""
        self._provision(conditions, self.variants)
        self.resize(counts)

    def wake(self, variant: Variant, conditions: Conditions) -> None:
        """Starts the container of a variant that had zero instances. Raises `ProvisioningError`."""
        if self._launch is None:
            return
        try:
            self._start_container(variant, self._launch, conditions)
            self._wait_until_healthy(variant, time.monotonic(), conditions.health_check_seconds)
        except ProvisioningError:
            self.put_to_sleep(variant)
            raise

    def put_to_sleep(self, variant: Variant) -> None:
        """Ends the container of a variant that has zero instances now."""
        with self._stop_lock:
            if variant.server is not None:
                variant.server.stop(grace_seconds=0)
            variant.server = None
        shutil.rmtree(self._directory / variant.name, ignore_errors=True)

    def resize(self, counts: Mapping[str, int]) -> None:
        """So many instances of each variant from now on; as many as are desired of those not named."""
        for variant in self.variants:
            variant.current_count = counts.get(variant.name, variant.desired_count)

    def cancel(self, reason: str) -> None:
        """Ends whatever waits for this fleet with a `ProvisioningError`; its containers go on until `stop`."""
        if not self._stopping.is_set():
            self._stopping_reason = reason
            self._stopping.set()

    def pass_time(self, seconds: float, conditions: Conditions) -> None:
        """Lets seconds of AWS's time pass. Raises `ProvisioningError` as soon as the fleet is stopped or cancelled."""
        conditions.pass_time(seconds, self._stopping)
        self.go_on()

    def go_on(self) -> None:
        """Raises `ProvisioningError` once the fleet is stopped or cancelled."""
        if self._stopping.is_set():
            raise ProvisioningError(self._stopping_reason)

    def stop(self) -> None:
        """Ends every container, also while `start` still runs in another thread."""
        self._stopping.set()
        with self._stop_lock, ThreadPoolExecutor(len(self.variants)) as at_once:
            servers = [variant.server for variant in self.variants if variant.server is not None]
            # no request is under way any more, and Triton would take two seconds to unload what nobody asks
            list(at_once.map(lambda server: server.stop(grace_seconds=0), servers))
            for variant in self.variants:
                variant.current_count = 0
        shutil.rmtree(self._directory, ignore_errors=True)

    def take_request(self) -> None:
        """A request is on its way into this fleet: `drain` waits for its `release_request`."""
        with self._answered:
            self._in_flight += 1

    def release_request(self) -> None:
        with self._answered:
            self._in_flight -= 1
            self._answered.notify_all()

    def drain(self) -> None:
        """Waits for the requests in flight. No new ones come once traffic is routed elsewhere."""
        with self._answered:
            longest = LONGEST_INVOCATION_SECONDS if self.asynchronous else INVOKE_TIMEOUT_SECONDS
            self._answered.wait_for(lambda: self._in_flight == 0, longest)

    def variant(self, name: str) -> Variant | None:
        return next((variant for variant in self.variants if variant.name == name), None)

    def choose(self) -> Variant:
        """A variant for one request: each as often as its share of the weights."""
        weights = [variant.current_weight for variant in self.variants]
        return random.choices(self.variants, weights if any(weights) else None)[0]

    def stored_bytes(self, variant: Variant) -> int:
        """What is on the disk of an instance: the artifact, and what the container has made of it."""
        stored = 0
        for path in (self._directory / variant.name).rglob("*"):
            with suppress(OSError):  # removed meanwhile
                stored += path.lstat().st_size
        return stored

    def _provision(self, conditions: Conditions, variants: Iterable[Variant]) -> None:
        for variant in variants:
            if variant.instance_type is not None and conditions.lacks_capacity(variant.instance_type):
                raise ProvisioningError(self._place.no_capacity())
        conditions.wait("provisioningSeconds", self._stopping)
        self.go_on()

    def _resolve(self, variant: Variant) -> None:
        reference = variant.container["Image"]
        stored = Image.parse(reference).stored()
        if stored is None:
            # https://github.com/aws/sagemaker-tensorflow-training-toolkit/issues/294
            raise ProvisioningError(f"The image '{reference}' does not exist.")
        if variant.serverless is not None and stored.size > MAX_IMAGE:
            # https://github.com/aws-solutions/qnabot-on-aws/issues/691. That AWS measures the unpacked image, which is
            # larger, is inferred from that report.
            raise ProvisioningError(f"Image size {stored.size} is greater than supported size {MAX_IMAGE}")
        variant.resolved_image, variant.platform = stored.reference, stored.platform

    def _start_container(self, variant: Variant, launch: Launch, conditions: Conditions) -> None:
        variant.log_stream = self._place.log_stream(variant.name)
        log = Log(self._place, variant.log_stream)
        if variant.platform != platform_of(variant.instance_type):
            # What the kernel of a Graviton instance says to an image for linux/amd64.
            log("exec /opt/nvidia/nvidia_entrypoint.sh: exec format error")
            raise self._ping_failed(variant)
        directory = self._directory / variant.name
        archive = self._download(variant, directory)
        environment = variant.container.get("Environment", {})
        server: Server
        if variant.serverless is not None:
            server = Function(
                variant.serverless,
                lambda container: launch(archive, environment, container, log),
                directory / "container",
                conditions,
            )
        else:
            server = launch(archive, environment, directory / "container", log)
        with self._stop_lock:
            self.go_on()
            variant.server = server
            try:
                server.start()
            except ArchiveError:
                url = variant.container["ModelDataUrl"]
                raise ProvisioningError(
                    f'Failed to extract model data archive for container "container_1" from URL: "{url}". Please '
                    "ensure that the object located at the URL is a valid tar.gz archive."
                ) from None
            except ServeError:
                raise self._ping_failed(variant) from None

    def _download(self, variant: Variant, directory: Path) -> Path:
        directory.mkdir(parents=True)
        (directory / "container").mkdir()
        archive = directory / "model.tar.gz"
        url = variant.container.get("ModelDataUrl", "")
        content = ModelData(url).read(self._place.account, self._place.region)
        if content is None:
            # https://github.com/aws-solutions-library-samples/fraud-detection-using-machine-learning/issues/9
            raise ProvisioningError(
                f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that '
                "there is an object located at the URL and that the role passed to CreateModel has permissions to "
                "download the object."
            )
        archive.write_bytes(content)
        return archive

    def _wait_until_healthy(self, variant: Variant, began: float, limit: float | None) -> None:
        """Pings until the container answers, its time is over, or it has exited. No `limit` is that of its settings.

        SageMaker starts an exited container again until the time is over. The same image, archive and environment end
        the same way each time, so the sandbox gives up at the first exit and spares its users that wait.
        """
        if variant.server is None:
            return
        if limit is None:
            default = DEFAULT_HEALTH_CHECK_SECONDS if variant.serverless is None else STARTUP_SECONDS
            limit = variant.settings.get("ContainerStartupHealthCheckTimeoutInSeconds", default)
        while not variant.server.ping():
            if variant.server.exited is not None or time.monotonic() - began > limit:
                raise self._ping_failed(variant)
            self._stopping.wait(_PING_INTERVAL_SECONDS)
            self.go_on()

    def _ping_failed(self, variant: Variant) -> ProvisioningError:
        return ProvisioningError(self._place.ping_failed(variant.name))


class Log:
    """The CloudWatch log stream of one container; called with each line it prints."""

    _lock = threading.Lock()

    def __init__(self, place: Place, stream: str) -> None:
        self._backend: LogsBackend = logs_backends[place.account][place.region]
        self._group = place.log_group
        self._stream = stream

    def __call__(self, line: str) -> None:
        if not line.strip():
            return  # CloudWatch takes no empty message
        event = {"timestamp": int(time.time() * 1000), "message": line}
        with self._lock:
            # Each time, because anybody may have deleted them meanwhile.
            self._backend.ensure_log_group(self._group)
            self._backend.ensure_log_stream(self._group, self._stream)
            self._backend.put_log_events(self._group, self._stream, [event])
