"""`make dashboard`: send the endpoints of Pulumi.modes.yaml requests in real time, and draw their dashboard as
docs/dashboard.png."""

from __future__ import annotations

import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from ruamel.yaml import YAML

from infra.names import async_input
from sandbox.home import PROJECT, Sandbox
from sandbox.stacks import Stack

STACK = "modes"
PICTURE = Path(__file__).with_name("dashboard.png")
MINUTES = 15
RELEASE_MINUTE, BATCH_MINUTE = 6, 9

COLORS = 256
"""Of the picture, which is a third as large then."""

MEASUREMENTS = [6.3, 3.3, 6.0, 2.5]


def request(measurements: list[float]) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "measurements", "shape": [1, 4], "datatype": "FP32", "data": measurements}]}
    ).encode()


class Traffic:
    """Clients of the endpoints, until the block ends."""

    def __init__(self, sandbox: Sandbox, bucket: str) -> None:
        self._runtime, self._s3, self._bucket = sandbox.client("sagemaker-runtime"), sandbox.client("s3"), bucket
        self._began, self._ended = time.monotonic(), threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        clients = [
            (self.ask, ("iris-real-time",), self.wave(240)),
            (self.ask, ("iris-real-time", b"{}"), lambda: 3),
            (self.ask, ("iris-serverless",), self.bursts(60)),
            (self.queue, (), self.bursts(90)),
        ]
        threads = [threading.Thread(target=self._repeat, args=client) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def ask(self, endpoint: str, body: bytes | None = None) -> None:
        body = request(MEASUREMENTS) if body is None else body
        self._runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=body)["Body"].read()

    def queue(self) -> None:
        name = "iris-asynchronous"
        key = f"{async_input(name)}{random.randrange(10**9)}.json"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=request(MEASUREMENTS))
        location = f"s3://{self._bucket}/{key}"
        self._runtime.invoke_endpoint_async(EndpointName=name, ContentType="application/json", InputLocation=location)

    def wave(self, most: float) -> Callable[[], float]:
        """Requests per minute that rise and fall."""
        return lambda: most * (0.6 + 0.4 * math.sin((time.monotonic() - self._began) / 140))

    def bursts(self, most: float) -> Callable[[], float]:
        """Requests per minute with pauses."""
        return lambda: most if (time.monotonic() - self._began) % 240 < 140 else 0

    def _repeat(self, call: Callable[..., None], arguments: tuple[Any, ...], per_minute: Callable[[], float]) -> None:
        while not self._ended.is_set():
            rate = per_minute()
            self._ended.wait(random.uniform(0.5, 1.5) * 60 / rate if rate else 1)
            with contextlib.suppress(Exception):  # a request that fails is an error on the dashboard
                if rate:
                    call(*arguments)


def transform(sandbox: Sandbox) -> None:
    """Run a transform job."""
    with tempfile.TemporaryDirectory() as directory:
        records = Path(directory, "records.jsonl")
        records.write_bytes(b"\n".join(request(MEASUREMENTS) for _ in range(20_000)))
        command = [sys.executable, "-m", "infra", "batch", "-s", STACK, "iris-batch", "--input", str(records)]
        subprocess.run(command, cwd=PROJECT, env=sandbox.environment(), check=True)


def main() -> None:
    sandbox = Sandbox(root=PROJECT, say=print)
    sandbox.start()
    sandbox.impose(serverlessIdleSeconds=60)
    stack = Stack(sandbox, STACK)
    stack.up(print)
    began = time.monotonic()

    def wait_for(minute: float) -> None:
        time.sleep(max(0.0, began + 60 * minute - time.monotonic()))

    with Traffic(sandbox, str(stack.outputs()["bucket"])).running():
        wait_for(RELEASE_MINUTE)
        config: Any = YAML(typ="safe").load(stack.require_file())["config"]
        config["triton-sagemaker:endpoints"]["iris-real-time"]["instanceType"] = "ml.m5.xlarge"
        Stack(sandbox, STACK, config).up(print)
        wait_for(BATCH_MINUTE)
        transform(sandbox)
        wait_for(MINUTES)
    command = [
        sys.executable,
        "-m",
        "infra",
        "dashboard",
        "-s",
        STACK,
        "--png",
        str(PICTURE),
        "--since",
        f"{MINUTES + 1}m",
    ]
    subprocess.run(command, cwd=PROJECT, env=sandbox.environment(), check=True)
    Image.open(PICTURE).convert("RGB").quantize(COLORS).save(PICTURE, optimize=True)
    print(f"drawn: {PICTURE}")


if __name__ == "__main__":
    main()
