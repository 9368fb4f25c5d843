"""A transform job as it is now: its status, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from infra.aws.s3_location import StoredObject
from infra.invocation import transform_job
from infra.invocation.transform_input import InvalidTransform
from infra.invocation.transform_job import TransformJob, TransformProgress


class JobReader:
    """Reads a job and its progress.

    Args:
        client: creates boto3's client of a service.
        name: the job.
    """

    def __init__(self, client: Callable[[str], Any], name: str) -> None:
        self._client, self.name = client, name
        self._inputs: dict[str, int] | None = None

    def job(self) -> TransformJob:
        """The job as it is now.

        Raises:
            InvalidTransform: it does not exist.
        """
        job = TransformJob.read(self._client("sagemaker"), self.name)
        if job is None:
            raise InvalidTransform(f"transform job {self.name} does not exist in the stack's account and region.")
        return job

    def progress(self, job: TransformJob) -> TransformProgress:
        """How far the job is."""
        if self._inputs is None:
            prefix = job.input.key[: job.input.key.rfind("/") + 1]
            objects = job.input.objects(self._client("s3"))
            self._inputs = {entry.key.removeprefix(prefix): entry.size for entry in objects}
        return transform_job.progress(job, self._inputs, self.outputs(job))

    def outputs(self, job: TransformJob) -> list[StoredObject]:
        """The objects that the job has written."""
        return transform_job.outputs(self._client("s3"), job)

    def log_tail(self) -> list[str]:
        """The last lines of its log."""
        return transform_job.log_tail(self._client("logs"), self.name)

    def elapsed_seconds(self, job: TransformJob) -> float:
        """From the creation of the job to its end, or until now."""
        return max((job.ended or time.time()) - job.began, 0.0)

    def facts(self, job: TransformJob) -> Mapping[str, Any]:
        """The job and its progress for programs."""
        done = self.progress(job)
        return {
            "job": job.name,
            "status": job.status,
            "model": job.model,
            "input": str(job.input),
            "output": str(job.output),
            "objectsDone": done.done,
            "objects": done.of,
            "bytesDone": done.bytes_done,
            "bytes": done.of_bytes,
            "elapsedSeconds": round(self.elapsed_seconds(job)),
            "failureReason": job.failure_reason,
        }
