"""How late a finished rollout is noticed, and how many control-plane calls the waiting costs.

The driver behind `Endpoint` and boto3's waiter `endpoint_in_service` (which `aws sagemaker wait` is, too) wait for the
very same rollouts at the same time. The rollouts are the sandbox's, baked for a time drawn at random, without Triton.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from infra.release.autoscaling import ScalingRecords
from infra.release.driver import ReleaseDriver
from infra.release.policy import ReleasePolicy
from infra.release.records import ReleaseRecorder
from infra.release.request import OWNER_TAG, EndpointRequest
from sandbox.aws.access import AccessKey
from sandbox.aws.server import EmbeddedAws, listen, services

REGION = "ap-northeast-1"
IMAGE = f"941853720454.dkr.ecr.{REGION}.amazonaws.com/sagemaker-tritonserver:23.10-py3"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"},'
    ' "Action": "sts:AssumeRole"}]}'
)
ALLOW = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "ecr:*"],'
    ' "Resource": "*"}]}'
)


@dataclass(frozen=True)
class Wait:
    """One waiter and one rollout."""

    waiter: str
    rollout_seconds: float
    lag_seconds: float
    """From when SageMaker had the endpoint InService until the waiter returned."""
    calls: int


class Account:
    """The sandbox's AWS, and endpoints in service there."""

    def __init__(self, home: Path) -> None:
        self._access_key = AccessKey.generate()
        self._aws = EmbeddedAws(services(home, None), self._access_key)
        self._server = listen(self._aws)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._url = f"http://127.0.0.1:{self._server.server_port}"
        s3, iam, sagemaker = self.client("s3"), self.client("iam"), self.client("sagemaker")
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"")
        role = iam.create_role(RoleName="triton", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        iam.put_role_policy(RoleName="triton", PolicyName="serve", PolicyDocument=ALLOW)
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar.gz"}
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer=container)
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.c5.xlarge"}
        for name in ("old", "new"):
            variants = [{**variant, "InitialInstanceCount": 1}]
            sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)

    def endpoint(self, name: str) -> str:
        """An endpoint that serves the configuration `old`."""
        sagemaker, tags = self.client("sagemaker"), [{"Key": OWNER_TAG, "Value": "p/s"}]
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="old", Tags=tags)
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
        return name

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": self._access_key.id, "aws_secret_access_key": self._access_key.secret}
        return boto3.session.Session().client(service, endpoint_url=self._url, region_name=REGION, **keys)

    def close(self) -> None:
        self._server.shutdown()
        self._aws.close()


def counted(account: Account, *names: str) -> tuple[dict[str, Any], Callable[[], int]]:
    """Clients whose calls are counted together."""
    calls: list[str] = []
    clients = {name: account.client(name) for name in names}
    for client in clients.values():
        client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    return clients, lambda: len(calls)


def driver(account: Account, endpoint: str, bake_seconds: int, begun: threading.Event) -> int:
    """Release with the driver of this project; returns how many calls that took. `begun` is set once it is seen."""
    clients, calls = counted(account, "sagemaker", "logs", "application-autoscaling", "cloudwatch", "sts")
    release = ReleaseDriver(
        clients.__getitem__,
        scaling_records=ScalingRecords(account.client("s3"), "models"),
        recorder=ReleaseRecorder(clients.__getitem__, (), print),
        report=lambda line: begun.set() if "Updating" in line else None,
        warn=print,
    )
    policy = ReleasePolicy(wait_seconds=bake_seconds)
    try:
        release.release(
            EndpointRequest(endpoint, "new", "p/s", {}, autoscaled=False, deadline_seconds=7200, policy=policy)
        )
    finally:
        begun.set()
    return calls()


def waiter(account: Account, endpoint: str, _bake_seconds: int, begun: threading.Event) -> int:
    """Wait with boto3 for the rollout that the driver began; returns how many calls that took."""
    clients, calls = counted(account, "sagemaker")
    begun.wait()
    clients["sagemaker"].get_waiter("endpoint_in_service").wait(EndpointName=endpoint)
    return calls()


def measured(account: Account, endpoint: str, seconds: int) -> list[Wait]:
    """Both waiters on one rollout of so many seconds."""
    begun = threading.Event()

    def timed(wait: Callable[[Account, str, int, threading.Event], int]) -> tuple[str, int, float]:
        return wait.__name__, wait(account, endpoint, seconds, begun), time.time()

    with ThreadPoolExecutor() as threads:
        found = list(threads.map(timed, (driver, waiter)))
    described = account.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    in_service = described["LastModifiedTime"].timestamp()
    return [Wait(name, seconds, max(0.0, ended - in_service), calls) for name, calls, ended in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=24, help="how many, side by side (24)")
    parser.add_argument("--shortest", type=int, default=60, help="seconds that the shortest takes (60)")
    parser.add_argument("--longest", type=int, default=300, help="seconds that the longest takes (300)")
    arguments = parser.parse_args()
    lengths = [random.randint(arguments.shortest, arguments.longest) for _ in range(arguments.rollouts)]
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(len(lengths)) as threads:
        account = Account(Path(home))
        endpoints = list(threads.map(account.endpoint, [f"e{n}" for n in range(len(lengths))]))
        found = threads.map(measured, [account] * len(lengths), endpoints, lengths)
        waits = [wait for both in found for wait in both]
        account.close()
    Console().print(summary(waits))


def summary(waits: list[Wait]) -> Table:
    """A row for each waiter, and what the peer takes in proportion."""
    minutes = sum(each.rollout_seconds for each in waits if each.waiter == "driver") / 60
    rows = {}
    for name in ("driver", "waiter"):
        lags = [each.lag_seconds for each in waits if each.waiter == name]
        calls = sum(each.calls for each in waits if each.waiter == name)
        rows[name] = (statistics.median(lags), max(lags), calls / minutes)
    table = Table("", "median lag, s", "longest lag, s", "calls a minute")
    table.add_row("Endpoint (this project)", *(f"{value:.1f}" for value in rows["driver"]))
    table.add_row("boto3 waiter endpoint_in_service", *(f"{value:.1f}" for value in rows["waiter"]))
    ratios = (peer / own for own, peer in zip(rows["driver"], rows["waiter"], strict=True))
    table.add_row("waiter ÷ Endpoint", *(f"{ratio:.2f}" for ratio in ratios))
    return table


if __name__ == "__main__":
    main()
