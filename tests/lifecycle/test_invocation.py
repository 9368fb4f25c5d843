"""One stack with an endpoint of each mode: `python -m infra invoke` and `batch`, and boto3 alone, get right answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from infra.monitoring import graph_data
from sandbox.home import PROJECT
from sandbox.stacks import Stack
from tests.lifecycle.account import Account, development, eventually, nothing_to_do

RECORDS = 1000
DOUBLING = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        if any(x[0] < 0 for x in inputs):
            raise ValueError("x is negative")
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", 2 * x)]) for x in inputs]
"""


def request(x: float) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [x]}]}).encode()


def answer(body: bytes | str) -> float:
    return float(json.loads(body)["outputs"][0]["data"][0])


class Commands:
    """The commands as a person runs them, in a project with the stack's file."""

    def __init__(self, account: Account, stack: Stack) -> None:
        self._account, self._stack = account, stack
        self.directory = account.directory / f"project-{stack.name}"
        self.directory.mkdir()
        (self.directory / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
        with (self.directory / f"Pulumi.{stack.name}.yaml").open("w") as file:
            YAML().dump({"config": stack.config}, file)

    def run(self, command: str, *arguments: str) -> tuple[int, str, str]:
        """The exit code, and what was printed to stdout and stderr."""
        ended = subprocess.run(
            [sys.executable, "-m", "infra", command, "-s", self._stack.name, *arguments],
            cwd=self.directory,
            env={**self._account.command_environment(), "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        return ended.returncode, ended.stdout, ended.stderr


def read(s3: Any, location: str) -> bytes:
    url = urlsplit(location)
    return bytes(s3.get_object(Bucket=url.netloc, Key=url.path.lstrip("/"))["Body"].read())


def exists(s3: Any, location: str) -> bool:
    url = urlsplit(location)
    return bool(s3.list_objects_v2(Bucket=url.netloc, Prefix=url.path.lstrip("/"))["KeyCount"])


def by_boto3(account: Account, mode: str, endpoint: str, x: float) -> float:
    """The answer that a client without this project's code gets."""
    runtime, s3 = account.client("sagemaker-runtime"), account.client("s3")
    asked = {"EndpointName": endpoint, "ContentType": "application/json", "Body": request(x)}
    if mode != "asynchronous":
        return answer(runtime.invoke_endpoint(**asked)["Body"].read())
    location = runtime.invoke_endpoint_async(**asked)["OutputLocation"]
    eventually(lambda: exists(s3, location), f"{location} exists")
    return answer(read(s3, location))


def graphs(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [widget for widget in body["widgets"] if widget["type"] == "metric"]


def releases(body: dict[str, Any]) -> int:
    """The number of releases that the dashboard shows of the endpoint that has most."""
    return max(len(graph["properties"]["annotations"].get("vertical", [])) for graph in graphs(body))


def dashboard_has_data(account: Account, commands: Commands, png: Path) -> dict[str, Any]:
    """See that no graph of the dashboard is empty after traffic; returns its body."""
    code, out, error = commands.run("dashboard", "--json", "--png", str(png), "--since", "1h")
    assert code == 0, error
    assert png.read_bytes().startswith(b"\x89PNG")
    body, now = dict(json.loads(out)), time.time()
    cloudwatch = account.client("cloudwatch")
    lines = {
        f"{widget['properties']['title']} {widget['x']},{widget['y']}": graph_data.lines(
            cloudwatch, widget, now - 3600, now + 120
        )
        for widget in graphs(body)
    }
    assert [title for title, drawn in lines.items() if not any(line.values for line in drawn)] == []
    return body


def test_each_mode_answers(account: Account, tmp_path: Path) -> None:
    repository = account.model(0)
    (repository / "answer" / "1" / "model.py").write_text(DOUBLING)
    model = {"model": {"path": str(repository)}}
    modes: dict[str, dict[str, Any]] = {
        "realtime": {"instanceType": "ml.r5.xlarge"},
        "asynchronous": {"instanceType": "ml.c5.xlarge", "asynchronous": {}},
        "serverless": {"serverless": {"memoryMb": 2048, "maxConcurrency": 5}},
        "batch": {"batch": {"maxConcurrentTransforms": 4}},
    }
    names = {mode: account.name() for mode in modes}
    endpoints = {names[mode]: {**model, **section} for mode, section in modes.items()}
    stack = account.stack(development(endpoints, monitoring={"dashboard": True}))
    stack.up()
    nothing_to_do(stack)
    commands = Commands(account, stack)
    file, bad = tmp_path / "request.json", tmp_path / "bad.json"
    file.write_bytes(request(21))
    bad.write_bytes(request(-1))

    for mode in ("realtime", "asynchronous", "serverless"):
        code, out, error = commands.run("invoke", names[mode], "--input", str(file), "--json")
        assert (code, answer(out)) == (0, 42), error
        code, out, error = commands.run("invoke", names[mode])
        assert (code, "output" in out) == (0, True), error
        assert by_boto3(account, mode, names[mode], 4) == 8
        code, out, error = commands.run("invoke", names[mode], "--input", str(bad))
        assert (code, "ValueError: x is negative" in error) == (1, True), out + error

    records = tmp_path / "records.jsonl"
    records.write_bytes(b"\n".join(map(request, range(RECORDS))))
    s3 = account.client("s3")
    for mode in ("realtime", "batch"):
        job = f"{names[mode]}-1"
        code, out, error = commands.run("batch", names[mode], "--input", str(records), "--name", job)
        assert code == 0, out + error
        location = f"s3://{stack.outputs()['bucket']}/batch/{names[mode]}/{job}/output/records.jsonl.out"
        assert location in out
        answers = list(map(answer, read(s3, location).splitlines()))
        assert answers == [2 * x for x in range(RECORDS)]

    records.write_bytes(b"\n".join(map(request, [1, -1, 3])))
    code, out, error = commands.run("batch", names["batch"], "--input", str(records), "--max-retries", "0")
    assert (code, "x is negative" in out, "records.jsonl.out" in out) == (1, True, False), out + error

    body = dashboard_has_data(account, commands, tmp_path / "dashboard.png")
    assert len(graphs(body)) == 21 and releases(body) == 1
    assert {widget["type"] for widget in body["widgets"]} == {"text", "metric"}, "no alarm"
    endpoints[names["realtime"]] |= {"instanceType": "ml.m5.xlarge", "alarms": {"errorRatePercent": 5}}
    stack.up()
    nothing_to_do(stack)
    cloudwatch, name = account.client("cloudwatch"), f"triton-{stack.name}"
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    assert releases(body) == 2
    assert [widget["properties"]["title"] for widget in body["widgets"] if widget["type"] == "alarm"] == ["Alarms"]
    stack.config = development(endpoints)
    stack.up()
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.get_dashboard(DashboardName=name)
