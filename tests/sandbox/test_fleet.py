"""How the instances behind a configuration come into service, or not, with model servers that behave as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from infra.triton.server import ArchiveError, ServeError
from sandbox.aws.conditions import Conditions
from sandbox.aws.endpoint import Endpoint
from sandbox.aws.fleet import Fleet, Log, Place, ProvisioningError, Variant
from sandbox.aws.rollout import Rollout
from tests.sandbox.conftest import ACCOUNT, REGION, TRITON_IMAGE, Host, unique

URL = "s3://fleet-models/model.tar.gz"

PING_FAILED = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)


class Server:
    """A model server that does what its environment says."""

    def __init__(
        self, archive: Path, environment: Mapping[str, str], directory: Path, log: Callable[[str], None]
    ) -> None:
        self.archive = archive
        self.environment = environment
        self.log = log
        self.pings = 0
        self.stopped = False

    pid = None

    def start(self) -> None:
        self.log(self.environment.get("SAYS", "started"))
        if failure := self.environment.get("FAILS"):
            raise {"unpack": ArchiveError, "serve": ServeError}[failure]("no")

    def ping(self) -> bool:
        self.pings += 1
        return self.pings > int(self.environment.get("PINGS_IN_VAIN", "2"))

    def invoke(
        self, body: bytes, headers: Mapping[str, str], timeout_seconds: float = 60
    ) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError

    @property
    def exited(self) -> int | None:
        return int(self.environment["EXITS"]) if "EXITS" in self.environment and self.pings else None

    def stop(self, grace_seconds: float) -> None:
        self.stopped = True


@pytest.fixture(autouse=True)
def model_data() -> Iterator[None]:
    backend = s3_backends[ACCOUNT]["aws"]
    backend.create_bucket("fleet-models", REGION)
    backend.put_object("fleet-models", "model.tar.gz", b"the artifact")
    yield
    backend.delete_object("fleet-models", "model.tar.gz")
    backend.delete_bucket("fleet-models")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(ACCOUNT, REGION, unique("fleet"), tmp_path)


def variant(environment: Mapping[str, str] | None = None, url: str = URL, **settings: Any) -> Variant:
    container = {"Image": TRITON_IMAGE, "ModelDataUrl": url, "Environment": dict(environment or {})}
    chosen = {"VariantName": "AllTraffic", "InstanceType": "ml.c5.xlarge", **settings}
    return Variant(chosen, {"PrimaryContainer": container}, desired_count=3, desired_weight=1.0)


def start(place: Place, *variants: Variant, conditions: Conditions | None = None) -> Fleet:
    fleet = Fleet(place, "config", variants, Server)
    fleet.start(conditions or Conditions())
    return fleet


def failure(place: Place, *variants: Variant, conditions: Conditions | None = None) -> str:
    with pytest.raises(ProvisioningError) as failed:
        start(place, *variants, conditions=conditions)
    return str(failed.value)


def server_of(fleet: Fleet) -> Server:
    server = fleet.variants[0].server
    assert isinstance(server, Server)
    return server


def test_a_container_gets_the_artifact_and_the_environment_of_its_model(place: Place) -> None:
    fleet = start(place, variant({"A": "b"}))
    server = server_of(fleet)
    assert server.archive.read_bytes() == b"the artifact"
    assert (server.environment, server.pings) == ({"A": "b"}, 3)
    assert (fleet.variants[0].current_count, fleet.variants[0].current_weight) == (3, 1.0)


def test_a_container_that_never_answers_has_the_seconds_of_its_configuration(place: Place) -> None:
    hanging = variant({"PINGS_IN_VAIN": "1000000"}, ContainerStartupHealthCheckTimeoutInSeconds=0.3)
    assert failure(place, hanging) == PING_FAILED


def test_a_test_may_impose_the_seconds_that_a_container_has_to_answer(place: Place) -> None:
    hanging = variant({"PINGS_IN_VAIN": "1000000"}, ContainerStartupHealthCheckTimeoutInSeconds=60)
    conditions = Conditions()
    conditions.replace({"healthCheckSeconds": 0.3})
    assert failure(place, hanging, conditions=conditions) == PING_FAILED


def test_a_container_that_exits_fails_at_once(place: Place) -> None:
    exiting = variant({"EXITS": "1", "PINGS_IN_VAIN": "1000000"}, ContainerStartupHealthCheckTimeoutInSeconds=1)
    assert failure(place, exiting) == PING_FAILED
    assert isinstance(exiting.server, Server) and exiting.server.pings == 1


def test_a_container_that_serve_ends_fails_the_health_check(place: Place) -> None:
    assert failure(place, variant({"FAILS": "serve"})) == PING_FAILED


def test_an_artifact_that_is_no_archive_is_told_apart(place: Place) -> None:
    assert failure(place, variant({"FAILS": "unpack"})) == (
        f'Failed to extract model data archive for container "container_1" from URL: "{URL}". '
        "Please ensure that the object located at the URL is a valid tar.gz archive."
    )


def test_an_artifact_that_is_gone_cannot_be_downloaded(place: Place) -> None:
    """https://github.com/aws-solutions-library-samples/fraud-detection-using-machine-learning/issues/9"""
    url = "s3://fleet-models/gone.tar.gz"
    assert failure(place, variant(url=url)) == (
        f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is an '
        "object located at the URL and that the role passed to CreateModel has permissions to download the object."
    )


@pytest.mark.parametrize("instance_type", ["ml.c7g.xlarge", "ml.m6gd.large", "ml.c6gn.xlarge", "ml.r8g.2xlarge"])
def test_an_amd64_image_does_not_run_on_an_arm_instance(place: Place, host: Host, instance_type: str) -> None:
    assert failure(place, variant(InstanceType=instance_type)) == PING_FAILED
    assert host.log(place.endpoint) == ["exec /opt/nvidia/nvidia_entrypoint.sh: exec format error"]


@pytest.mark.parametrize("instance_type", ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.c5d.large", "ml.inf2.xlarge"])
def test_an_amd64_image_runs_on_every_other_instance(place: Place, instance_type: str) -> None:
    assert server_of(start(place, variant(InstanceType=instance_type))).pings == 3


def test_stopping_a_fleet_ends_its_start_and_its_containers(place: Place) -> None:
    pinged = threading.Event()
    failed: list[str] = []

    class Starting(Server):
        def ping(self) -> bool:
            pinged.set()
            return False

    fleet = Fleet(place, "config", [variant(ContainerStartupHealthCheckTimeoutInSeconds=3600)], Starting)

    def run() -> None:
        with pytest.raises(ProvisioningError) as error:
            fleet.start(Conditions())
        failed.append(str(error.value))

    thread = threading.Thread(target=run)
    thread.start()
    assert pinged.wait(30)
    fleet.stop()
    thread.join(30)
    assert failed == ["The endpoint is being deleted."]
    assert server_of(fleet).stopped
    assert list(place.directory.iterdir()) == []


def test_a_wait_for_instances_ends_with_the_condition_that_imposed_it(place: Place) -> None:
    conditions = Conditions()
    conditions.replace({"provisioningSeconds": 3600})
    fleet = Fleet(place, "config", [variant({"PINGS_IN_VAIN": "0"})], Server)
    thread = threading.Thread(target=fleet.start, args=(conditions,))
    thread.start()
    thread.join(0.2)
    assert fleet.variants[0].server is None
    conditions.replace({"provisioningSeconds": 0})
    thread.join(30)
    assert fleet.variants[0].current_count == 3


def test_a_fleet_without_capacity_starts_nothing(place: Place) -> None:
    conditions = Conditions()
    conditions.replace({"insufficientCapacity": ["ml.c5.xlarge"]})
    assert "InsufficientInstanceCapacity" in failure(place, variant(), conditions=conditions)
    assert list(place.directory.iterdir()) == []


def test_variants_are_chosen_by_their_weights(place: Place) -> None:
    fleet = start(place, variant(VariantName="A"), variant(VariantName="B"))
    fleet.variants[0].current_weight = 0.0
    assert {fleet.choose().name for _ in range(50)} == {"B"}
    fleet.variants[0].current_weight = 1.0
    assert {fleet.choose().name for _ in range(200)} == {"A", "B"}
    for each in fleet.variants:
        each.current_weight = 0.0
    assert {fleet.choose().name for _ in range(200)} == {"A", "B"}


def test_a_fleet_drains_before_it_is_stopped(place: Place) -> None:
    fleet = start(place, variant())
    fleet.take_request()
    draining = threading.Thread(target=fleet.drain)
    draining.start()
    draining.join(0.05)
    assert draining.is_alive()
    fleet.release_request()
    draining.join(30)
    assert not draining.is_alive()


def test_an_endpoint_that_is_being_deleted_uses_no_configuration(place: Place) -> None:
    endpoint = Endpoint(place, "arn", {})
    endpoint.deploy(Fleet(place, "config", [variant()], Server), None, Rollout(), Conditions())
    assert endpoint.config_names == {"config"}
    endpoint.enter("Deleting")
    assert endpoint.config_names == set()
    endpoint.close()


def test_a_log_survives_the_deletion_of_its_group(place: Place, host: Host) -> None:
    log = Log(place, "AllTraffic/i-1")
    log("before")
    host.aws.client("logs").delete_log_group(logGroupName=place.log_group)
    for line in ("after", "", "   "):
        log(line)
    assert host.log(place.endpoint) == ["after"]
