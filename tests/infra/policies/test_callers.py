"""What those who invoke endpoints and run transform jobs may do: every call of the commands, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from infra.invocation.transform_request import job_name
from infra.policies import callers
from infra.policies.document import ATTACHED_AT_MOST, MAX_MANAGED_POLICY, size
from infra.settings.endpoint_sections import MAX_NAME
from tests.infra.mock_runtime import ACCOUNT, ROOT
from tests.infra.policies.iam_requests import arn
from tests.infra.policies.stack_settings import KEY, names
from tests.infra.policies.test_principals import NOT_ACTIONS_OF_THEIR_OWN, actions, calls_in, may

MODEL = {"model": {"artifact": "artifacts/model_7.tar.gz"}}
REAL_TIME: dict[str, Any] = {**MODEL, "instanceType": "ml.c5.xlarge"}
ENDPOINTS: dict[str, Any] = {
    "live": REAL_TIME,
    "queued": {**REAL_TIME, "asynchronous": {"maxConcurrentInvocationsPerInstance": 4}},
    "elsewhere": {**REAL_TIME, "asynchronous": {"outputLocation": "s3://answers/of-ours", "kmsKeyArn": KEY}},
    "under-batch": {**REAL_TIME, "asynchronous": {"outputLocation": "s3://sagemaker-models/batch/x"}},
    "small": {**MODEL, "serverless": {"memoryMb": 2048, "maxConcurrency": 5}},
    "night": {**MODEL, "batch": {"inputLocations": ["s3://records/in"], "outputLocations": ["s3://answers/out"]}},
}
STACK = names(endpoints=ENDPOINTS, environment="staging")
INVOKER, OPERATOR = callers.invoker(STACK), callers.batch_operator(STACK)
BUCKET = "arn:aws:s3:::sagemaker-models"
INVOCATION = ROOT / "infra" / "invocation"

BY_MODE = [
    ("live", "InvokeEndpoint"),
    ("small", "InvokeEndpoint"),
    ("queued", "InvokeEndpointAsync"),
    ("elsewhere", "InvokeEndpointAsync"),
]


@pytest.mark.parametrize(("endpoint", "action"), BY_MODE)
def test_the_invoker_invokes_each_endpoint_in_its_mode(endpoint: str, action: str) -> None:
    other = {"InvokeEndpoint": "InvokeEndpointAsync", "InvokeEndpointAsync": "InvokeEndpoint"}[action]
    resource = arn("sagemaker", f"endpoint/{endpoint}")
    assert may(INVOKER, f"sagemaker:{action}", resource)
    assert not may(INVOKER, f"sagemaker:{other}", resource)
    assert may(INVOKER, "sagemaker:DescribeEndpoint", resource)


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:PutObject", f"{BUCKET}/async/queued/input/1", True),
        ("s3:GetObject", f"{BUCKET}/async/queued/output/1.out", True),
        ("s3:GetObject", f"{BUCKET}/async/queued/failure/1-error.out", True),
        ("s3:GetObject", "arn:aws:s3:::answers/of-ours/1.out", True),
        ("s3:GetObject", "arn:aws:s3:::answers/of-ours-too/1.out", False),
        ("s3:GetObject", f"{BUCKET}/async/other/output/1.out", False),
        ("s3:PutObject", f"{BUCKET}/async/queued/output/1.out", False),
        ("s3:PutObject", f"{BUCKET}/async/live/input/1", False),
        ("s3:GetObject", f"{BUCKET}/models/live/x.tar.gz", False),
        ("sagemaker:DescribeModel", arn("sagemaker", "model/live-1a2b3c4"), False),
        ("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/live-eu"), False),
        ("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/night"), False),
        ("sagemaker:CreateTransformJob", arn("sagemaker", "transform-job/night-1"), False),
    ],
)
def test_the_invoker_reads_and_writes_requests_and_answers_alone(action: str, resource: str, allowed: bool) -> None:
    assert may(INVOKER, action, resource) is allowed


def test_an_answer_that_does_not_exist_yet_can_be_told_from_a_forbidden_one() -> None:
    assert may(INVOKER, "s3:ListBucket", BUCKET, s3_prefix="async/queued/output/1.out")
    assert may(INVOKER, "s3:ListBucket", "arn:aws:s3:::answers", s3_prefix="of-ours/1.out")
    assert may(INVOKER, "s3:ListBucket", BUCKET, s3_prefix="batch/x/1.out")
    assert not may(INVOKER, "s3:ListBucket", BUCKET, s3_prefix="models/")


def test_the_key_of_the_answers_is_used_through_s3() -> None:
    assert may(INVOKER, "kms:Decrypt", KEY, kms_ViaService="s3.ap-northeast-1.amazonaws.com")
    assert not may(INVOKER, "kms:Decrypt", KEY)
    plain = callers.invoker(names(endpoints={"live": REAL_TIME}, environment="staging"))
    assert not [action for action in actions(plain) if action.startswith(("kms:", "s3:"))]


@pytest.mark.parametrize(
    ("bucket", "asynchronous", "allowed"),
    [
        ({}, {"outputLocation": "s3://answers/a", "failureLocation": "s3://answers/f"}, True),
        ({}, {"outputLocation": "s3://answers/a"}, False),
        ({}, {"failureLocation": "s3://answers/f"}, False),
        ({"name": "ours"}, {"outputLocation": "s3://answers/a", "failureLocation": "s3://answers/f"}, False),
    ],
)
def test_a_model_is_read_if_nothing_else_names_the_bucket_of_requests(
    bucket: dict[str, str], asynchronous: dict[str, str], allowed: bool
) -> None:
    endpoints = {"live": REAL_TIME, "queued": {**REAL_TIME, "asynchronous": asynchronous}}
    invoker = callers.invoker(names(endpoints=endpoints, bucket=bucket, environment="staging"))
    assert may(invoker, "sagemaker:DescribeModel", arn("sagemaker", "model/queued-1a2b3c4")) is allowed
    assert not may(invoker, "sagemaker:DescribeModel", arn("sagemaker", "model/live-1a2b3c4"))


@pytest.mark.parametrize(("endpoint", "model"), [("night", "night-1a2b3c4"), ("live", "live-1a2b3c4")])
def test_the_operator_transforms_with_the_stacks_models_alone(endpoint: str, model: str) -> None:
    job = arn("sagemaker", f"transform-job/{endpoint}-20261128-021500")
    create = "sagemaker:CreateTransformJob"
    assert may(OPERATOR, create, job, sagemaker_ModelArn=arn("sagemaker", f"model/{model}"))
    assert not may(OPERATOR, create, job, sagemaker_ModelArn=arn("sagemaker", "model/other-1a2b3c4"))
    assert not may(OPERATOR, create, job)
    for action in ("DescribeTransformJob", "StopTransformJob", "AddTags", "ListTags"):
        assert may(OPERATOR, f"sagemaker:{action}", job)
        assert not may(OPERATOR, f"sagemaker:{action}", arn("sagemaker", "transform-job/other-1"))


@pytest.mark.parametrize("length", [1, 46, 47, 48, MAX_NAME])
def test_the_operator_starts_the_job_that_the_command_names(length: int) -> None:
    endpoint = "e" * length
    operator = callers.batch_operator(names(endpoints={endpoint: REAL_TIME}, environment="staging"))
    job, other = job_name(endpoint), job_name(endpoint)
    assert len(job) <= 63
    assert other != job or length < 48, "a name without the time is random"
    model = arn("sagemaker", f"model/{endpoint}-1a2b3c4")
    resource = arn("sagemaker", f"transform-job/{job}")
    assert may(operator, "sagemaker:CreateTransformJob", resource, sagemaker_ModelArn=model)


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:PutObject", f"{BUCKET}/batch/live/live-1/input/a.jsonl", True),
        ("s3:AbortMultipartUpload", f"{BUCKET}/batch/night/night-1/output/probe.out", True),
        ("s3:GetObject", f"{BUCKET}/batch/night/night-1/output/a.jsonl.out", True),
        ("s3:GetObject", f"{BUCKET}/models/live/x.tar.gz", True),
        ("s3:GetObject", "arn:aws:s3:::records/in/a.jsonl", True),
        ("s3:PutObject", "arn:aws:s3:::records/in/a.jsonl", False),
        ("s3:PutObject", "arn:aws:s3:::answers/out/probe.out", True),
        ("s3:PutObject", f"{BUCKET}/models/live/x.tar.gz", False),
        ("s3:PutObject", f"{BUCKET}/batch/other/x", False),
        ("sagemaker:DescribeEndpoint", arn("sagemaker", "endpoint/live"), True),
        ("sagemaker:DescribeModel", arn("sagemaker", "model/night-1a2b3c4"), True),
        ("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/live"), False),
        ("sagemaker:ListModels", "*", True),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/execution-role-prod-1a2b3c4", False),
        ("logs:DescribeLogStreams", arn("logs", "log-group:/aws/sagemaker/TransformJobs:*"), True),
        ("logs:GetLogEvents", arn("logs", "log-group:/aws/sagemaker/TransformJobs:log-stream:live-1/i-1"), True),
        ("logs:GetLogEvents", arn("logs", "log-group:/aws/sagemaker/TransformJobs:log-stream:other-1/i-1"), False),
    ],
)
def test_the_operator_reads_and_writes_records_alone(action: str, resource: str, allowed: bool) -> None:
    assert may(OPERATOR, action, resource) is allowed


@pytest.mark.parametrize("prefix", ["in", "in/", "in/a.jsonl"])
def test_the_operator_lists_an_input_with_or_without_its_slash(prefix: str) -> None:
    assert may(OPERATOR, "s3:ListBucket", "arn:aws:s3:::records", s3_prefix=prefix)
    assert not may(OPERATOR, "s3:ListBucket", "arn:aws:s3:::records", s3_prefix="other/")


def test_every_call_of_the_commands_is_allowed_to_one_of_them() -> None:
    made = calls_in({*INVOCATION.glob("*.py"), ROOT / "infra" / "cli" / "batch.py"})
    needed = {action for call in made for action in NOT_ACTIONS_OF_THEIR_OWN.get(call, [call])}
    needed |= {
        "s3:ListBucket",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:ListModels",
    }
    assert {"sagemaker:CreateTransformJob", "sagemaker:StopTransformJob", "logs:GetLogEvents"} <= needed
    ignored = {"s3:PutObjectTagging", "s3:CreateMultipartUpload"}  # uploads have no tags; PutObject allows the other
    assert needed - ignored - actions(INVOKER) - actions(OPERATOR) == set()


@pytest.mark.parametrize("count", [1, 40])
def test_documents_for_many_endpoints_are_such_that_iam_accepts_them(count: int) -> None:
    queued = ENDPOINTS["queued"]
    stack = names(endpoints={f"sagemaker-endpoint-{n}": queued for n in range(count)}, environment="staging")
    for documents in (callers.invoker(stack), callers.batch_operator(stack)):
        assert len(documents) <= ATTACHED_AT_MOST
        assert all(size(document) <= MAX_MANAGED_POLICY for document in documents)
