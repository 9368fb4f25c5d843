"""An endpoint: its state, what DescribeEndpoint says of it, and which fleet its requests go to."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.asynchronous import Queue
from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.conditions import Conditions
from sandbox.aws.deployment import CapacityUpdate, Deployment
from sandbox.aws.fleet import Fleet, Place, Variant
from sandbox.aws.host_metrics import HostMeter
from sandbox.aws.rollout import Rollout

#: Statuses in which an endpoint takes no further change (DescribeEndpoint, `EndpointStatus`).
IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})

_SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})


@dataclass(frozen=True)
class Route:
    """The way of one request; no variant where the fleet has none of the name that the request asks for."""

    fleet: Fleet
    variant: Variant | None


@dataclass(frozen=True)
class Traffic:
    """Where requests go: to `fleet`, and while they shift there, those beyond its share of a variant to `old`."""

    fleet: Fleet | None = None
    old: Fleet | None = None
    shares: Mapping[str, float] | None = None

    def route(self, target: str | None) -> Route | None:
        if self.fleet is None:
            return None
        first = self.old or self.fleet
        variant = first.choose() if target is None else first.variant(target)
        if variant is None or self.old is None or self.shares is None or random.random() >= self.shares[variant.name]:
            return Route(first, variant)
        return Route(self.fleet, self.fleet.variant(variant.name))


class Endpoint:
    """One endpoint. `fleet` is the one that DescribeEndpoint has in service."""

    def __init__(self, place: Place, arn: str, tags: Mapping[str, str]) -> None:
        self.place = place
        self.arn = arn
        self.tags = dict(tags)
        self.created = self.modified = datetime.now(UTC)
        self.status = "Creating"
        self.failure_reason: str | None = None
        self.fleet: Fleet | None = None
        self.deployment: Deployment | None = None
        self.last_deployment_config: Mapping[str, Any] | None = None
        self.queue: Queue | None = None
        self._meter: HostMeter | None = None
        self.closing = threading.Event()
        self._traffic = Traffic()
        self._config_name = ""
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        return self.place.endpoint

    @property
    def is_asynchronous(self) -> bool:
        return self.fleet is not None and self.fleet.asynchronous is not None

    @property
    def config_names(self) -> set[str]:
        """The configurations that the endpoint serves or is heading for; none once it has failed or is on its end."""
        if self.status == "Deleting":
            return set()
        fleets = (self.fleet, self.deployment.fleet if self.deployment else None)
        return {fleet.config_name for fleet in fleets if fleet is not None}

    def deploy(self, fleet: Fleet, policy: Mapping[str, Any] | None, rollout: Rollout, conditions: Conditions) -> None:
        """Starts the way to a new fleet, by the rollout that the policy (botocore's DeploymentConfig) asks for; the
        status tells the rest.
        """
        with self._lock:
            self._config_name = self._config_name or fleet.config_name
            self.enter("Updating" if self.fleet else "Creating")
            self.deployment = Deployment(self, fleet, policy, rollout, conditions)
        self.deployment.start()

    def scale(self, changes: Mapping[str, Mapping[str, Any]], conditions: Conditions) -> None:
        """Changes live counts and weights of variants, by name."""
        assert self.fleet is not None
        with self._lock:
            self.enter("Updating")
            pairs = [(v, changes[v.name]) for v in self.fleet.variants if v.name in changes]
            update = CapacityUpdate(self, pairs, conditions)
        update.start()

    def enter(self, status: str, reason: str | None = None) -> None:
        """A new status. The reason of the last failure stays until the next change begins."""
        with self._lock:
            self.status = status
            self.failure_reason = reason
            self.modified = datetime.now(UTC)

    def route_to(self, fleet: Fleet, shares: Mapping[str, float] | None = None) -> None:
        """All requests go to a fleet, or where `shares` are given, this share of those for each variant; the others
        go to the fleet in service.
        """
        with self._lock:
            self._traffic = Traffic(fleet, self.fleet, shares) if self.fleet and shares else Traffic(fleet)

    @contextmanager
    def request(self, target: str | None = None) -> Iterator[Route | None]:
        """The way of one request, to a variant of this name where one is named; None where nothing serves.

        Its fleet is not stopped before the request is answered.
        """
        with self._lock:
            route = self._traffic.route(target) if self.status in _SERVING else None
            if route is not None:
                route.fleet.take_request()
        try:
            yield route
        finally:
            if route is not None:
                route.fleet.release_request()

    def complete(self, deployment: Deployment) -> None:
        """The deployment's fleet is the one in service."""
        with self._lock:
            self.fleet = deployment.fleet
            self._config_name = deployment.fleet.config_name
            self.last_deployment_config = deployment.policy or self.last_deployment_config
            self.deployment = None
            if self._meter is None:
                self._meter = HostMeter(self, deployment.conditions)
                self._meter.start()
            if self.queue is None and self.fleet.asynchronous is not None:
                self.queue = Queue(self, deployment.conditions)
                self.queue.start()
            self.enter("InService")

    def abandon(self, reason: str) -> None:
        """The deployment came to nothing: the old fleet goes on, or the endpoint has failed without one."""
        with self._lock:
            self.deployment = None
            self.enter("InService" if self.fleet else "Failed", reason)

    def close(self) -> None:
        """Ends whatever runs for the endpoint."""
        self.closing.set()
        if self.queue is not None:
            self.queue.close()
        deployment = self.deployment
        for fleet in (deployment.fleet if deployment else None, self.fleet):
            if fleet is not None:
                fleet.stop()

    def publish(self, config_name: str | None, variant: str, values: Mapping[str, float]) -> None:
        """Metrics of a variant, and of the variant under its configuration as well (developer guide,
        deployment-guardrails-configuration: the dimension EndpointConfigName) where one is given.
        """
        backend = backend_of(self.place.account, self.place.region)
        of_variant = {"EndpointName": self.name, "VariantName": variant}
        backend.publish("AWS/SageMaker", of_variant, values)
        if config_name is not None:
            of_config = {**of_variant, "EndpointConfigName": config_name}
            backend.publish("AWS/SageMaker", of_config, values)

    def describe(self) -> dict[str, Any]:
        """botocore's DescribeEndpointOutput."""
        with self._lock:
            served = self.fleet or (self.deployment.fleet if self.deployment else None)
            return {
                "EndpointName": self.name,
                "EndpointArn": self.arn,
                "EndpointConfigName": self._config_name,
                "ProductionVariants": [v.summary() for v in self.fleet.variants] if self.fleet else None,
                "EndpointStatus": self.status,
                "FailureReason": self.failure_reason,
                "CreationTime": self.created,
                "LastModifiedTime": self.modified,
                "LastDeploymentConfig": self.last_deployment_config,
                "PendingDeploymentSummary": self._pending(),
                "AsyncInferenceConfig": served.asynchronous.config if served and served.asynchronous else None,
            }

    def _pending(self) -> dict[str, Any] | None:
        if self.deployment is None:
            return None
        fleet = self.deployment.fleet
        return {
            "EndpointConfigName": fleet.config_name,
            "ProductionVariants": [variant.summary() for variant in fleet.variants],
            "StartTime": self.deployment.began,
        }
