"""A Triton that loads models on request, so that one start judges many repositories."""

from __future__ import annotations

import json
import socket
import subprocess
import time
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
        self._log = (directory / "log").open("wb")
        wheel = installed_wheel()
        assert wheel is not None
        self._process = subprocess.Popen(
            [
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
            ],
            env=wheel.environment(directory),
            cwd=wheel.packages(directory),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._http = urllib3.PoolManager(retries=False, maxsize=4)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.05)

    def load(self, model: str) -> str | None:
        """Load a model; returns why Triton does not load it, or None.

        Loaded models stay: a server that unloads one model while it loads another one may crash.
        """
        answer = self._http.request("POST", f"{self._url}/v2/repository/models/{model}/load", timeout=60)
        return None if answer.status == 200 else str(json.loads(answer.data)["error"])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _is_ready(self) -> bool:
        try:
            return self._http.request("GET", f"{self._url}/v2/health/ready", timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False
