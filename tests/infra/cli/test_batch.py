"""`python -m infra batch`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from infra.release.waiting import Clock
from tests.infra.cli.serving import BATCH, BUCKET, IN_REAL_TIME, REQUEST, Account

Capture = pytest.CaptureFixture[str]
Made = Callable[..., Account]
LINE = json.dumps(REQUEST).encode() + b"\n"
KEY = "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd"


def fails(error: Exception) -> Callable[..., None]:
    """A call that fails."""

    def call(**_: object) -> None:
        raise error

    return call


def records(account: Account, *keys: str, body: bytes = LINE * 3) -> str:
    for key in keys or ("in/a.jsonl", "in/b.jsonl"):
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    return f"s3://{BUCKET}/in"


def test_a_job_runs_on_the_live_model_and_ends_with_its_outputs(account: Made, capsys: Capture) -> None:
    made = account()
    assert made.run("batch", "iris", "--input", records(made), "--output", f"s3://{BUCKET}/out") == 0
    job = made.started()
    assert job["ModelName"] == "iris-1a2b3c4"
    assert job["TransformJobName"].startswith("iris-20")
    assert job["TransformResources"] == {"InstanceType": "ml.r6i.xlarge", "InstanceCount": 1}
    assert {"Key": "triton-sagemaker:stack", "Value": "p/dev"} in job["Tags"]
    assert {"Key": "CostEnv", "Value": "dev"} in job["Tags"]
    printed = capsys.readouterr().out
    assert "iris-1a2b3c4, live behind endpoint iris" in printed
    assert "batch transform has no ml.r5.xlarge" in printed
    assert "Completed, 2 of 2 objects" in printed
    assert f"s3://{BUCKET}/out/a.jsonl.out" in printed


def test_a_local_directory_is_uploaded_first(account: Made, tmp_path: Path, capsys: Capture) -> None:
    made = account()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.jsonl").write_bytes(LINE)
    assert made.run("batch", "iris", "--input", str(tmp_path / "records"), "--name", "iris-1") == 0
    job = made.started()
    prefix = f"s3://{BUCKET}/batch/iris/iris-1"
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == f"{prefix}/input/"
    assert job["TransformOutput"]["S3OutputPath"] == f"{prefix}/output/"
    assert f"{prefix}/output/a.jsonl.out" in capsys.readouterr().out


def test_the_stacks_batch_model_and_its_settings(account: Made, capsys: Capture) -> None:
    made = account(BATCH.replace("batch: {", "batch: {environment: {A: a, B: b}, "))
    assert made.run("batch", "--input", records(made), "--max-retries", "0", "--env", "A=b", "--join-input") == 0
    job = made.started()
    assert job["TransformResources"]["InstanceType"] == "ml.m5.xlarge"
    assert (job["MaxConcurrentTransforms"], job["ModelClientConfig"]["InvocationsMaxRetries"]) == (2, 0)
    assert job["Environment"] == {"A": "b", "B": "b"}
    assert job["DataProcessing"] == {"JoinSource": "Input"}
    assert "of the stack for batch transform" in capsys.readouterr().out


def test_a_place_that_the_role_of_the_stack_cannot_use_is_noted(account: Made, capsys: Capture) -> None:
    made = account()
    records(made, "batch/iris/mine/a.jsonl", "in/a.jsonl")
    assert made.run("batch", "--input", f"s3://{BUCKET}/batch/iris/mine", "--output", f"s3://{BUCKET}/out") == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert [line.split()[1] for line in notes] == [f"s3://{BUCKET}/out"]
    made.run("batch", "--input", f"s3://{BUCKET}/in", "--name", "iris-2")
    assert f"note: s3://{BUCKET}/in/ is outside of" in capsys.readouterr().out


def test_a_job_on_gpus_chooses_the_newest_driver_and_is_warned_that_it_may_be_too_old(
    account: Made, capsys: Capture
) -> None:
    made = account()
    (made.directory / "Pulumi.dev.yaml").write_text(f"{IN_REAL_TIME}  p:image: {{version: 25.08-py3}}\n")
    source = records(made)
    assert made.run("batch", "--input", source, "--instance-type", "ml.g5.xlarge", "--name", "iris-1") == 0
    assert made.started()["TransformResources"]["TransformAmiVersion"] == "al2-ami-sagemaker-batch-gpu-535"
    assert "warning: transform jobs have NVIDIA driver 535" in capsys.readouterr().out
    assert made.run("batch", "--input", source, "--name", "iris-2") == 0
    assert "TransformAmiVersion" not in made.sagemaker.jobs["iris-2"]["TransformResources"]
    assert "warning: " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("hosting", "options", "used"),
    [
        ("ml.p4d.24xlarge", [], "ml.p3.16xlarge"),
        ("ml.r5.xlarge", ["--instance-type", "ml.p2.xlarge"], "ml.p2.xlarge"),
    ],
)
def test_a_job_on_gpus_that_triton_does_not_support_is_not_started(
    account: Made, capsys: Capture, hosting: str, options: list[str], used: str
) -> None:
    made = account(f"{IN_REAL_TIME}  p:image: {{version: 25.04-py3}}\n")
    made.sagemaker.config["ProductionVariants"][0]["InstanceType"] = hosting
    source = records(made)
    assert made.run("batch", "--input", source, *options) == 2
    assert f"instance type {used}: its GPUs" in capsys.readouterr().err
    assert not made.sagemaker.jobs
    assert made.run("batch", "--input", source, "--instance-type", "ml.g4dn.xlarge") == 0


def test_a_key_that_the_role_of_the_stack_cannot_use_is_noted(account: Made, capsys: Capture) -> None:
    made = account(BATCH.replace("batch: {", f"batch: {{kmsKeyArn: {KEY}, "))
    source = records(made, "batch/iris/a.jsonl").replace("/in", "/batch/iris")
    for number, key in enumerate((KEY, KEY.replace("key/1", "key/2"))):
        options = ["--kms-key-arn", key, "--name", f"iris-{number}"]
        assert made.run("batch", "--input", source, *options) == 0
        assert made.sagemaker.jobs[f"iris-{number}"]["TransformOutput"]["KmsKeyId"] == key
        assert (f"note: {key} is not a key of the stack" in capsys.readouterr().out) is (key != KEY)


def test_a_key_is_not_noted_if_those_of_the_stack_are_unknown(account: Made, capsys: Capture) -> None:
    made = account(BATCH.replace("batch: {", f"batch: {{maxRetries: 7, kmsKeyArn: {KEY}, "))
    assert made.run("batch", "--input", records(made), "--input-filter", "$[0]", "--kms-key-arn", KEY) == 0
    assert "a key of the stack" not in capsys.readouterr().out


def test_whole_files(account: Made) -> None:
    made = account()
    source = records(made, body=json.dumps(REQUEST, indent=1).encode())
    assert made.run("batch", "--input", source, "--whole-files") == 0
    assert made.started()["TransformInput"]["SplitType"] == "None"


def test_whole_files_are_filtered_and_joined(account: Made) -> None:
    made = account()
    source = records(made, body=json.dumps({"id": 7, "request": REQUEST}, indent=1).encode())
    assert made.run("batch", "--input", source, "--whole-files", "--join-input", "--input-filter", "$.request") == 0
    assert made.started()["DataProcessing"] == {"InputFilter": "$.request", "JoinSource": "Input"}


def test_local_whole_files_of_two_content_types_are_not_uploaded(account: Made, tmp_path: Path) -> None:
    made = account()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a").write_bytes(LINE)
    (tmp_path / "records" / "b").write_bytes(LINE + b"\0")
    assert made.run("batch", "--input", str(tmp_path / "records"), "--whole-files") == 2
    assert "Contents" not in made.s3.list_objects_v2(Bucket=BUCKET)


def test_a_failed_job_ends_with_its_reason_and_its_log(account: Made, capsys: Capture) -> None:
    made = account()
    made.sagemaker.ends = "Failed"
    assert made.run("batch", "--input", records(made)) == 1
    printed = capsys.readouterr().out
    assert "ClientError: See job logs" in printed
    assert "Bad HTTP status received from algorithm: 400" in printed
    assert "/aws/sagemaker/TransformJobs" in printed


def test_a_job_that_a_person_stopped_is_not_put_down_to_the_model(account: Made, capsys: Capture) -> None:
    made = account()
    made.sagemaker.ends = "Stopped"
    assert made.run("batch", "--input", records(made)) == 1
    printed = capsys.readouterr().out
    assert ": Stopped, " in printed
    assert "/aws/sagemaker/TransformJobs" not in printed


def test_a_detached_job_is_not_waited_for(account: Made, capsys: Capture) -> None:
    made = account()
    made.sagemaker.polls = 100
    assert made.run("batch", "--input", records(made), "--detach", "--name", "iris-1") == 0
    assert made.started()["TransformJobStatus"] == "InProgress"
    assert made.run("batch", "status", "iris-1") == 3
    assert "iris-1: InProgress, 0 of 2 objects" in capsys.readouterr().out


def test_an_interrupted_job_continues(account: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    made = account()
    made.sagemaker.polls = 100
    monkeypatch.setattr(Clock, "pause", interrupt)
    assert made.run("batch", "--input", records(made), "--name", "iris-1") == 130
    assert made.sagemaker.stopped == []
    assert "python -m infra batch status -s dev iris-1 --follow" in capsys.readouterr().out


def test_a_job_that_cannot_be_read_any_more_continues(
    account: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def expire(_: object) -> None:
        error = {"Error": {"Code": "ExpiredTokenException", "Message": "expired"}}
        monkeypatch.setattr(made.sagemaker, "describe_transform_job", fails(ClientError(error, "DescribeTransformJob")))

    made = account()
    made.sagemaker.polls = 100
    monkeypatch.setattr(Clock, "pause", expire)
    assert made.run("batch", "--input", records(made), "--name", "iris-1") == 2
    printed = capsys.readouterr()
    assert "ExpiredTokenException" in printed.err
    assert "batch status -s dev iris-1 --follow" in printed.out


def test_a_job_is_followed_again(account: Made, capsys: Capture) -> None:
    made = account()
    made.sagemaker.polls = 100
    made.run("batch", "--input", records(made), "--detach", "--name", "iris-1")
    made.sagemaker.polls = 3
    assert made.run("batch", "status", "iris-1", "--follow") == 0
    assert "Completed, 2 of 2 objects" in capsys.readouterr().out
    assert made.run("batch", "status", "iris-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["objectsDone"] == 2


def test_a_job_of_the_stack_is_stopped_and_no_other(account: Made, capsys: Capture) -> None:
    made = account()
    made.sagemaker.polls = 100
    made.run("batch", "--input", records(made), "--detach", "--name", "iris-1")
    made.tag("iris-1", "p/prod")
    assert made.run("batch", "stop", "iris-1", "--yes") == 2
    made.tag("iris-1", "p/dev")
    assert made.run("batch", "stop", "iris-1") == 2, "without a terminal it needs --yes"
    assert made.sagemaker.stopped == []
    assert made.run("batch", "stop", "iris-1", "--yes") == 0
    assert made.sagemaker.stopped == ["iris-1"]
    assert made.run("batch", "status", "iris-1") == 1
    capsys.readouterr()
    assert made.run("batch", "stop", "iris-1") == 0, "it has ended"
    assert "nothing to stop" in (printed := capsys.readouterr().out) and "Stopped" in printed


REFUSED = {
    "empty input": (b"", []),
    "a line that is not JSON": (b"a,b\n", []),
    "a request that the model does not accept": (b'{"inputs": [{"name": "z", "shape": [1], "data": [1]}]}\n', []),
    "a filter that selects nothing": (LINE, ["--input-filter", "$.request"]),
    "a filter that is not a JSONPath": (LINE, ["--output-filter", "outputs"]),
    "a filter of whole files that are not JSON": (LINE + b"\0", ["--output-filter", "$.outputs", "--whole-files"]),
    "a name that permissions do not cover": (LINE, ["--name", "mine"]),
    "a name that was used": (LINE, ["--name", "iris-used"]),
    "an instance type that batch does not have": (LINE, ["--instance-type", "ml.r5.xlarge"]),
    "payloads of more than 100 MB": (LINE, ["--max-payload-mb", "60", "--max-concurrent-transforms", "2"]),
    "too many retries": (LINE, ["--max-retries", "4"]),
    "a key of another region": (LINE, ["--kms-key-arn", KEY.replace("ap-northeast-1", "us-east-1")]),
    "an output in a bucket that does not exist": (LINE, ["--output", "s3://no-such-bucket/out"]),
    "an output that is not an address": (LINE, ["--output", "out"]),
    "a variant that does not exist": (LINE, ["--variant", "Trial"]),
    "a variable without a value": (LINE, ["--env", "A"]),
}


@pytest.mark.parametrize(("body", "options"), REFUSED.values(), ids=REFUSED)
def test_a_job_that_would_fail_is_not_started(account: Made, body: bytes, options: list[str]) -> None:
    made = account()
    made.sagemaker.polls = 100
    made.run("batch", "--input", records(made), "--detach", "--name", "iris-used")
    source = records(made, body=body)
    before = dict(made.sagemaker.jobs)
    assert made.run("batch", "--input", source, *options) == 2
    assert made.sagemaker.jobs == before


def test_nothing_is_uploaded_for_a_job_that_is_not_started(account: Made, tmp_path: Path) -> None:
    made = account()
    (tmp_path / "a.jsonl").write_bytes(b"a,b\n")
    assert made.run("batch", "--input", str(tmp_path / "a.jsonl")) == 2
    assert "Contents" not in made.s3.list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("arguments", [["status", "iris-1"], ["stop", "iris-1", "--yes"]])
def test_a_job_that_does_not_exist(account: Made, arguments: list[str], capsys: Capture) -> None:
    assert account().run("batch", *arguments) == 2
    assert "iris-1 does not exist" in capsys.readouterr().err
