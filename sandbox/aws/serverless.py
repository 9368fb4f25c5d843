"""Serverless variants: the rules of their configuration, and compute that starts at a request and ends when idle."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.triton.serve_script import ServeError
from infra.triton.server import INVOKE_TIMEOUT_SECONDS
from sandbox.aws.conditions import Conditions
from sandbox.aws.model_server import Server
from sandbox.aws.models import containers_of
from sandbox.aws.protocol import AwsError, invalid

#: Within which the model is downloaded and the container answers /ping (developer guide, serverless-endpoints-invoke).
STARTUP_SECONDS = 180

#: The most that a request and its answer may be (serverless-endpoints-invoke: 4 MB).
MAX_PAYLOAD = 4 * 1024 * 1024

#: Bytes of an image ("The maximum size of the container image you can use is 10 GB": serverless-endpoints).
MAX_IMAGE = 10 * 1024**3

#: API_ProductionVariantServerlessConfig, MemorySizeInMB.
_MEMORY_STEP = 1024

#: Members of a variant that are about its instances. That AWS refuses each of them is inferred.
_OF_INSTANCES = (
    "InstanceType",
    "InitialInstanceCount",
    "AcceleratorType",
    "CapacityReservationConfig",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "CoreDumpConfig",
    "EnableSSMAccess",
    "InferenceAmiVersion",
    "ManagedInstanceScaling",
    "ModelDataDownloadTimeoutInSeconds",
    "RoutingConfig",
    "VolumeSizeInGB",
)

#: Members of a configuration that a serverless variant excludes (developer guide, serverless-endpoints, "Feature
#: exclusions"; CreateEndpointConfigInput, CrossRegionTrafficConfig; AsyncInferenceConfig and the shadow are inferred).
_EXCLUDED = (
    "AsyncInferenceConfig",
    "CrossRegionTrafficConfig",
    "DataCaptureConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "VpcConfig",
)

_PING_INTERVAL_SECONDS = 0.05


def is_serverless(variant: Mapping[str, Any]) -> bool:
    """Whether a variant (botocore's ProductionVariant) is serverless."""
    return "ServerlessConfig" in variant


def check_serverless(request: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> None:
    """CreateEndpointConfig's rules where a variant is serverless; the wording is ours.

    Args:
        models: the models of the variants (CreateModelInput), by name.

    Raises:
        AwsError: a rule is broken.
    """
    variants = request["ProductionVariants"]
    if not any(map(is_serverless, variants)):
        return
    if len(variants) > 1:
        raise invalid("A serverless endpoint cannot have multiple production variants.")
    if excluded := [member for member in _EXCLUDED if member in request]:
        raise invalid(f"ServerlessConfig cannot be used with {', '.join(excluded)}.")
    if request.get("EnableNetworkIsolation"):
        raise invalid("ServerlessConfig cannot be used with EnableNetworkIsolation.")
    (variant,) = variants
    name, config, model = variant["VariantName"], variant["ServerlessConfig"], models[variant["ModelName"]]
    if of_instances := [member for member in _OF_INSTANCES if member in variant]:
        raise invalid(f"Variant {name} cannot have both ServerlessConfig and {', '.join(of_instances)}.")
    if config["MemorySizeInMB"] % _MEMORY_STEP:
        raise invalid(f"MemorySizeInMB {config['MemorySizeInMB']} is not a multiple of {_MEMORY_STEP}.")
    check_concurrency(config)
    if "VpcConfig" in model or model.get("EnableNetworkIsolation"):
        raise invalid(f"Model {variant['ModelName']} has VpcConfig or network isolation, which serverless lacks.")
    if len(containers_of(model)) > 1:
        raise invalid(f"Model {variant['ModelName']} is an inference pipeline, which serverless lacks.")


def check_concurrency(config: Mapping[str, Any]) -> None:
    """ "Should be less than or equal to MaxConcurrency" (API_ProductionVariantServerlessConfig)."""
    provisioned, most = config.get("ProvisionedConcurrency", 0), config["MaxConcurrency"]
    if provisioned > most:
        raise invalid(f"ProvisionedConcurrency {provisioned} must be at most MaxConcurrency {most}.")


def check_payload(body: bytes) -> None:
    """
    Raises:
        AwsError: the request is over the limit, worded as in https://github.com/aws/sagemaker-python-sdk/issues/4271.
    """
    if len(body) > MAX_PAYLOAD:
        raise AwsError("ValidationError", f"Request {uuid.uuid4()} has oversize body.")


@dataclass(frozen=True)
class Execution:
    """One request in the compute of its variant.

    Attributes:
        server: answers it.
        setup_seconds: how long its cold start took; 0 on warm compute.
        metrics: what the serverless variant publishes of it.
    """

    server: Server
    setup_seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)


class Function:
    """The compute of a serverless variant, a model server like any other to its fleet.

    It starts at a request and ends once it has been idle for `serverlessIdleSeconds`; with provisioned concurrency it
    stays. One Triton answers all concurrent requests; on AWS each of them has an environment of its own, so that more
    of them than before at a time mean further cold starts there.

    Args:
        config: botocore's ProductionVariantServerlessConfig, as it is now.
        make: makes a model server, which is not started yet, in an empty directory.
        directory: below which those directories are.
    """

    def __init__(
        self, config: Mapping[str, Any], make: Callable[[Path], Server], directory: Path, conditions: Conditions
    ) -> None:
        self.config = config
        self._make = make
        self._directory = directory
        self._conditions = conditions
        self._compute = threading.RLock()  # held while a server starts or ends
        self._counting = threading.Lock()
        self._server: Server | None = None
        self._starts = 0
        self._executions = 0
        self._idle_since = time.monotonic()
        self._reaper: threading.Timer | None = None
        self._is_over = False

    @property
    def provisioned(self) -> int:
        return int(self.config.get("ProvisionedConcurrency", 0))

    def start(self) -> None:
        """Starts it to see whether it passes its health checks. Raises `ServeError` as the model server does."""
        with self._compute:
            self._start()

    def ping(self) -> bool:
        """Whether it has passed them; without provisioned concurrency it then ends until the first request."""
        with self._compute:
            healthy = self._server is not None and self._server.ping()
            if healthy and not self.provisioned:
                self._end()
            return healthy

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server is not None else None

    @property
    def exited(self) -> int | None:
        return self._server.exited if self._server is not None else None

    def invoke(
        self, body: bytes, headers: Mapping[str, str], timeout_seconds: float = INVOKE_TIMEOUT_SECONDS
    ) -> tuple[int, dict[str, str], bytes]:
        with self.execution() as execution:
            return execution.server.invoke(body, headers, timeout_seconds)

    def stop(self, grace_seconds: float = 0) -> None:
        self._is_over = True
        with self._counting:
            if self._reaper is not None:
                self._reaper.cancel()
        with self._compute:
            self._end()

    def adjust(self) -> None:
        """Follows a changed configuration: provisioned compute is warm when this returns.

        Raises:
            OSError: it does not start.
        """
        with self._compute:
            if self.provisioned and self._server is None:
                self._warm_up()
        self._end_when_idle()

    @contextmanager
    def execution(self) -> Iterator[Execution]:
        """The compute for one request, which waits for a cold start.

        Raises:
            AwsError: there are as many requests as MaxConcurrency, or the compute is still being provisioned.
            OSError: it does not start.
        """
        with self._counting:
            # "any endpoint invocations beyond the maximum are throttled" (serverless-endpoints, "Concurrent
            # invocations"); the words are those of https://github.com/opensearch-project/ml-commons/issues/2429.
            if self._executions >= self.config["MaxConcurrency"]:
                raise AwsError("ThrottlingException", "Rate exceeded")
            self._executions += 1
            executions = self._executions
        try:
            with self._compute:
                began, is_cold = time.perf_counter(), self._server is None or self._server.exited is not None
                if is_cold:
                    if self._conditions.is_still_provisioning():
                        raise AwsError("ModelNotReadyException", "Model is still being provisioned.", 429)
                    self._warm_up()
                setup_seconds = time.perf_counter() - began if is_cold else 0.0
                assert self._server is not None
                server = self._server
            yield Execution(server, setup_seconds, self._metrics(executions, setup_seconds))
        finally:
            with self._counting:
                self._executions -= 1
                self._idle_since = time.monotonic()
            self._end_when_idle()

    def _metrics(self, executions: int, setup_seconds: float) -> dict[str, float]:
        """Developer guide, serverless-endpoints-monitoring; times in microseconds."""
        metrics = {"ServerlessConcurrentExecutionsUtilization": executions / self.config["MaxConcurrency"]}
        if setup_seconds:
            metrics["ModelSetupTime"] = setup_seconds * 1_000_000
        if self.provisioned:
            within = executions <= self.provisioned
            metrics |= {
                "ServerlessProvisionedConcurrencyExecutions": float(min(executions, self.provisioned)),
                "ServerlessProvisionedConcurrencyUtilization": min(executions / self.provisioned, 1.0),
                "ServerlessProvisionedConcurrencyInvocations": float(within),
                "ServerlessProvisionedConcurrencySpilloverInvocations": float(not within),
            }
        return metrics

    def _start(self) -> None:
        self._starts += 1
        directory = self._directory / str(self._starts)
        directory.mkdir(parents=True)
        self._server = self._make(directory)
        self._server.start()

    def _warm_up(self) -> None:
        if self._is_over:
            raise ConnectionError("the endpoint no longer serves")
        self._end()
        began = time.monotonic()
        try:
            self._start()
            assert self._server is not None
            while not self._server.ping():
                is_late = time.monotonic() - began > STARTUP_SECONDS
                if self._server.exited is not None or is_late or self._is_over:
                    raise ConnectionError("the container did not pass the ping health check")
                time.sleep(_PING_INTERVAL_SECONDS)
        except (ServeError, OSError) as error:
            self._end()
            raise ConnectionError(f"the container did not start: {error}") from error

    def _end(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop(grace_seconds=0)
            with suppress(OSError):
                shutil.rmtree(self._directory / str(self._starts))

    def _end_when_idle(self) -> None:
        """Looks again after the idle time of now."""
        with self._counting:
            if self._reaper is not None:
                self._reaper.cancel()
            if self._executions or self.provisioned or self._is_over:
                return
            left = self._idle_since + self._conditions.serverless_idle_seconds - time.monotonic()
            if left > 0:
                self._reaper = threading.Timer(left, self._end_when_idle)
                self._reaper.daemon = True
                self._reaper.start()
                return
        with self._compute:
            with self._counting:
                if self._executions:
                    return
            self._end()
