"""How much the containers of an endpoint use of its instances, as CloudWatch has it once a minute (developer guide,
monitoring-cloudwatch, "SageMaker AI endpoint metrics")."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.aws.hardware import gpus
from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.conditions import Conditions
from sandbox.aws.models import memory_of
from sandbox.aws.usage import cpu_seconds, memory_bytes

if TYPE_CHECKING:
    from sandbox.aws.endpoint import Endpoint
    from sandbox.aws.fleet import Fleet, Variant

_NAMESPACE = "/aws/sagemaker/Endpoints"

_PUBLISH_SECONDS = 60

#: Seconds, as they pass here, for which a measurement of a process is good: one costs a millisecond.
_MEASURE_SECONDS = 1.0

_LONGEST_NAP = 0.25
_SHORTEST_NAP = 0.02

#: Bytes of the volume of an instance where the configuration names none; what AWS chooses is inferred.
_VOLUME_GB = 30


@dataclass(frozen=True)
class _Usage:
    """What a container uses: the cores that it has kept busy since it was last measured, and bytes."""

    time: float
    cpu_seconds: float
    cores: float
    memory: float
    disk: int


class HostMeter(threading.Thread):
    """Publishes the utilization of every instance of an endpoint, also of both fleets of a deployment.

    "The count should be equal to the number of active instances" (async-inference-troubleshooting, of the sample count
    of CPUUtilization in a minute). All instances of a variant share one Triton here: each has its part of what it uses.
    A GPU is never used, because this machine has none.
    """

    def __init__(self, endpoint: Endpoint, conditions: Conditions) -> None:
        super().__init__(name=f"utilization of {endpoint.name}", daemon=True)
        self._endpoint, self._conditions = endpoint, conditions
        self._due = conditions.now()
        self._measured: dict[int, _Usage] = {}

    def run(self) -> None:
        while not self._endpoint.closing.wait(self._nap()):
            try:
                self.publish_if_due()
            except Exception:
                traceback.print_exc()

    def publish_if_due(self) -> None:
        now = self._conditions.now()
        if now < self._due:
            return
        if serving := [*self._serving()]:
            self._due = max(self._due, now - _PUBLISH_SECONDS) + _PUBLISH_SECONDS  # the missed is not made up
        for fleet, variant in serving:
            self._publish(fleet, variant)

    def _nap(self) -> float:
        return max(_SHORTEST_NAP, min(_LONGEST_NAP, _PUBLISH_SECONDS / 2 / self._conditions.time_factor))

    def _serving(self) -> Iterator[tuple[Fleet, Variant]]:
        deployment = self._endpoint.deployment
        fleets = [self._endpoint.fleet, deployment.fleet if deployment else None]
        for fleet in (fleet for fleet in fleets if fleet is not None):
            yield from (
                (fleet, each) for each in fleet.variants if each.instance_type is not None and each.current_count
            )

    def _publish(self, fleet: Fleet, variant: Variant) -> None:
        count, type_ = variant.current_count, str(variant.instance_type)
        usage = self._measure(fleet, variant)
        volume = variant.settings.get("VolumeSizeInGB", _VOLUME_GB) * 1e9
        values = {
            "CPUUtilization": 100 * usage.cores / max(count, 1),
            "MemoryUtilization": min(100 * usage.memory / memory_of(type_), 100.0),
            "DiskUtilization": min(100 * usage.disk / volume, 100.0),
            **({"GPUUtilization": 0.0, "GPUMemoryUtilization": 0.0} if gpus(type_) else {}),
        }
        place = self._endpoint.place
        dimensions = {"EndpointName": place.endpoint, "VariantName": variant.name}
        for _ in range(count):
            backend_of(place.account, place.region).publish(_NAMESPACE, dimensions, values)

    def _measure(self, fleet: Fleet, variant: Variant) -> _Usage:
        pid, now = variant.server.pid if variant.server is not None else None, time.monotonic()
        last = self._measured.get(id(variant))
        if last is None or now - last.time >= _MEASURE_SECONDS:
            cpu = cpu_seconds(pid)
            cores = max(cpu - last.cpu_seconds, 0.0) / (now - last.time) if last is not None else 0.0
            last = self._measured[id(variant)] = _Usage(now, cpu, cores, memory_bytes(pid), fleet.stored_bytes(variant))
        return last
