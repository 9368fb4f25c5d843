"""An account that runs transform jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tests.sandbox.conftest import Host, unique

JSON_OUT = {"Accept": "application/json"}

ENDS = ("Completed", "Failed", "Stopped")


def requests_of(numbers: Iterable[int]) -> bytes:
    """JSON lines of KServe requests."""
    lines = (
        {"inputs": [{"name": "number", "shape": [1], "datatype": "INT32", "data": [number]}]} for number in numbers
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Batch:
    """Transform jobs on a model, from `in/` to `out/` of a host's bucket."""

    def __init__(self, host: Host, model: str) -> None:
        self.host = host
        self.model = model
        self.s3 = host.aws.client("s3")
        self.prefix = unique("job")
        self.last = ""

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.host.bucket, Key=f"{self.prefix}/in/{key}", Body=body)

    def request(self, source: Mapping[str, Any] = {}, target: Mapping[str, Any] = {}, **changes: Any) -> dict[str, Any]:
        """CreateTransformJob's parameters: lines of JSON, each a request."""
        bucket = f"s3://{self.host.bucket}/{self.prefix}"
        return {
            "TransformJobName": unique("job"),
            "ModelName": self.model,
            "BatchStrategy": "SingleRecord",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{bucket}/in/"}},
                "ContentType": "application/json",
                "SplitType": "Line",
                **source,
            },
            "TransformOutput": {"S3OutputPath": f"{bucket}/out", "AssembleWith": "Line", **target},
            "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
            **changes,
        }

    def start(self, *arguments: Any, **changes: Any) -> str:
        request = self.request(*arguments, **changes)
        self.host.sagemaker.create_transform_job(**request)
        self.last = str(request["TransformJobName"])
        return self.last

    def describe(self, job: str) -> dict[str, Any]:
        described: dict[str, Any] = self.host.sagemaker.describe_transform_job(TransformJobName=job)
        return described

    def streams(self, job: str) -> list[str]:
        """The log streams of a job, that of its container first."""
        streams = self.host.aws.client("logs").describe_log_streams(
            logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=f"{job}/"
        )["logStreams"]
        return sorted(stream["logStreamName"] for stream in streams)

    def log(self, job: str, of_data: bool = False) -> list[str]:
        """The lines of the container, or those about the data."""
        (stream,) = [name for name in self.streams(job) if name.endswith("/data-log") == of_data]
        events = self.host.aws.client("logs").get_log_events(
            logGroupName="/aws/sagemaker/TransformJobs", logStreamName=stream
        )["events"]
        return [event["message"] for event in events]

    def data_log(self, job: str = "") -> list[str]:
        """The lines about the data of a job, by default of the last one."""
        return self.log(job or self.last, of_data=True)

    def wait(self, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while (described := self.describe(job))["TransformJobStatus"] not in ENDS:
            assert time.monotonic() < deadline, described
            time.sleep(0.05)
        return described

    def run(self, *arguments: Any, **changes: Any) -> dict[str, Any]:
        return self.wait(self.start(*arguments, **changes))

    def output(self) -> dict[str, bytes]:
        """What is below `out/`, by key."""
        prefix = f"{self.prefix}/out/"
        listed = self.s3.list_objects_v2(Bucket=self.host.bucket, Prefix=prefix).get("Contents", [])
        keys = [listing["Key"] for listing in listed]
        read = {key: self.s3.get_object(Bucket=self.host.bucket, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix(prefix): body for key, body in read.items()}


def batch_role(host: Host) -> str:
    return host.make_role(actions=("s3:GetObject", "s3:PutObject", "s3:ListBucket", "ecr:*"))


def scripted_batch(host: Host, environment: Mapping[str, str], role: str | None = None) -> Batch:
    return Batch(host, host.model(b"", environment, ExecutionRoleArn=role or batch_role(host)))


def completed(batch: Batch, *arguments: Any, **changes: Any) -> dict[str, bytes]:
    """The output of a job that completes."""
    described = batch.run(*arguments, **changes)
    assert described["TransformJobStatus"] == "Completed", described
    return batch.output()


def failed(batch: Batch, *arguments: Any, **changes: Any) -> str:
    """The FailureReason of a job that fails."""
    described = batch.run(*arguments, **changes)
    assert described["TransformJobStatus"] == "Failed", described
    return str(described["FailureReason"])


def uri(batch: Batch, key: str, kind: str = "S3Prefix") -> dict[str, Any]:
    """A DataSource below the batch's prefix."""
    location = f"s3://{batch.host.bucket}/{batch.prefix}/{key}"
    return {"DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": location}}}
