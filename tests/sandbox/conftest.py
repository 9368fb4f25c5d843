"""Running embedded AWSs for the tests of the sandbox, and an account to host models in."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.aws.access import AccessKey
from sandbox.aws.model_server import Launch
from sandbox.aws.server import EmbeddedAws, listen, services
from tests.sandbox.scripted_server import ScriptedServer

PROJECT = Path(__file__).parents[2]

ACCOUNT = "123456789012"
REGION = "ap-northeast-1"

#: An image that AWS publishes; the sandbox has a small one under its name.
TRITON_IMAGE = "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"

#: A period of metrics that no test outlives: one that runs over the end of an hour or of a day reads one value, too.
ALL_TIME = 60 * 10**8

_numbers = itertools.count(1)


@cache
def _client(url: str, service: str, region: str, access_key: AccessKey, **config: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=access_key.id,
        aws_secret_access_key=access_key.secret,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@dataclass(frozen=True)
class RunningAws:
    """The embedded AWS as its users meet it: over HTTP only."""

    url: str
    access_key: AccessKey

    def client(self, service: str, region: str = REGION, access_key: AccessKey | None = None, **config: Any) -> Any:
        """A client of boto3; answers of AWS that ask for a retry are shown at once, as errors."""
        return _client(self.url, service, region, access_key or self.access_key, **config)

    def control(self, method: str, path: str, **request: Any) -> urllib3.BaseHTTPResponse:
        """The answer to a request below `/_sandbox/`."""
        return urllib3.request(method, f"{self.url}/_sandbox/{path}", headers=self.access_key.authorization, **request)

    def calls(self, after: int = 0, wait: float = 0) -> list[dict[str, Any]]:
        answer = self.control("GET", f"calls?after={after}&wait={wait}", timeout=wait + 30)
        calls: list[dict[str, Any]] = answer.json()
        return calls

    def last_call(self) -> int:
        """The number of the newest call: what `calls(after=…)` goes on from."""
        return len(self.calls())

    def impose(self, **conditions: Any) -> None:
        """Sets conditions, as `provisioningSeconds=0.5`; a `Host` takes them back at the end of its test."""
        answer = self.control("PUT", "conditions", json=conditions)
        assert answer.status == 200, answer.data

    def conditions(self) -> dict[str, Any]:
        values: dict[str, Any] = self.control("GET", "conditions").json()
        return values


@dataclass(frozen=True)
class AwsProcess(RunningAws):
    """`python -m sandbox.aws`."""

    process: subprocess.Popen[bytes]
    home: Path
    facts: dict[str, Any]

    def stop(self) -> int:
        """Ends it as its users do; returns its exit code."""
        self.process.terminate()
        return self.process.wait(30)


def start_aws(home: Path) -> AwsProcess:
    """Starts the server and waits until it announces itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.aws", "--home", str(home)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    announcement, deadline = home / "aws.json", time.monotonic() + 60
    while not announcement.exists():
        assert process.poll() is None, f"the embedded AWS ended with {process.returncode}"
        assert time.monotonic() < deadline, "the embedded AWS does not announce itself"
        time.sleep(0.02)
    facts = json.loads(announcement.read_text())
    return AwsProcess(facts["url"], AccessKey(**facts["accessKey"]), process, home, facts)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsProcess]:
    """One server for all tests of a worker: each test makes names of its own (`unique`)."""
    running = start_aws(tmp_path_factory.mktemp("aws"))
    yield running
    running.stop()


@pytest.fixture
def client(aws: AwsProcess) -> Callable[..., Any]:
    """`client("ecr")`, `client("sagemaker", region="us-east-1")`."""
    return aws.client


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    """The same server in this process and without Triton, as on a machine that has none."""
    yield from _in_this_process(tmp_path_factory.mktemp("control-plane"), None)


@pytest.fixture(scope="session")
def scripted_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    """The same server in this process, with model servers that do what the environment of their model says."""
    yield from _in_this_process(tmp_path_factory.mktemp("scripted"), ScriptedServer)


def _in_this_process(home: Path, launch: Launch | None) -> Iterator[RunningAws]:
    key = AccessKey.generate()
    aws = EmbeddedAws(services(home, launch), key)
    server = listen(aws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield RunningAws(f"http://127.0.0.1:{server.server_port}", key)
    server.shutdown()
    aws.close()


def unique(stem: str) -> str:
    """A name that no other test of this worker has."""
    return f"{stem}-{next(_numbers)}"


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A model artifact (tar.gz) of some files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def policy_document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def eventually(is_so: Callable[[], Any]) -> Any:
    """What comes true, once it has; fails after a minute."""
    deadline = time.monotonic() + 60
    while not (found := is_so()):
        assert time.monotonic() < deadline, "it did not come true within a minute"
        time.sleep(0.02)
    return found


class Host:
    """An account that is ready to host models: a bucket, an execution role, and short ways to SageMaker's resources."""

    def __init__(self, aws: RunningAws) -> None:
        self.aws = aws
        self.sagemaker = aws.client("sagemaker")
        self.runtime = aws.client("sagemaker-runtime", read_timeout=70)
        self.bucket = unique("models")
        aws.client("s3").create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.role = self.make_role()

    def make_role(
        self,
        *trust: Mapping[str, Any],
        actions: tuple[str, ...] = ("s3:GetObject", "ecr:*", "cloudwatch:DescribeAlarms"),
        resource: str = "*",
    ) -> str:
        """An IAM role with one inline policy; by default what a Model and its rollback alarms need.

        `trust`: what differs from an Allow.
        """
        iam, name = self.aws.client("iam"), unique("role")
        trust = trust or ({},)
        sagemaker = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trusting = policy_document(*({**sagemaker, **statement} for statement in trust))
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusting)
        allowing = policy_document({"Effect": "Allow", "Action": list(actions), "Resource": resource})
        iam.put_role_policy(RoleName=name, PolicyName="pull", PolicyDocument=allowing)
        return str(role["Role"]["Arn"])

    def upload(self, content: bytes) -> str:
        """An artifact in the bucket; returns its URL."""
        key = f"{unique('artifact')}.tar.gz"
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def model(self, content: bytes = b"", environment: Mapping[str, str] | None = None, **changes: Any) -> str:
        """A model of an artifact with this content; returns its name."""
        container = {
            "Image": TRITON_IMAGE,
            "ModelDataUrl": changes.pop("ModelDataUrl", None) or self.upload(content),
            "Environment": dict(environment or {}),
        }
        request = {"ModelName": unique("model"), "ExecutionRoleArn": self.role, "PrimaryContainer": container}
        self.sagemaker.create_model(**{**request, **changes})
        return str({**request, **changes}["ModelName"])

    def config(self, *variants: Mapping[str, Any], **changes: Any) -> str:
        """An endpoint configuration; a variant is given by what differs from one `ml.c5.xlarge` for a new model."""
        name = unique("config")
        request = {"EndpointConfigName": name, "ProductionVariants": [self.variant(**v) for v in variants or ({},)]}
        self.sagemaker.create_endpoint_config(**{**request, **changes})
        return name

    def variant(self, **changes: Any) -> dict[str, Any]:
        variant = {"VariantName": "AllTraffic", "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1, **changes}
        return variant if "ModelName" in variant else {**variant, "ModelName": self.model()}

    def endpoint(self, config: str | None = None, *, wait: str | None = "InService", **changes: Any) -> str:
        """An endpoint, once it has the status that `wait` names."""
        name = unique("endpoint")
        request = {"EndpointName": name, "EndpointConfigName": config or self.config()}
        self.sagemaker.create_endpoint(**{**request, **changes})
        if wait:
            self.wait(name, wait)
        return name

    def update(self, endpoint: str, config: str, *, wait: str | None = "InService", **changes: Any) -> None:
        self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **changes)
        if wait:
            self.wait(endpoint, wait)

    def describe(self, endpoint: str) -> dict[str, Any]:
        described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        return described

    def wait(self, endpoint: str, status: str) -> dict[str, Any]:
        """The endpoint's description once it has a status; fails when it settles on another one."""

        def has_status(described: dict[str, Any]) -> bool:
            settled = described["EndpointStatus"] in ("InService", "Failed")
            assert not settled or described["EndpointStatus"] == status, described
            return bool(described["EndpointStatus"] == status)

        return self.wait_until(endpoint, has_status)

    def wait_until(self, endpoint: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The endpoint's description once it is as wanted; fails after two minutes."""
        deadline = time.monotonic() + 120
        while not condition(described := self.describe(endpoint)):
            assert time.monotonic() < deadline, described
            time.sleep(0.05)
        return described

    def wait_until_gone(self, endpoint: str) -> None:
        with pytest.raises(ClientError, match="Could not find endpoint"):
            self.wait_until(endpoint, lambda described: False)

    def log(self, endpoint: str) -> list[str]:
        """All lines of an endpoint's log group."""
        group = f"/aws/sagemaker/Endpoints/{endpoint}"
        pages = self.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]


@pytest.fixture
def host(control_plane: RunningAws) -> Iterator[Host]:
    """An account on an AWS without Triton; conditions that a test imposes end with it."""
    yield from _host(control_plane)


@pytest.fixture
def triton_host(aws: AwsProcess) -> Iterator[Host]:
    """An account on an AWS whose endpoints are served by Triton; skipped where none runs."""
    if aws.facts["triton"]:
        pytest.skip(aws.facts["triton"])
    yield from _host(aws)


@pytest.fixture
def scripted_host(scripted_aws: RunningAws) -> Iterator[Host]:
    """An account on an AWS whose endpoints are served by scripted model servers."""
    yield from _host(scripted_aws)


@pytest.fixture
def unhurried_host(tmp_path: Path) -> Iterator[Host]:
    """The same on an AWS of its own, on which no other test has let time pass faster."""
    for aws in _in_this_process(tmp_path / "aws", ScriptedServer):
        yield from _host(aws)


def _host(aws: RunningAws) -> Iterator[Host]:
    before = aws.conditions()
    yield Host(aws)
    aws.impose(**before)
