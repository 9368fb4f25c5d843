"""A sandbox as the lifecycle tests look at it: stacks, models to release, questions, and what AWS was asked."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import urllib3
from ruamel.yaml import YAML

from sandbox.home import PROJECT, Sandbox
from sandbox.stacks import Stack, Update

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
        answer = numpy.array([%(answer)s], dtype=numpy.float32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", answer)]) for _ in requests]
"""
BROKEN = "raise RuntimeError('the weights of this model are missing')"


def write_model(directory: Path, answer: float, initialize: str = "pass") -> Path:
    """A model repository whose only model answers every question with `answer`."""
    version = directory / "answer" / "1"
    version.mkdir(parents=True, exist_ok=True)
    (directory / "answer" / "config.pbtxt").write_text(CONFIG_PBTXT)
    (version / "model.py").write_text(MODEL_PY % {"answer": answer, "initialize": initialize})
    return directory


@dataclass
class Account:
    """The sandbox's one account, shared by the tests of a worker: each test names what it makes by itself."""

    sandbox: Sandbox
    directory: Path
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return self.sandbox.running().url

    def client(self, service: str) -> Any:
        return self.sandbox.client(service)

    def command_environment(self) -> dict[str, str]:
        """The environment of a shell in which the AWS CLI of this virtual environment talks to the sandbox."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, **self.sandbox.environment(), "PATH": path}

    def stack(self, config: Config) -> Stack:
        """A new stack with this configuration."""
        return Stack(self.sandbox, f"s{next(self.names)}", config)

    def name(self) -> str:
        """A name that no other test uses."""
        return f"e{next(self.names)}"

    def model(self, answer: float, initialize: str = "pass") -> Path:
        """A new model repository."""
        return write_model(self.directory / f"models{next(self.names)}", answer, initialize)

    def ask(self, endpoint: str) -> float:
        """The endpoint's answer, from boto3."""
        question = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=json.dumps(question)
        )
        return float(json.loads(answer["Body"].read())["outputs"][0]["data"][0])

    def endpoint(self, name: str) -> dict[str, Any]:
        described: dict[str, Any] = self.client("sagemaker").describe_endpoint(EndpointName=name)
        return described

    def calls(self, after: int = 0, wait: float = 0) -> list[dict[str, Any]]:
        """What AWS was asked, in order."""
        answer = urllib3.request("GET", f"{self.url}/_sandbox/calls?after={after}&wait={wait}", timeout=wait + 30)
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

    def impose(self, **conditions: Any) -> None:
        """Conditions of the account, such as `provisioningSeconds=5`."""
        answer = urllib3.request("PUT", f"{self.url}/_sandbox/conditions", json=conditions)
        assert answer.status == 200, answer.data

    def deleted(self, after: int) -> set[str]:
        """Names of Models and EndpointConfigurations that somebody deleted, or tried to."""
        keys = {"DeleteModel": "ModelName", "DeleteEndpointConfig": "EndpointConfigName"}
        return {call["params"][keys[call["operation"]]] for call in self.calls(after) if call["operation"] in keys}


def development(endpoints: dict[str, Any], **sections: Any) -> Config:
    """The configuration of a development stack."""
    for endpoint in endpoints.values():
        # the test models' configurations are complete, and Triton starts several times faster when told so
        endpoint.setdefault("environment", {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--disable-auto-complete-config"})
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
    image = {"version": "23.10-py3", "repository": repository}
    return development(endpoints, image=image, **sections) | {"triton-sagemaker:environment": "production"}


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

    def kill_the_engine(self) -> list[psutil.Process]:
        """SIGKILL every engine that runs; what is returned are the providers left behind."""
        with contextlib.suppress(psutil.NoSuchProcess):  # the deployment may be over
            children = psutil.Process(self._process.pid).children(recursive=True)
            engines = [each for each in children if each.name() == "pulumi"]
            providers = [each for engine in engines for each in engine.children(recursive=True)]
            for engine in engines:
                engine.send_signal(signal.SIGKILL)
            self._process.communicate(timeout=60)
            return providers
        return []


def up(home: str, name: str, file: str) -> None:
    """Deploy a stack from its configuration in a file: what a `Killable` runs."""
    with open(file) as text:
        config = YAML(typ="safe").load(text)["config"]
    Stack(Sandbox(Path(home)), name, config).up()
