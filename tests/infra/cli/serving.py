"""An account in which the endpoint of a stack answers, and transforms."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.__main__ import main
from infra.aws.s3_location import S3Location
from infra.release.request import OWNER_TAG
from tests.infra.cli.test_stack_file import BASE, project

BUCKET = "models-dev-1a2b3c4"
CONFIG = """
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}]}
ANSWER = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [0.25]}]}
IN_REAL_TIME = BASE
OF_STACK = {"Tags": [{"Key": OWNER_TAG, "Value": "p/dev"}]}
BATCH = BASE + "      batch: {instanceType: ml.m5.xlarge, maxConcurrentTransforms: 2}\n"


def not_found(operation: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": f"Could not find {message}"}}, operation)


@dataclass
class SageMaker:
    """One endpoint with one Model, and transform jobs that write an answer for each line before they end."""

    s3: Any
    config: dict[str, Any] = field(
        default_factory=lambda: {
            "ProductionVariants": [
                {"VariantName": "AllTraffic", "ModelName": "iris-1a2b3c4", "InstanceType": "ml.r5.xlarge"}
            ]
        }
    )
    ends: str = "Completed"
    polls: int = 2
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName != "iris" or not self.config:
            raise not_found("DescribeEndpoint", "endpoint")
        return {
            "EndpointName": EndpointName,
            "EndpointArn": "arn:aws:sagemaker:ap-northeast-1:123456789012:endpoint/iris",
            "EndpointStatus": "InService",
            "ProductionVariants": [{"VariantName": "AllTraffic", "CurrentInstanceCount": 2}],
            "EndpointConfigName": "iris-0000000",
        }

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        return self.config

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        url = f"s3://{BUCKET}/models/iris/x.tar.gz"
        return {
            "ModelName": ModelName,
            "PrimaryContainer": {"ModelDataUrl": url},
            "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def create_transform_job(self, **arguments: Any) -> None:
        name = arguments["TransformJobName"]
        arn = f"arn:aws:sagemaker:ap-northeast-1:123456789012:transform-job/{name}"
        self.jobs[name] = {
            **arguments,
            "TransformJobArn": arn,
            "TransformJobStatus": "InProgress",
            "CreationTime": datetime.now(UTC),
        }

    def describe_transform_job(self, TransformJobName: str) -> dict[str, Any]:
        if TransformJobName not in self.jobs:
            raise not_found("DescribeTransformJob", "requested job")
        job = self.jobs[TransformJobName]
        self.polls -= 1
        if self.polls <= 0 and job["TransformJobStatus"] == "InProgress":
            self._end(job, self.ends)
        return job

    def stop_transform_job(self, TransformJobName: str) -> None:
        self.stopped.append(TransformJobName)
        self._end(self.jobs[TransformJobName], "Stopped")

    def get_paginator(self, operation: str) -> Any:
        answers = {
            "list_tags": lambda ResourceArn: [self.jobs.get(ResourceArn.rpartition("/")[2], OF_STACK)],
            "list_models": lambda NameContains: [{"Models": [{"ModelName": "iris-1a2b3c4"}]}],
        }

        class Pages:
            paginate = staticmethod(answers[operation])

        return Pages()

    def _end(self, job: dict[str, Any], status: str) -> None:
        job |= {"TransformJobStatus": status, "TransformEndTime": datetime.now(UTC)}
        if status == "Failed":
            job["FailureReason"] = "ClientError: See job logs for more information"
        if status == "Completed":
            given = S3Location.parse(job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
            output = S3Location.parse(job["TransformOutput"]["S3OutputPath"]).directory
            for entry in given.objects(self.s3):
                lines = self.s3.get_object(Bucket=given.bucket, Key=entry.key)["Body"].read().splitlines()
                path = entry.key.removeprefix(given.key) or entry.key.rpartition("/")[2]
                body = "\n".join([json.dumps(ANSWER)] * len(lines))
                self.s3.put_object(Bucket=output.bucket, Key=f"{output.key}{path}.out", Body=body.encode())


@dataclass
class Runtime:
    """Answers each request with the next answer; the last one stays."""

    answers: list[bytes | Exception] = field(default_factory=lambda: [json.dumps(ANSWER).encode()])
    calls: list[dict[str, Any]] = field(default_factory=list)

    def invoke_endpoint(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"Body": io.BytesIO(answer), "InvokedProductionVariant": "AllTraffic"}

    def invoke_endpoint_async(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        return {
            "OutputLocation": f"s3://{BUCKET}/async/iris/output/1.out",
            "FailureLocation": f"s3://{BUCKET}/async/iris/failure/1-error.out",
        }


class Logs:
    """Has the log of every job."""

    def describe_log_streams(self, **_: Any) -> dict[str, Any]:
        return {"logStreams": [{"logStreamName": "x/i-1"}]}

    def get_log_events(self, **_: Any) -> dict[str, Any]:
        return {"events": [{"timestamp": 1, "message": "Bad HTTP status received from algorithm: 400\n"}]}


@dataclass
class Account:
    """The account that a test's stack is in."""

    directory: Path
    s3: Any
    sagemaker: SageMaker
    region = "ap-northeast-1"
    runtime: Runtime = field(default_factory=Runtime)

    @classmethod
    def of(cls, directory: Path, s3: Any, stack_file: str = IN_REAL_TIME) -> Account:
        model = directory / "models" / "iris"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text("class TritonPythonModel: ...")
        (model / "config.pbtxt").write_text(CONFIG)
        return cls(project(directory, stack_file), s3, SageMaker(s3))

    def client(self, service: str, region: str | None = None, config: Any = None) -> Any:
        clients = {"sagemaker": self.sagemaker, "sagemaker-runtime": self.runtime, "s3": self.s3, "logs": Logs()}
        return clients[service]

    def run(self, *arguments: str) -> int:
        """The exit code of a command on the stack."""
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "-s", "dev", "--cwd", str(self.directory)])
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return code or 0

    def started(self) -> dict[str, Any]:
        """The only job."""
        (job,) = self.sagemaker.jobs.values()
        return job

    def tag(self, name: str, owner: str) -> None:
        """Let a job belong to another stack."""
        self.sagemaker.jobs[name]["Tags"] = [{"Key": OWNER_TAG, "Value": owner}]
