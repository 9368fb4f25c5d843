"""How fast a model repository is packed, checked, and recognized as unchanged.

Packing competes with `tar czf` and with tar through pigz, on the same files in the same run: weights (FP32 and FP16 of
a normal distribution) and text (Python's standard library). Each command is measured as a whole, its start included.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

MIB = 1 << 20
FILE_BYTES = 64 * MIB
TEXT_SHARE = 0.1
CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "x", data_type: TYPE_FP32, dims: [ 16 ] }, { name: "y", data_type: TYPE_INT64, dims: [ -1 ] } ]
output [ { name: "z", data_type: TYPE_FP32, dims: [ 4 ] } ]
instance_group [ { count: 2, kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ], max_queue_delay_microseconds: 100 }
"""


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        cpu_seconds: user and system time, that of its children included.
        memory_bytes: the largest resident set of its processes.
        size_bytes: of the archive.
    """

    name: str
    seconds: float
    cpu_seconds: float
    memory_bytes: int
    size_bytes: int


def write_repository(root: Path, size: int) -> None:
    """A model with weights and text of `size` bytes in all."""
    version = root / "model" / "1"
    version.mkdir(parents=True)
    (root / "model" / "config.pbtxt").write_text(f'name: "model"{CONFIG}')
    (version / "model.py").touch()
    # deflate looks back 32 KiB, so no compressor sees that blocks of 256 KiB and more repeat
    gauss = random.Random(1).gauss
    numbers = [gauss(0, 0.02) for _ in range(MIB // 8)]
    packed = {"fp32": struct.pack(f"<{len(numbers)}f", *numbers), "fp16": struct.pack(f"<{len(numbers)}e", *numbers)}
    contents = {**packed, "text": text()}
    shares = {"fp32": (1 - TEXT_SHARE) / 2, "fp16": (1 - TEXT_SHARE) / 2, "text": TEXT_SHARE}
    for kind, content in contents.items():
        left = int(size * shares[kind])
        for number in range(-(-left // FILE_BYTES)):
            with (version / f"{kind}-{number:03}").open("wb") as file:
                end = min(left, FILE_BYTES)
                while file.tell() < end:
                    file.write(content[: end - file.tell()])
            left -= end


def text() -> bytes:
    """32 MiB, or what there is, of the standard library's sources."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    content = bytearray()
    for source in sources:
        if len(content) < 32 * MIB:
            content += source.read_bytes()
    return bytes(content)


def commands(root: Path, archive: Path) -> Iterator[tuple[str, list[str]]]:
    yield "model pack", [sys.executable, "-m", "infra", "model", "pack", str(root), "-o", str(archive)]
    yield "tar czf", ["tar", "czf", str(archive), "-C", str(root), "."]
    if pigz := shutil.which("pigz"):
        yield "pigz", ["tar", f"--use-compress-program={pigz}", "-cf", str(archive), "-C", str(root), "."]


def measured(name: str, command: Sequence[str], archive: Path) -> Run:
    """Run a command that writes the archive, and delete that."""
    seconds, usage = timed(command)
    size = archive.stat().st_size
    archive.unlink()
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(name, seconds, usage.ru_utime + usage.ru_stime, memory, size)


def timed(command: Sequence[str]) -> tuple[float, resource.struct_rusage]:
    """The seconds that a command takes, and the resources that it uses with its children."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage


def packing(runs: Sequence[Run]) -> Table:
    """A row for each command, and how many times as much as `model pack` each peer needs."""
    table = Table("", "wall, s", "CPU, s", "memory, MiB", "archive, MB")
    own, *peers = runs
    for run in runs:
        figures = (run.seconds, run.cpu_seconds, run.memory_bytes / MIB, run.size_bytes / 1e6)
        table.add_row(run.name, *(f"{figure:,.1f}" for figure in figures))
    for peer in peers:
        ratios = (
            peer.seconds / own.seconds,
            peer.cpu_seconds / own.cpu_seconds,
            peer.memory_bytes / own.memory_bytes,
            peer.size_bytes / own.size_bytes,
        )
        table.add_row(f"{peer.name} ÷ model pack", *(f"{ratio:.3f}" for ratio in ratios))
    return table


def recognizing(root: Path) -> Table:
    """The digest of the repository by its content, then from the cache, then the calls of stat alone."""
    from infra.triton.digest_cache import SETTLED_SECONDS
    from infra.triton.repository import ModelRepository

    newest = max(file.stat().st_ctime for file in root.rglob("*"))
    time.sleep(max(0.0, newest + SETTLED_SECONDS + 1 - time.time()))
    table = Table("", "seconds")
    for name in ("digest by content", "digest of an unchanged repository"):
        started = time.monotonic()
        ModelRepository.read(root).digest()
        table.add_row(name, f"{time.monotonic() - started:.4f}")
    files = list(root.rglob("*"))
    started = time.monotonic()
    for file in files:
        file.stat()
    table.add_row(f"stat of its {len(files)} files alone", f"{time.monotonic() - started:.4f}")
    return table


def checking(home: Path, count: int) -> Table:
    """The check of that many models, in this process and as a command."""
    from infra.triton.check import check_repository
    from infra.triton.repository import ModelRepository

    root = home / "many"
    for number in range(count):
        version = root / f"model{number}" / "1"
        version.mkdir(parents=True)
        (version / "model.py").touch()
        (version.parent / "config.pbtxt").write_text(f'name: "model{number}"{CONFIG}')
    table = Table(f"check of {count} models", "wall, s", "CPU, s")
    started, cpu = time.monotonic(), time.process_time()
    check_repository(ModelRepository.read(root).listing, "model0")
    table.add_row("in a running process", f"{time.monotonic() - started:.2f}", f"{time.process_time() - cpu:.2f}")
    command = [sys.executable, "-m", "infra", "model", "check", str(root), "--default-model", "model0"]
    seconds, usage = timed(command)
    table.add_row("as a command", f"{seconds:.2f}", f"{usage.ru_utime + usage.ru_stime:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2, help="the size of the repository to pack (2)")
    parser.add_argument("--models", type=int, default=100, help="how many models to check (100)")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        os.environ["XDG_CACHE_HOME"] = f"{home}/cache"
        root, archive = Path(home, "models"), Path(home, "model.tar.gz")
        size = int(arguments.gib * 1024) * MIB
        # in a process of its own: those that are measured would inherit its peak of memory
        writer = get_context("spawn").Process(target=write_repository, args=(root, size))
        writer.start()
        writer.join()
        runs = [measured(name, command, archive) for name, command in commands(root, archive)]
        load = os.getloadavg()[0]
        console.print(f"{arguments.gib:g} GiB on {os.cpu_count()} CPUs, load average {load:.1f} at the end")
        console.print(packing(runs))
        if not shutil.which("pigz"):
            console.print("pigz is not installed (Debian: apt install pigz)")
        console.print(recognizing(root))
        console.print(checking(Path(home), arguments.models))


if __name__ == "__main__":
    main()
