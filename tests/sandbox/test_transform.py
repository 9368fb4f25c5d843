"""Batch transform: jobs that read objects, ask the model, and write one output for each object."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tests.sandbox.conftest import Host, unique
from tests.sandbox.test_runtime import QUIET, answering

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
        return str(request["TransformJobName"])

    def describe(self, job: str) -> dict[str, Any]:
        described: dict[str, Any] = self.host.sagemaker.describe_transform_job(TransformJobName=job)
        return described

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
        keys = [each["Key"] for each in listed]
        read = {key: self.s3.get_object(Bucket=self.host.bucket, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix(prefix): body for key, body in read.items()}


def batch_role(host: Host) -> str:
    return host.make_role(actions=("s3:GetObject", "s3:PutObject", "s3:ListBucket", "ecr:*"))


def test_a_thousand_lines_get_a_thousand_answers_in_order(triton_host: Host) -> None:
    host = triton_host
    batch = Batch(host, host.model(answering("number * 2"), QUIET, ExecutionRoleArn=batch_role(host)))
    batch.put("numbers.jsonl", requests_of(range(1000)))
    described = batch.run(MaxConcurrentTransforms=4)
    assert described["TransformJobStatus"] == "Completed", described
    (output,) = batch.output().items()
    assert output[0] == "numbers.jsonl.out"
    answers = [json.loads(line) for line in output[1].splitlines()]
    assert [answer["outputs"][0]["data"] for answer in answers] == [[2 * number] for number in range(1000)]
