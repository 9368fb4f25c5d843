"""A sandbox: a private directory, the AWS that runs for it, and its stacks' state, which lives as long as that AWS."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import psutil
import urllib3
from botocore.config import Config

from sandbox import engine
from sandbox.aws.access import AccessKey
from sandbox.go_program import tail

PROJECT = Path(__file__).resolve().parents[1]
Say = Callable[[str], None]

_MARK = "# A sandbox of Triton on SageMaker: `make down` deletes this directory.\n*\n"
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_SAME_START_SECONDS = 5.0
"""A process's start is computed from the clock: the same process may be seen with this much difference."""
_NO_PROFILE = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class SandboxError(Exception):
    """The sandbox cannot do what it was asked; the message says what and what to do."""


@dataclass(frozen=True)
class Aws:
    """The running AWS of a sandbox.

    Attributes:
        started: when its process began, in seconds since the epoch; with `pid` it names that process for good.
        triton: why no Triton runs on this machine; None where it does.
        access_key: what its callers must hold.
    """

    pid: int
    started: float
    url: str
    region: str
    account: str
    triton: str | None
    access_key: AccessKey

    def is_the_one(self, record: Mapping[str, Any]) -> bool:
        """Whether `record` (of `pid` and `started`) means this very process."""
        return bool(record["pid"] == self.pid and abs(record["started"] - self.started) < _SAME_START_SECONDS)


class Sandbox:
    """A sandbox in the directory `home` for the Pulumi project in `root`; `say` gets a line about all that it does."""

    def __init__(self, home: Path | None = None, root: Path = PROJECT, say: Say = print) -> None:
        self.root = root.resolve()
        self.home = (home or default_home(self.root)).resolve()
        self.state = self.home / "state"
        self.log = self.home / "aws.log"
        self.say = say
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def engine(self) -> engine.Engine:
        """The Pulumi engine; built at the first use if need be."""
        return engine.ensure(self.say)

    @property
    def aws(self) -> Aws | None:
        """The AWS of this sandbox, if it runs."""
        try:
            facts = json.loads((self.home / "aws.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        started = self._started(facts["pid"])
        if started is None:
            return None
        key = AccessKey(**facts["accessKey"])
        return Aws(facts["pid"], started, facts["url"], facts["region"], facts["account"], facts["triton"], key)

    def running(self) -> Aws:
        """The AWS of this sandbox.

        Raises:
            SandboxError: when none runs.
        """
        if (aws := self.aws) is None:
            raise SandboxError(f"No sandbox runs in {self.home}. `make up` starts one.")
        return aws

    def start(self) -> Aws:
        """The AWS of this sandbox, started if it does not run yet; a state that another AWS left is thrown away.

        Raises:
            SandboxError: when it does not come up or does not answer; names its log.
        """
        self._make_directory()
        with exclusive(self.home / "start.lock", wait=True):
            aws = self.aws
            if aws is None:
                aws = self._launch()
                self.say(f"sandbox: AWS runs at {aws.url}, log in {shown(self.log)}")
            elif not self._answers(aws):
                raise SandboxError(
                    f"The sandbox's AWS (process {aws.pid}) does not answer at {aws.url}; see {shown(self.log)}. "
                    "`python -m sandbox down --force` ends it and forgets its stacks."
                )
            self._keep_state_of(aws)
            self._write_clients_files(aws)
        return aws

    def stop(self) -> None:
        """Stop the AWS of this sandbox, if it runs, and the providers that killed engines left behind."""
        self._end_orphans()
        if (aws := self.aws) is None:
            return
        end_process(psutil.Process(aws.pid), psutil.Process.terminate, _STOP_SECONDS)
        (self.home / "aws.json").unlink(missing_ok=True)
        self.say(f"sandbox: stopped AWS (process {aws.pid})")

    def _end_orphans(self) -> None:
        """Pulumi's start script stays between an engine and a dynamic provider, and outlives a killed engine."""
        scripts = f"{self.home / 'bin'}{os.sep}"
        for script in psutil.process_iter(["cmdline"]):
            if any(argument.startswith(scripts) for argument in script.info["cmdline"] or []):
                with contextlib.suppress(psutil.NoSuchProcess):
                    for process in (*script.children(recursive=True), script):
                        process.kill()

    def forget(self) -> None:
        """Delete the sandbox's directory; AWS must have been stopped."""
        if not self.home.exists():
            self.say(f"sandbox: {shown(self.home)} does not exist; nothing to delete")
            return
        self._make_directory()
        shutil.rmtree(self.home, ignore_errors=True)
        self.say(f"sandbox: deleted {shown(self.home)}")

    def environment(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What any AWS client needs in its environment to talk to this sandbox, and nobody else.

        Args:
            environment: what the client would have; names in it that would lead the client elsewhere are overridden.
        """
        return client_environment(self.running(), self.home, environment)

    def client(self, service: str, region: str | None = None, config: Config | None = None, **options: Any) -> Any:
        """A boto3 client of this sandbox, whatever AWS profile, proxy or region the user has.

        Args:
            options: of botocore's `Config`, which `config` overrides.
        """
        aws = self.running()
        nobody = {name: (None, None, default, None) for name, default in _NO_PROFILE.items()}
        session = boto3.Session(
            aws.access_key.id, aws.access_key.secret, region_name=region or aws.region,
            botocore_session=botocore.session.Session(nobody),
        )  # fmt: skip
        options_of_client = Config(proxies={}, **options)
        if config is not None:
            options_of_client = options_of_client.merge(config)
        return session.client(service, endpoint_url=aws.url, config=options_of_client)

    def impose(self, **conditions: Any) -> None:
        """Set conditions of AWS, such as `timeFactor=60`; see `sandbox.aws.conditions`."""
        answer = self.control("PUT", "conditions", json=conditions)
        if answer.status != 200:
            raise SandboxError(f"AWS takes no such conditions: {answer.data.decode()}")

    def control(self, method: str, path: str, **request: Any) -> urllib3.BaseHTTPResponse:
        """The answer to a request below `/_sandbox/`; see `sandbox.aws.server`. `request`: as of `urllib3.request`."""
        aws = self.running()
        return urllib3.request(method, f"{aws.url}/_sandbox/{path}", headers=aws.access_key.authorization, **request)

    def _started(self, pid: int) -> float | None:
        """When this sandbox's AWS with this process id began; None if the id is free or someone else's by now."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            command = process.cmdline()
            if "sandbox.aws" in command and str(self.home) in command and process.status() != psutil.STATUS_ZOMBIE:
                return process.create_time()
        return None

    def _make_directory(self) -> None:
        """Make the sandbox's directory, with a mark without which it is never touched, and which hides it from git.

        It is open to its owner alone: it holds the access key, and states with their secrets.
        """
        mark = self.home / ".gitignore"
        self.home.mkdir(parents=True, exist_ok=True)
        if self.home.stat().st_uid != os.getuid():
            raise SandboxError(f"{self.home} belongs to another user: point SANDBOX_HOME to a directory of yours.")
        if not (mark.exists() and mark.read_text() == _MARK):
            if any(self.home.iterdir()):
                raise SandboxError(f"{self.home} is no sandbox, and not empty: point SANDBOX_HOME to a new directory.")
            mark.write_text(_MARK)
        self.home.chmod(0o700)

    def _launch(self) -> Aws:
        (self.home / "aws.json").unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment["PYTHONPATH"] = str(PROJECT)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.aws", "--home", str(self.home), "--port", "0"],
                cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # ^C on the terminal ends what uses AWS, not AWS
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if (aws := self.aws) and aws.pid == process.pid and self._answers(aws):
                self._process = process
                return aws
            time.sleep(0.05)
        ended = process.poll()
        process.kill()
        process.wait()
        why = f"ended with code {ended}" if ended is not None else f"was not ready after {_START_SECONDS:.0f} s"
        end_of_log = tail(self.log.read_text())
        raise SandboxError(f"The sandbox's AWS {why}. The end of {shown(self.log)}:\n{end_of_log}")

    def _answers(self, aws: Aws) -> bool:
        try:
            return bool(self.control("GET", "health", timeout=10, retries=False).json()["pid"] == aws.pid)
        except (urllib3.exceptions.HTTPError, ValueError, KeyError):
            return False

    def _keep_state_of(self, aws: Aws) -> None:
        """Throw away a state that does not describe this AWS: it would be full of resources that are gone."""
        record = self.state / "aws.json"
        if record.exists() and not aws.is_the_one(json.loads(record.read_text())):
            shutil.rmtree(self.state)
            shutil.rmtree(self.home / "stacks", ignore_errors=True)
            self.say("sandbox: the AWS of the last `up` is gone, and so is its account; starting with an empty one")
        self.state.mkdir(exist_ok=True)
        record.write_text(json.dumps({"pid": aws.pid, "started": aws.started}))

    def _write_clients_files(self, aws: Aws) -> None:
        """The files that `environment` puts in the place of the user's own."""
        (self.home / "aws-config").write_text(f"[default]\nregion = {aws.region}\nendpoint_url = {aws.url}\n")
        credentials = self.home / "aws-credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(
            f"[default]\naws_access_key_id = {aws.access_key.id}\naws_secret_access_key = {aws.access_key.secret}\n"
        )


def client_environment(aws: Aws, home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """See `Sandbox.environment`."""
    files = {"AWS_CONFIG_FILE": str(home / "aws-config"), "AWS_SHARED_CREDENTIALS_FILE": str(home / "aws-credentials")}
    wanted = {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": aws.access_key.id,
        "AWS_SECRET_ACCESS_KEY": aws.access_key.secret,
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
        **files,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name in environment:
        if name.startswith("AWS_ENDPOINT_URL_"):
            wanted[name] = aws.url
        elif name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            wanted[name] = "default"
        elif name in ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
            wanted[name] = ""
        elif name == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS":
            wanted[name] = "false"
    if any(environment.get(name) for name in _PROXIES):
        direct = ",".join(filter(None, [environment.get("no_proxy") or environment.get("NO_PROXY"), "127.0.0.1"]))
        wanted |= {"NO_PROXY": direct, "no_proxy": direct}
    return wanted


def default_home(root: Path) -> Path:
    """`SANDBOX_HOME`, else `.sandbox` in the project."""
    return Path(os.environ.get("SANDBOX_HOME") or root / ".sandbox")


@contextlib.contextmanager
def exclusive(lock: Path, wait: bool = False) -> Iterator[None]:
    """Hold `lock` among all processes; the kernel lets go of it when this process ends, however it ends.

    Raises:
        BlockingIOError: when another process holds it and `wait` is false.
    """
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def end_process(process: psutil.Process, ask: Callable[[psutil.Process], None], seconds: float) -> None:
    """Ask a process to end and wait for it; kill it when it takes longer than `seconds`."""
    with contextlib.suppress(psutil.NoSuchProcess):
        ask(process)
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            process.kill()
            with contextlib.suppress(psutil.TimeoutExpired):  # dead, even if nobody fetches its exit code
                process.wait(5)


def shown(path: Path) -> str:
    """A path as people like to read it: relative to where they are, if it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
