"""A transform job on a terminal: its progress, and what it ends with."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.live import Live
from rich.text import Text

from infra import names
from infra.cli.release_view import duration
from infra.diagnostics.printable import printable
from infra.diagnostics.size import decimal_size
from infra.invocation.job_reader import JobReader
from infra.invocation.transform_job import TransformJob
from infra.release.waiting import Clock

MAX_OUTPUTS = 20


def status_line(reader: JobReader, job: TransformJob) -> str:
    """Status, progress and elapsed time."""
    return f"{job.name}: {job.status}, {reader.progress(job)}, {duration(reader.elapsed_seconds(job))}"


def follow(reader: JobReader) -> TransformJob:
    """The job once it has ended, shown until then: in a line that changes on a terminal, else in a line for each
    change of the status or of the number of objects. SageMaker limits a job to days, so this does not limit it."""
    clock, job = Clock(), reader.job()
    if sys.stdout.isatty():
        with Live(Text(status_line(reader, job)), console=Console(highlight=False), auto_refresh=False) as live:
            while job.in_progress:
                clock.pause()
                job = reader.job()
                live.update(Text(status_line(reader, job)), refresh=True)
        return job
    shown: tuple[str, int] | None = None
    while True:
        if (state := (job.status, reader.progress(job).done)) != shown:
            shown = state
            print(status_line(reader, job), flush=True)
        if not job.in_progress:
            return job
        clock.pause()
        job = reader.job()


def print_result(reader: JobReader, job: TransformJob) -> None:
    """The output objects, and why the job failed with the end of its log."""
    if job.status == "Failed":
        print(f"transform job {job.name}: {job.status}: {printable(job.failure_reason) or 'no reason given'}")
        if log := reader.log_tail():
            print(f"  The job's log ({names.TRANSFORM_JOBS}) ends:")
            print("\n".join(f"    {printable(line.expandtabs())}" for line in log))
    written = reader.outputs(job)
    for entry in written[:MAX_OUTPUTS]:
        print(f"s3://{job.output.bucket}/{printable(entry.key)}  {decimal_size(entry.size)}")
    if len(written) > MAX_OUTPUTS:
        print(f"… {len(written)} objects in all, {decimal_size(sum(entry.size for entry in written))}")
