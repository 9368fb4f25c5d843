"""How fast, and with how much, an image is copied to ECR: `python -m infra mirror`, crane and skopeo side by side.

All copy the same images from the same registry on loopback to the sandbox's ECR, by the HTTP API of a registry. Two
commands show what is left to gain: the least copy in Python, and the floor, which is what the destination costs: the
same layers, sent from files by the kernel, neither downloaded nor hashed. Each command is measured as a whole, its
start included.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.image import Image
from benchmarks.registries import Destination, Source
from sandbox.link import Link

MIB, GIB = 1024**2, 1024**3
CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
OURS, THIN, FLOOR = "infra mirror", "thinnest Python", "floor"
BY_ECR_API = "infra mirror by the ECR API"
"""For what an interruption costs alone: otherwise, only layers that were interrupted twice are sent so."""

_ECR_API_ONLY = """
from infra.__main__ import main
from infra.image import layer

layer.FIRST_PROTOCOL = layer.Protocol.LAYER_API
main()
"""
_SAMPLE_SECONDS = 0.02
_numbers = count(1)


@dataclass(frozen=True)
class Scenario:
    """An image to copy.

    Attributes:
        layers: their sizes in bytes.
        delay: seconds that are added to each request; None is without links.
        rate: bytes a second of each connection.
        kills: how many copies are ended at about half, by the signal, and then run again.
    """

    title: str
    layers: tuple[int, ...]
    delay: float | None = None
    rate: float | None = None
    kills: int = 0
    signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        memory_bytes: its largest resident set.
        sent_bytes: to the destination, where they are counted.
        requests: to source and destination, where they are counted.
    """

    seconds: float
    cpu_seconds: float
    memory_bytes: int
    sent_bytes: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Links:
    """The links between the commands and the registries; `api` leads to ECR's own API."""

    source: Link
    destination: Link
    api: Link

    @property
    def sent(self) -> int:
        """Bytes to the destination, through either API."""
        return self.destination.sent + self.api.sent

    @property
    def requests(self) -> int:
        return self.source.requests + self.destination.requests + self.api.requests

    def close(self) -> None:
        for link in (self.source, self.destination, self.api):
            link.close()


@dataclass(frozen=True)
class Copy:
    """What a command copies: `destination` is where it is reached, `ecr` what ECR calls it."""

    image: Image
    source: str
    destination: str
    ecr: str
    token: str

    @property
    def pushed(self) -> tuple[str, str, str]:
        """URL, repository and tag."""
        host, _, reference = self.destination.partition("/")
        repository, _, tag = reference.partition(":")
        return f"http://{host}", repository, tag


Command = Callable[[Copy], list[str]]


def scenarios(scale: float, kills: int) -> list[Scenario]:
    def mib(size: float) -> int:
        return int(size * scale * MIB)

    return [
        Scenario("eight layers of 256 MiB", (mib(256),) * 8),
        Scenario("one layer of 2 GiB", (mib(2048),)),
        Scenario("200 layers of 100 KiB", (100 * 1024,) * 200),
        Scenario("eight layers of 64 MiB, 20 ms a request and 16 MiB/s a connection", (mib(64),) * 8, 0.02, 16 * MIB),
        Scenario("killed at half, then run again: four layers of 128 MiB", (128 * MIB,) * 4, 0.0, 64 * MIB, kills),
        Scenario(
            "ended by Ctrl-C at half, then run again: the same", (128 * MIB,) * 4, 0.0, 64 * MIB, kills, signal.SIGINT
        ),
    ]  # fmt: skip


def commands(home: Path) -> tuple[dict[str, Command], list[str]]:
    """The command of each tool, and a line for each that is missing."""
    tools: dict[str, Command] = {
        OURS: lambda copy: [
            sys.executable,
            "-m",
            "infra",
            "mirror",
            copy.source,
            copy.ecr,
        ],
    }
    missing = []
    if crane := find_crane():
        tools["crane"] = lambda copy: [crane, "copy", copy.source, copy.destination]
    else:
        missing.append(f"neither crane nor Go to build it is installed (go install {CRANE})")
    if skopeo := shutil.which("skopeo"):
        options = ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
        tools["skopeo"] = lambda copy: [
            skopeo, *options, "--dest-authfile", str(home / "docker" / "config.json"),
            f"docker://{copy.source}", f"docker://{copy.destination}",
        ]  # fmt: skip
    else:
        missing.append("skopeo is not installed (Debian: apt install skopeo)")
    tools[BY_ECR_API] = lambda copy: [sys.executable, "-c", _ECR_API_ONLY, "mirror", copy.source, copy.ecr]
    tools[THIN] = lambda copy: [
        sys.executable, "-m", "benchmarks.thin_copy", copy.source, *copy.pushed, copy.token
    ]  # fmt: skip
    tools[FLOOR] = lambda copy: [
        sys.executable, "-m", "benchmarks.image", str(copy.image.directory), *copy.pushed, copy.token
    ]  # fmt: skip
    return tools, missing


def find_crane() -> str | None:
    """crane on PATH, or built with Go, once."""
    if found := shutil.which("crane"):
        return found
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triton-sagemaker" / "crane-0.22.1"
    if not (base / "crane").exists() and shutil.which("go"):
        subprocess.run(["go", "install", CRANE], env={**os.environ, "GOBIN": str(base)}, stderr=subprocess.DEVNULL)
    return str(base / "crane") if (base / "crane").exists() else None


class Benchmark:
    """The registries, and the environment of the commands."""

    def __init__(self, home: Path, source: Source, destination: Destination) -> None:
        self._home = home
        self._source = source
        self._destination = destination
        self._environment = {
            **os.environ,
            **destination.environment,
            "DOCKER_CONFIG": str(home / "docker"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }

    def run(self, scenario: Scenario, tools: Mapping[str, Command], repeat: int) -> Table:
        """The table of a scenario; the tools take turns."""
        image = Image.create(self._home / "image", scenario.layers)
        name = f"image-{next(_numbers)}"
        image.push(f"http://{self._source.host}", name, "1")
        try:
            with self._through(scenario) as links:
                source = f"{links.source.host if links else self._source.host}/{name}:1"
                if links and scenario.kills:
                    resumed = {tool: self._resume(image, source, command, links, scenario)
                               for tool, command in tools.items() if tool not in (THIN, FLOOR)}  # fmt: skip
                    return resuming(scenario, resumed)
                copying_tools = {tool: command for tool, command in tools.items() if tool != BY_ECR_API}
                runs: dict[str, list[tuple[Run, Run]]] = {tool: [] for tool in copying_tools}
                for number in range(repeat):
                    for tool, command in list(copying_tools.items())[:: -1 if number % 2 else 1]:
                        runs[tool].append(self._copy(image, source, command, links))
                return copying(scenario, runs, counted=links is not None)
        finally:
            image.delete()

    @contextmanager
    def _through(self, scenario: Scenario) -> Iterator[Links | None]:
        """The links of a scenario, which all commands then go through."""
        links = None
        if scenario.delay is not None:
            hosts = (self._source.host, self._destination.host, self._destination.api)
            links = Links(*(Link(host, scenario.delay, scenario.rate) for host in hosts))
        self._log_in(links.destination.host if links else self._destination.host)
        api = links.api.host if links else self._destination.api
        self._environment["AWS_ENDPOINT_URL"] = f"http://{api}"
        try:
            yield links
        finally:
            if links:
                links.close()

    def _log_in(self, host: str) -> None:
        self._destination.serve_at(host)
        (self._home / "docker").mkdir(exist_ok=True)
        login = {"auths": {host: {"auth": self._destination.token}}}
        (self._home / "docker" / "config.json").write_text(json.dumps(login))

    @contextmanager
    def _to_copy(self, image: Image, source: str, links: Links | None) -> Iterator[Copy]:
        """A copy to a new repository, which must have the image in the end."""
        repository = f"copy-{next(_numbers)}"
        ecr = self._destination.create(repository)
        host = links.destination.host if links else self._destination.host
        yield Copy(image, source, f"{host}/{repository}:1", f"{ecr}:1", self._destination.token)
        assert self._destination.digests(repository) == {"1": image.digest}, repository
        self._destination.delete(repository)

    def _copy(self, image: Image, source: str, command: Command, links: Links | None) -> tuple[Run, Run]:
        """A copy, and the same command again."""
        with self._to_copy(image, source, links) as copy:
            return self._measured(command(copy), links), self._measured(command(copy), links)

    def _resume(self, image: Image, source: str, command: Command, links: Links, scenario: Scenario) -> list[Run]:
        """The second runs of copies that are ended at about half, with the bytes that both sent."""
        runs = []
        for number in range(scenario.kills):
            with self._to_copy(image, source, links) as copy:
                # the moments are the same for all tools, and not those at which a part ends
                before = links.sent
                half = before + int(image.size * random.Random(number).uniform(0.45, 0.55))
                self._measured(command(copy), links, half, scenario.signal)
                again = self._measured(command(copy), links)
                runs.append(replace(again, sent_bytes=links.sent - before))
        return runs

    def _measured(
        self,
        command: Sequence[str],
        links: Links | None,
        end_at: int | None = None,
        by: signal.Signals = signal.SIGKILL,
    ) -> Run:
        """A run, which a signal ends when so many bytes were sent to the destination."""
        if links is None:
            return measured(command, self._environment)
        sent, requests = links.sent, links.requests
        run = measured(command, self._environment, lambda: end_at is not None and links.sent >= end_at, by)
        return replace(run, sent_bytes=links.sent - sent, requests=links.requests - requests)


def measured(
    command: Sequence[str],
    environment: Mapping[str, str],
    is_to_end: Callable[[], bool] = lambda: False,
    by: signal.Signals = signal.SIGKILL,
) -> Run:
    """Run a command, and end it by a signal when `is_to_end` says so.

    Raises:
        RuntimeError: it fails.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        memory, ended = 0, False
        while True:
            memory = max(memory, _resident(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not ended and is_to_end():
                process.send_signal(by)
                ended = True
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode and not ended:
            output.seek(0)
            raise RuntimeError(f"{command[:6]} failed: {output.read()[-2000:].decode(errors='replace')}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, memory)


def _resident(pid: int) -> int:
    """The largest resident set of a process so far. getrusage would give that of its parent, if it is larger."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def copying(scenario: Scenario, runs: Mapping[str, Sequence[tuple[Run, Run]]], counted: bool) -> Table:
    """The least that each tool needed, which other work on the machine raises least, and the ratios to crane's."""
    size = sum(scenario.layers)
    columns = ("wall, s", "÷ crane", "CPU, s/GiB", "÷ crane", "memory, MiB", "sent ÷ image", "again, s", "requests")
    table = Table("", *columns, title=scenario.title, title_justify="left")
    crane = _least([run for run, _ in runs["crane"]]) if "crane" in runs else None
    for tool, pairs in runs.items():
        run, again = _least([run for run, _ in pairs]), _least([run for _, run in pairs])
        table.add_row(
            tool,
            f"{run.seconds:.2f}",
            f"{run.seconds / crane.seconds:.2f}" if crane else "",
            f"{run.cpu_seconds * GIB / size:.2f}",
            f"{run.cpu_seconds / crane.cpu_seconds:.2f}" if crane else "",
            f"{run.memory_bytes / MIB:.0f}",
            f"{run.sent_bytes / size:.3f}" if counted else "",
            f"{again.seconds:.2f}" if tool not in (THIN, FLOOR) else "",
            str(again.requests) if counted and tool not in (THIN, FLOOR) else "",
        )
    return table


def resuming(scenario: Scenario, runs: Mapping[str, Sequence[Run]]) -> Table:
    """What the second runs sent again, in per cent of the image."""
    size = sum(scenario.layers)
    columns = ("sent again, mean", "least", "most", "second run, s")
    table = Table("", *columns, title=scenario.title, title_justify="left")
    for tool, seconds_runs in runs.items():
        again = [100 * (run.sent_bytes - size) / size for run in seconds_runs]
        seconds = statistics.median(run.seconds for run in seconds_runs)
        figures = (statistics.mean(again), min(again), max(again))
        table.add_row(tool, *(f"{figure:.1f} %" for figure in figures), f"{seconds:.2f}")
    return table


def _least(runs: Sequence[Run]) -> Run:
    return Run(*(min(getattr(run, field.name) for run in runs) for field in fields(Run)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="of the layers' sizes (1)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is copied (3)")
    parser.add_argument("--kills", type=int, default=4, help="how many copies are ended at half (4)")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of scenarios, from 1")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, by the commands too
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        home = Path(directory)
        tools, missing = commands(home)
        for line in missing:
            console.print(line)
        source, destination = Source(home / "source", find_crane()), Destination(home / "aws")
        try:
            benchmark = Benchmark(home, source, destination)
            console.print(
                f"from {source.name} to the sandbox's ECR on {os.cpu_count()} CPUs, {arguments.scale:g} of the sizes"
            )
            for number, scenario in enumerate(scenarios(arguments.scale, arguments.kills), 1):
                if not arguments.only or number in arguments.only:
                    console.print(benchmark.run(scenario, tools, arguments.repeat))
                    console.print(f"load average {os.getloadavg()[0]:.1f} at the end")
        finally:
            source.close()
            destination.close()


if __name__ == "__main__":
    main()
