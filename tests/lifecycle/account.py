"""A sandbox as the lifecycle tests look at it: stacks, models to release, questions, and what AWS was asked."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import psutil
from botocore.exceptions import BotoCoreError, ClientError
from ruamel.yaml import YAML

from sandbox.aws.conditions import Conditions
from sandbox.home import PROJECT, Sandbox
from sandbox.stacks import Stack, Update
from tests.lifecycle.permissions import DeployedByPolicy

Config = dict[str, Any]

CONFIG_PBTXT = """
name: "answer"
backend: "python"
max_batch_size: 0
input [{ name: "x", data_type: TYPE_FP32, dims: [1] }]
output [{ name: "y", data_type: TYPE_FP32, dims: [1] }]
"""
MODEL_PY = """
import numpy
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        %(initialize)s

    def execute(self, requests):
        %(execute)s
        answer = numpy.array([%(answer)s], dtype=numpy.float32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", answer)]) for _ in requests]
"""
BROKEN = "raise RuntimeError('the weights of this model are missing')"
FAILING = "raise RuntimeError('this model fails at every request')"
QUESTION = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]})


def sleeping(seconds: float) -> str:
    """What a model does that takes its time."""
    return f"import time; time.sleep({seconds})"


def write_model(directory: Path, answer: float, initialize: str = "pass", execute: str = "pass") -> Path:
    """A model repository whose only model answers every question with `answer`.

    Args:
        initialize: a statement that it executes first when it is loaded.
        execute: a statement that it executes first at each request.
    """
    version = directory / "answer" / "1"
    version.mkdir(parents=True, exist_ok=True)
    (directory / "answer" / "config.pbtxt").write_text(CONFIG_PBTXT)
    (version / "model.py").write_text(MODEL_PY % {"answer": answer, "initialize": initialize, "execute": execute})
    return directory


@dataclass
class Account:
    """The sandbox's one account, shared by the tests of a worker: each test names what it makes by itself."""

    sandbox: Sandbox
    directory: Path
    python: Path
    """The Python that starts providers."""
    names: Iterator[int] = field(default_factory=itertools.count)
    denied: list[str] = field(default_factory=list)
    """What stacks asked of AWS that their deployer's policy does not allow."""
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.sandbox.running().url

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.sandbox.client(service)
        return self._clients[service]

    def command_environment(self) -> dict[str, str]:
        """The environment of a shell in which the AWS CLI of this virtual environment talks to the sandbox."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, **self.sandbox.environment(), "PATH": path}

    def stack(self, config: Config) -> DeployedByPolicy:
        """A new stack with this configuration."""
        return DeployedByPolicy(self, f"s{next(self.names)}", config)

    def name(self) -> str:
        """A name that no other test uses, nor has in its own."""
        return f"e{next(self.names)}e"

    def model(self, answer: float, initialize: str = "pass", execute: str = "pass") -> Path:
        """A new model repository; see `write_model`."""
        return write_model(self.directory / f"models{next(self.names)}", answer, initialize, execute)

    def ask(self, endpoint: str, client: Any = None, variant: str | None = None) -> float:
        """The endpoint's answer, from boto3; from a variant of it if one is named."""
        target = {"TargetVariant": variant} if variant else {}
        answer = (client or self.client("sagemaker-runtime")).invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=QUESTION, **target
        )
        return float(json.loads(answer["Body"].read())["outputs"][0]["data"][0])

    def endpoint(self, name: str) -> dict[str, Any]:
        described: dict[str, Any] = self.client("sagemaker").describe_endpoint(EndpointName=name)
        return described

    def calls(self, after: int = 0, wait: float = 0) -> list[dict[str, Any]]:
        """What AWS was asked, in order."""
        answer = self.sandbox.control("GET", f"calls?after={after}&wait={wait}", timeout=wait + 30)
        found: list[dict[str, Any]] = answer.json()
        return found

    def now(self) -> int:
        """The number of the newest call."""
        return max((call["n"] for call in self.calls()), default=0)

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], after: int) -> dict[str, Any]:
        """The first call after number `after` that is wanted, as soon as AWS gets it."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for call in self.calls(after, wait=5):
                after = call["n"]
                if wanted(call):
                    return call
        raise AssertionError("AWS was not asked in two minutes")

    def wait_for_stage(self, endpoint: str, stage: str) -> None:
        """Until a variant of the fleet that is being rolled out is in this stage (API `VariantStatus`)."""

        def reached() -> bool:
            rollout = self.endpoint(endpoint).get("PendingDeploymentSummary", {})
            variants = rollout.get("ProductionVariants", [])
            return stage in [status["Status"] for each in variants for status in each.get("VariantStatus", [])]

        eventually(reached, f"{endpoint} is {stage}")

    def wait_for_status(self, endpoint: str, status: str) -> None:
        """Until the endpoint has this status."""
        eventually(lambda: self.endpoint(endpoint)["EndpointStatus"] == status, f"{endpoint} is {status}")

    def wait_for_alarm(self, name: str) -> None:
        """Until the alarm fires."""
        find = self.client("cloudwatch").describe_alarms
        eventually(lambda: find(AlarmNames=[name], StateValue="ALARM")["MetricAlarms"] != [], f"{name} fires")

    @contextlib.contextmanager
    def once(self, operation: str, **conditions: Any) -> Iterator[None]:
        """Imposes conditions as soon as AWS is asked for an operation during the `with` block."""
        after = self.now()

        def impose() -> None:
            self.wait_for(lambda call: call["operation"] == operation, after)
            self.impose(**conditions)

        with ThreadPoolExecutor(1) as thread:
            imposed = thread.submit(impose)
            yield
            imposed.result()

    def impose(self, **conditions: Any) -> None:
        """Conditions of the account, such as `provisioningSeconds=5`."""
        self.sandbox.impose(**conditions)

    def relieve(self) -> None:
        """No condition any more but those that hold by themselves."""
        self.impose(**Conditions().as_dict())

    def deleted(self, after: int) -> set[str]:
        """Names of Models and EndpointConfigurations that somebody deleted, or tried to."""
        keys = {"DeleteModel": "ModelName", "DeleteEndpointConfig": "EndpointConfigName"}
        return {call["params"][keys[call["operation"]]] for call in self.calls(after) if call["operation"] in keys}


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Wait for what AWS tells only to those who ask again and again."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, f"in two minutes it was not so that {what}"
        time.sleep(0.05)


def development(endpoints: dict[str, Any], **sections: Any) -> Config:
    """The configuration of a development stack."""
    variants = [variant for each in endpoints.values() for variant in each.get("variants", {"": each}).values()]
    for variant in variants:
        # the test models' configurations are complete, and Triton starts several times faster when told so
        variant.setdefault("environment", {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--disable-auto-complete-config"})
    base = {
        "aws:region": "ap-northeast-1",
        "triton-sagemaker:environment": "development",
        "triton-sagemaker:tags": {"CostEnv": "test", "CostService": "lifecycle"},
        "triton-sagemaker:endpoints": endpoints,
    }
    return base | {f"triton-sagemaker:{key}": value for key, value in sections.items()}


def production(endpoints: dict[str, Any], repository: str, **sections: Any) -> Config:
    """The configuration of a production stack, with a repository of its own."""
    for endpoint in endpoints.values():
        endpoint.setdefault("allowSingleInstance", True)
        endpoint.setdefault("alarms", {"errorRatePercent": 5})
    sections.setdefault("image", {"version": "23.10-py3", "repository": repository})
    return development(endpoints, **sections) | {"triton-sagemaker:environment": "production"}


def state(stack: Stack, type_: str) -> list[dict[str, Any]]:
    """The resources of a type in the stack's state, without those that wait to be deleted."""
    return [each for each in stack.resources() if each["type"].endswith(type_) and not each.get("delete")]


def operations(update: Update) -> dict[str, list[str]]:
    """Of each operation but `same`: the types that the engine did it to, in order. Providers are none of them: the
    engine updates that of our own resources whenever any setting changes."""
    found: dict[str, list[str]] = {}
    for step in update.steps:
        if step.operation not in ("same", "read") and not step.type.startswith("pulumi:providers:"):
            found.setdefault(step.operation, []).append(step.type.split(":")[-1])
    return found


def changing(calls: list[dict[str, Any]]) -> list[str]:
    """The operations among calls that change something in the account."""
    reading = ("Describe", "Get", "List", "Head", "BatchGet", "BatchCheck")
    return [call["operation"] for call in calls if not call["operation"].startswith(reading)]


def consistent(account: Account, stack: Stack) -> None:
    """See that a stack's state, its live endpoints and what they need in the account agree, however its deployments
    ended, and that no live Model or EndpointConfiguration was ever asked to be deleted.

    Only what an engine was making when it was killed may be there unknown to the state: Pulumi chose its name, which
    was lost with the engine; the next ones say so.
    """
    deployment, calls = stack.export()["deployment"], account.calls()
    resources, pending = deployment["resources"], deployment.get("pending_operations") or []
    interrupted = [each["resource"] for each in pending if each["type"] == "creating"]
    endpoints = [each for each in resources if each["type"].endswith(":Endpoint")]
    assert endpoints, "the state knows of no endpoint"
    for endpoint in endpoints:
        name = endpoint["id"]
        live = _live(account, name)
        assert endpoint["outputs"]["endpointConfigName"] == live
        for kind, list_ in _OF_ENDPOINT.items():
            in_state, there = _ids(resources, kind, name), list_(account, name)
            unknown = [each for each in there if each not in in_state]
            assert in_state == [each for each in there if each not in unknown]
            assert len(unknown) <= len(_making(interrupted, kind, name)), f"of {kind} the state does not know {unknown}"
        known = _ids(resources, "EndpointConfiguration", name)
        assert live in known, "what is live is in the state, if only to be deleted later"
        refused = [call for call in calls if _deleted_live(call, name)]
        assert refused == [], "something live was to be deleted"


def nothing_to_do(stack: Stack) -> None:
    """See that the next `up` would find everything as its last one left it."""
    preview = stack.preview()
    assert preview.unchanged, operations(preview)


def left(account: Account, name: str) -> list[str]:
    """What there is in the account of an endpoint that was deleted, with its name if it is there itself."""
    endpoints = account.client("sagemaker").list_endpoints(NameContains=name)["Endpoints"]
    found = [each["EndpointName"] for each in endpoints if each["EndpointName"] == name]
    return found + [each for list_ in _OF_ENDPOINT.values() for each in list_(account, name)]


def _live(account: Account, name: str) -> str:
    """The configuration that an endpoint serves, once all that it needs is seen to be there."""
    sagemaker, s3 = account.client("sagemaker"), account.client("s3")
    endpoint = account.endpoint(name)
    assert endpoint["EndpointStatus"] == "InService"
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    for variant in configuration["ProductionVariants"]:
        container = sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
        artifact = urlsplit(container["ModelDataUrl"])
        s3.head_object(Bucket=artifact.netloc, Key=artifact.path.lstrip("/"))
        waiting = s3.list_objects_v2(Bucket=artifact.netloc, Prefix=f"autoscaling/{name}.json")
        assert waiting["KeyCount"] == 0, "autoscaling waits to be put back"
    return str(endpoint["EndpointConfigName"])


def _models(account: Account, name: str) -> list[str]:
    found = account.client("sagemaker").list_models(NameContains=name, MaxResults=100)["Models"]
    return _of(name, [each["ModelName"] for each in found])


def _configurations(account: Account, name: str) -> list[str]:
    found = account.client("sagemaker").list_endpoint_configs(NameContains=name, MaxResults=100)["EndpointConfigs"]
    return _of(name, [each["EndpointConfigName"] for each in found])


def _alarms(account: Account, name: str) -> list[str]:
    found = account.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{name}-")["MetricAlarms"]
    return _of(name, [each["AlarmName"] for each in found])


_OF_ENDPOINT = {"Model": _models, "EndpointConfiguration": _configurations, "MetricAlarm": _alarms}


def _ids(resources: list[dict[str, Any]], kind: str, name: str) -> list[str]:
    return _of(name, [each["id"] for each in resources if each["type"].endswith(f":{kind}")])


def _making(interrupted: list[dict[str, Any]], kind: str, name: str) -> list[str]:
    """The URNs of an endpoint's resources whose creation was cut off."""
    urns = [each["urn"] for each in interrupted if each["type"].endswith(f":{kind}")]
    return [urn for urn in urns if f"{urn.rpartition('::')[2]}-".startswith(f"{name}-")]


def _of(name: str, ids: list[str]) -> list[str]:
    """Those that begin with the endpoint's name, as Pulumi and the stack name what belongs to it."""
    return sorted(each for each in ids if each.startswith(f"{name}-"))


def _deleted_live(call: dict[str, Any], name: str) -> bool:
    """Whether a call was to delete what an endpoint served or was heading for at that moment: the sandbox refuses it,
    where AWS would not."""
    return (
        call["operation"] in ("DeleteModel", "DeleteEndpointConfig")
        and f'/{name}"' in (call["error"] or "")
        and "serves it or is being updated to it" in call["error"]
    )


class Asked(NamedTuple):
    """A question that was answered."""

    at: float
    """When it was asked, by `time.monotonic`."""
    answer: float


class Asking:
    """Questions that several threads put to an endpoint as long as the `with` block lasts, without trying again, and
    what came of them."""

    def __init__(self, account: Account, endpoint: str, threads: int = 2, pause: float = 0.1) -> None:
        self.asked: list[Asked] = []
        self.failures: list[str] = []
        self._account, self._endpoint, self._pause = account, endpoint, pause
        self._client = account.sandbox.client(
            "sagemaker-runtime", retries={"total_max_attempts": 1}, max_pool_connections=threads
        )
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, name=f"asking {endpoint}") for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> set[float]:
        """The answers, each once."""
        return {each.answer for each in self.asked}

    def _ask(self) -> None:
        while not self._over.wait(self._pause):
            began = time.monotonic()
            try:
                self.asked.append(Asked(began, self._account.ask(self._endpoint, self._client)))
            except (BotoCoreError, ClientError, ValueError) as error:
                self.failures.append(str(error))


class Killable:
    """`python -m sandbox up` in a process of its own, whose engine can be killed."""

    def __init__(self, account: Account, stack: Stack) -> None:
        assert stack.config is not None
        self._file = account.directory / f"{stack.name}.yaml"
        with self._file.open("w") as file:
            YAML().dump({"config": stack.config}, file)
        code = "import sys; from tests.lifecycle.account import up; up(*sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(account.sandbox.home), stack.name, str(self._file)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def kill_the_engine(self, after: float = 0) -> list[psutil.Process]:
        """SIGKILL the engine, these seconds after it has started; what is returned are the providers left behind. None
        where the deployment is over by then."""
        eventually(lambda: self._engines() != [] or self._process.poll() is not None, "the engine runs")
        time.sleep(after)
        providers = []
        for engine in self._engines():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
                providers += engine.children(recursive=True)
                engine.kill()
        self._process.communicate(timeout=120)
        return providers

    def _engines(self) -> list[psutil.Process]:
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [each] if each.name() == "pulumi" else []
        return found


def up(home: str, name: str, file: str) -> None:
    """Deploy a stack from its configuration in a file: what a `Killable` runs."""
    with open(file) as text:
        config = YAML(typ="safe").load(text)["config"]
    Stack(Sandbox(Path(home)), name, config).up()
