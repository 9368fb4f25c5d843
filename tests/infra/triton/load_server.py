"""A Triton that loads models on request, so that one start judges many repositories."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import urllib3

from infra.triton.server import installed_wheel

START_SECONDS = 60


class LoadServer:
    """`tritonserver` with explicit model control and its HTTP endpoint on loopback.

    Args:
        directory: an empty directory; models are put into its `models`.
        arguments: further arguments.
    """

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.models = directory / "models"
        self.models.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._log = directory / "log"
        wheel = installed_wheel()
        assert wheel is not None
        command = [
            str(wheel.server),
            f"--model-repository={self.models}",
            f"--backend-directory={wheel.backend_directory(directory)}",
            "--model-control-mode=explicit",
            "--allow-sagemaker=false",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--http-address=127.0.0.1",
            f"--http-port={port}",
            *arguments,
        ]
        place = {"env": wheel.environment(directory), "cwd": wheel.packages(directory)}
        self._run = partial(subprocess.Popen, command, stderr=subprocess.STDOUT, **place)
        self._http = urllib3.PoolManager(retries=False, maxsize=4)
        self._start()

    def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = self._run(stdout=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def load(self, model: str) -> str | None:
        """Load a model; returns why Triton does not load it, or None.

        Loaded models stay: a server that unloads one model while it loads another one may crash.
        """
        try:
            answer = self._http.request("POST", f"{self._url}/v2/repository/models/{model}/load", timeout=60)
        except urllib3.exceptions.HTTPError:  # on a slow machine Triton 23.10 may crash on what it would reject
            self.stop()
            assert "Signal (11) received" in (log := self._log.read_text()), log
            self._start()
            return "Triton crashed"
        return None if answer.status == 200 else str(json.loads(answer.data)["error"])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            return self._http.request("GET", f"{self._url}/v2/health/ready", timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False
