"""A registry to copy images from, and the sandbox's ECR to copy them to, both on loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import boto3

from sandbox.aws.access import AccessKey


class Source:
    """Debian's docker-registry, or crane's; a real registry with its blobs in files."""

    def __init__(self, home: Path, crane: str | None) -> None:
        home.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        command: list[str] = []
        if registry := shutil.which("docker-registry"):
            settings = {
                "version": 0.1,
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(home)}},
                "http": {"addr": self.host},
            }
            (home / "config.yml").write_text(json.dumps(settings))
            command, self.name = [registry, "serve", str(home / "config.yml")], "docker-registry"
        elif crane:
            command = [crane, "registry", "serve", "--address", self.host, "--disk", str(home)]
            self.name = "crane registry serve"
        if not command:
            raise FileNotFoundError(
                "install docker-registry (Debian: apt install docker-registry) or Go, which builds crane"
            )
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(self.host)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Destination:
    """The sandbox's ECR, in a process of its own."""

    account = "123456789012"
    region = "ap-northeast-1"

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "sandbox.aws", "--home", str(home)])
        while not (home / "aws.json").exists():
            time.sleep(0.05)
        facts = json.loads((home / "aws.json").read_text())
        self.environment = {
            "AWS_ENDPOINT_URL": facts["url"],
            "AWS_ACCESS_KEY_ID": facts["accessKey"]["id"],
            "AWS_SECRET_ACCESS_KEY": facts["accessKey"]["secret"],
            "AWS_DEFAULT_REGION": self.region,
        }
        self.api = facts["url"].removeprefix("http://")
        self._layers = home / "layers"
        self.ecr = boto3.client(
            "ecr",
            endpoint_url=facts["url"],
            region_name=self.region,
            aws_access_key_id=facts["accessKey"]["id"],
            aws_secret_access_key=facts["accessKey"]["secret"],
        )
        (granted,) = self.ecr.get_authorization_token()["authorizationData"]
        self.host = granted["proxyEndpoint"].removeprefix("http://")
        self.token = granted["authorizationToken"]
        self._control = HTTPConnection(self.api)
        self._control_headers = AccessKey(**facts["accessKey"]).authorization

    def serve_at(self, host: str | None) -> None:
        """Have authorization tokens name another host; None is its own."""
        body = json.dumps({"proxyEndpoint": host and f"http://{host}"})
        self._control.request("PUT", "/_sandbox/conditions", body, self._control_headers)
        answer = self._control.getresponse()
        answer.read()
        self._control.close()

    def create(self, repository: str) -> str:
        """Make a repository, and return its registry and name as ECR knows them."""
        self.ecr.create_repository(repositoryName=repository)
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com/{repository}"

    def digests(self, repository: str) -> dict[str, str]:
        """The digest that each tag of a repository names."""
        details = self.ecr.describe_images(repositoryName=repository)["imageDetails"]
        return {tag: detail["imageDigest"] for detail in details for tag in detail.get("imageTags", [])}

    def delete(self, repository: str) -> None:
        """Delete a repository, and all layers' bytes."""
        self.ecr.delete_repository(repositoryName=repository, force=True)
        for file in self._layers.glob("*"):
            file.unlink(missing_ok=True)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def _wait_for(host: str) -> None:
    address, _, port = host.partition(":")
    for _ in range(200):
        try:
            return socket.create_connection((address, int(port))).close()
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens at {host}")
