"""What SageMaker does not combine with a mode is rejected, each combination by a rule of its own."""

from __future__ import annotations

from typing import Any

import pytest

from infra.aws.mode import Mode
from tests.infra.settings.config import PROJECT, VALID, broken, problems, settings, warnings

MODEL = {"artifact": "artifacts/model_7.tar.gz"}
KEY = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:answers"
ELSEWHERE = ":us-east-1:"
VPC = {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}
SERVERLESS: dict[str, Any] = {"memoryMb": 2048, "maxConcurrency": 10}


def stack(endpoint: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A stack with one endpoint, `ranking`."""
    more = {f"{PROJECT}:{key}": value for key, value in sections.items()}
    return VALID | more | {f"{PROJECT}:endpoints": {"ranking": {"model": MODEL} | endpoint}}


def of_mode(mode: Mode, **keys: Any) -> dict[str, Any]:
    """The keys of an endpoint of a mode, with more keys."""
    of_modes: dict[Mode, dict[str, Any]] = {
        Mode.REAL_TIME: {},
        Mode.ASYNCHRONOUS: {"asynchronous": {}},
        Mode.SERVERLESS: {"serverless": SERVERLESS},
        Mode.BATCH: {"batch": {}},
    }
    return of_modes[mode] | keys


REAL_TIME, ASYNCHRONOUS = Mode.REAL_TIME, Mode.ASYNCHRONOUS
ON_SERVERLESS, BATCH = Mode.SERVERLESS, Mode.BATCH
EXCLUDED: list[tuple[Mode, str, Any, str]] = [
    (ON_SERVERLESS, "instanceType", "ml.m5.xlarge", "serverless-instance-type"),
    (ON_SERVERLESS, "initialInstanceCount", 2, "serverless-instance-count"),
    (ON_SERVERLESS, "autoscaling", {"min": 1, "max": 2}, "serverless-instance-autoscaling"),
    (ON_SERVERLESS, "allowSingleInstance", True, "serverless-single-instance"),
    (ON_SERVERLESS, "startupHealthCheckSeconds", 600, "serverless-startup-timeout"),
    (ON_SERVERLESS, "modelDataDownloadSeconds", 600, "serverless-download-timeout"),
    (ON_SERVERLESS, "volumeSizeGb", 50, "serverless-volume"),
    (ON_SERVERLESS, "inferenceAmiVersion", "al2-ami-sagemaker-inference-gpu-3-1", "serverless-ami"),
    (ON_SERVERLESS, "enableNetworkIsolation", True, "serverless-network-isolation"),
    (ON_SERVERLESS, "initialVariantWeight", 1.0, "serverless-weight"),
    (BATCH, "instanceType", "ml.m5.xlarge", "batch-instance-type"),
    (BATCH, "initialInstanceCount", 2, "batch-instance-count"),
    (BATCH, "autoscaling", {"min": 1, "max": 2}, "batch-autoscaling"),
    (BATCH, "allowSingleInstance", True, "batch-single-instance"),
    (BATCH, "startupHealthCheckSeconds", 600, "batch-startup-timeout"),
    (BATCH, "modelDataDownloadSeconds", 600, "batch-download-timeout"),
    (BATCH, "volumeSizeGb", 50, "batch-volume"),
    (BATCH, "inferenceAmiVersion", "al2-ami-sagemaker-inference-gpu-3-1", "batch-ami"),
    (BATCH, "initialVariantWeight", 1.0, "batch-weight"),
]


@pytest.mark.parametrize("form", ["short", "long"])
@pytest.mark.parametrize(("mode", "key", "value", "rule"), EXCLUDED)
def test_a_key_of_instances_is_rejected_where_there_are_none(
    mode: Mode, key: str, value: Any, rule: str, form: str
) -> None:
    variant = of_mode(mode, **{key: value})
    config = stack(variant)
    if form == "long":
        config[f"{PROJECT}:endpoints"] = {"ranking": {"variants": {"a": variant | {"model": MODEL}}}}
    (problem,) = problems(config)
    below = ("variants", "a") if form == "long" else ()
    assert (problem.rule, problem.path) == (rule, (f"{PROJECT}:endpoints", "ranking", *below, key))


ROLLING = {"strategy": "rolling", "instances": 1}
CANARY = {"strategy": "canary", "percent": 10}
LINEAR = {"strategy": "linear", "percent": 10}
BOTH: dict[str, Any] = {"serverless": SERVERLESS, "batch": {}}
BROKEN: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("asynchronous", of_mode(ON_SERVERLESS, asynchronous={}), {}, "several-modes"),
    ("asynchronous", of_mode(BATCH, asynchronous={}), {}, "several-modes"),
    ("batch", BOTH, {}, "several-modes"),
    ("volumeKmsKeyArn", of_mode(ON_SERVERLESS, volumeKmsKeyArn=KEY), {}, "volume-key-without-volume"),
    ("volumeKmsKeyArn", of_mode(BATCH, volumeKmsKeyArn=KEY), {}, "volume-key-without-volume"),
    ("release.strategy", of_mode(ON_SERVERLESS, release=CANARY), {}, "release-without-guardrails"),
    ("release.strategy", of_mode(ON_SERVERLESS, release=LINEAR), {}, "release-without-guardrails"),
    ("release.strategy", of_mode(ON_SERVERLESS, release=ROLLING), {}, "release-without-guardrails"),
    ("release.bakeSeconds", of_mode(ON_SERVERLESS, release={"bakeSeconds": 60}), {}, "release-without-guardrails"),
    (
        "release.terminationWaitSeconds",
        of_mode(ON_SERVERLESS, release={"terminationWaitSeconds": 60}),
        {},
        "release-without-guardrails",
    ),
    ("alarms.existing", of_mode(ON_SERVERLESS, alarms={"existing": ["pager"]}), {}, "alarm-without-effect"),
    (
        "alarms.minimumInvocations",
        of_mode(ON_SERVERLESS, alarms={"minimumInvocations": {"count": 5}}),
        {},
        "alarm-without-effect",
    ),
    ("alarms.backlogSize", of_mode(ON_SERVERLESS, alarms={"backlogSize": 5}), {}, "alarm-without-effect"),
    ("alarms.backlogSize", of_mode(REAL_TIME, alarms={"backlogSize": 5}), {}, "alarm-without-effect"),
    (
        "alarms.p99ModelSetupTimeMilliseconds",
        of_mode(ASYNCHRONOUS, alarms={"p99ModelSetupTimeMilliseconds": 5}),
        {},
        "alarm-without-effect",
    ),
    ("release.bakeSeconds", of_mode(BATCH, release={"bakeSeconds": 60}), {}, "release-without-guardrails"),
    ("alarms.errorRatePercent", of_mode(BATCH, alarms={"errorRatePercent": 5}), {}, "alarm-without-effect"),
    ("serverless", of_mode(ON_SERVERLESS), {"vpc": VPC}, "serverless-in-vpc"),
    (
        "serverless.provisionedConcurrency",
        {"serverless": SERVERLESS | {"provisionedConcurrency": 11}},
        {},
        "provisioned-over-max-concurrency",
    ),
    (
        "serverless.autoscaling.max",
        {"serverless": SERVERLESS | {"autoscaling": {"min": 1, "max": 11}}},
        {},
        "autoscaling-over-max-concurrency",
    ),
    (
        "serverless.provisionedConcurrency",
        {"serverless": SERVERLESS | {"provisionedConcurrency": 1, "autoscaling": {"min": 2, "max": 5}}},
        {},
        "provisioned-outside-autoscaling",
    ),
    (
        "serverless.autoscaling.min",
        {"serverless": SERVERLESS | {"autoscaling": {"min": 6, "max": 5}}},
        {},
        "min-over-max",
    ),
    ("serverless.memoryMb", {"serverless": SERVERLESS | {"memoryMb": 1500}}, {}, "out-of-range"),
    ("serverless.memoryMb", {"serverless": SERVERLESS | {"memoryMb": 7168}}, {}, "out-of-range"),
    ("serverless.maxConcurrency", {"serverless": SERVERLESS | {"maxConcurrency": 201}}, {}, "out-of-range"),
    ("serverless.maxConcurrency", {"serverless": {"memoryMb": 1024}}, {}, "missing"),
    (
        "asynchronous.includeResponseIn",
        {"asynchronous": {"includeResponseIn": ["error"]}},
        {},
        "response-without-topic",
    ),
    (
        "asynchronous.notify",
        {"asynchronous": {"notify": True, "successTopicArn": TOPIC, "errorTopicArn": TOPIC}},
        {},
        "notify-without-effect",
    ),
    (
        "asynchronous.maxConcurrentInvocationsPerInstance",
        {"asynchronous": {"maxConcurrentInvocationsPerInstance": 1001}},
        {},
        "out-of-range",
    ),
    ("asynchronous.outputLocation", {"asynchronous": {"outputLocation": "results/answers"}}, {}, "wrong-form"),
    ("asynchronous.outputLocation", {"asynchronous": {"outputLocation": "s3://results/*"}}, {}, "location-characters"),
    ("asynchronous.failureLocation", {"asynchronous": {"failureLocation": "s3://fails/${x}"}}, {}, "location-variable"),
    (
        "asynchronous.outputLocation",
        {"asynchronous": {"outputLocation": "s3://models/models/ranking"}},
        {"bucket": {"name": "models"}},
        "answers-over-artifacts",
    ),
    (
        "batch.outputLocations[0]",
        {"batch": {"outputLocations": ["s3://models"]}},
        {"bucket": {"name": "models"}},
        "answers-over-artifacts",
    ),
    (
        "asynchronous.kmsKeyArn",
        {"asynchronous": {"kmsKeyArn": KEY.replace(":ap-northeast-1:", ELSEWHERE)}},
        {},
        "answers-in-other-region",
    ),
    (
        "asynchronous.errorTopicArn",
        {"asynchronous": {"errorTopicArn": TOPIC.replace(":ap-northeast-1:", ELSEWHERE)}},
        {},
        "answers-in-other-region",
    ),
    (
        "batch.kmsKeyArn",
        {"batch": {"kmsKeyArn": KEY.replace(":ap-northeast-1:", ELSEWHERE)}},
        {},
        "answers-in-other-region",
    ),
    ("allowSingleInstance", of_mode(ASYNCHRONOUS, allowSingleInstance=True), {}, "single-instance-without-effect"),
    ("batch.instanceType", {"batch": {"instanceType": "ml.r5.xlarge"}}, {}, "unknown-transform-instance-type"),
    ("batch.instanceType", {"batch": {"instanceType": "ml.c6g.xlarge"}}, {}, "arm-instance"),
    (
        "batch.instanceType",
        {"batch": {"instanceType": "ml.p2.xlarge"}},
        {"image": {"version": "24.05-py3"}},
        "triton-does-not-support-gpu",
    ),
    (
        "batch.maxPayloadMb",
        {"batch": {"maxConcurrentTransforms": 8, "maxPayloadMb": 20}},
        {},
        "payload-times-concurrency",
    ),
    ("batch.strategy", {"batch": {"strategy": "MultiRecord"}}, {}, "multi-record"),
    ("batch.environment", {"batch": {"environment": {f"V{n}": "" for n in range(17)}}}, {}, "out-of-range"),
    ("batch.environment.V", {"batch": {"environment": {"V": "v" * 10_241}}}, {}, "job-variable-length"),
    ("batch.maxRetries", {"batch": {"maxRetries": 4}}, {}, "out-of-range"),
    (
        "batch.instanceType",
        {"batch": {"instanceType": "ml.g5.xlarge"}},
        {"image": {"source": "nvcr.io/nvidia/tritonserver:24.05-py3-cpu"}},
        "cpu-image-on-gpus",
    ),
]


@pytest.mark.parametrize(("key", "endpoint", "sections", "rule"), BROKEN)
def test_what_a_mode_excludes_is_rejected(
    key: str, endpoint: dict[str, Any], sections: dict[str, Any], rule: str
) -> None:
    assert broken(stack(endpoint, **sections)) == [(f"endpoints.ranking.{key}", rule)]


def test_at_least_40_combinations_are_rejected_by_rules_of_their_own() -> None:
    own = {rule for *_, rule in (*EXCLUDED, *BROKEN)} - {"out-of-range", "missing", "wrong-form"}
    assert len(EXCLUDED) + len(BROKEN) > 60
    assert len(own) >= 40


def test_the_permissions_of_all_queues_must_fit_in_a_role() -> None:
    def queues(count: int) -> dict[str, Any]:
        endpoint = {"model": MODEL, "asynchronous": {"notify": True}}
        return VALID | {f"{PROJECT}:endpoints": {f"queue-{number}": endpoint for number in range(count)}}

    assert warnings(queues(10)) == []
    assert [warning.rule for warning in warnings(queues(20))] == ["role-policies-nearly-too-large"]
    assert broken(queues(80)) == [("endpoints", "role-policies-too-large")]


def test_models_for_jobs_need_no_log_groups() -> None:
    def models(count: int, **keys: Any) -> dict[str, Any]:
        return VALID | {f"{PROJECT}:endpoints": {f"ranking-{n}": {"model": MODEL} | keys for n in range(count)}}

    assert warnings(models(60, batch={})) == []
    assert "shared-log-access" in {warning.rule for warning in warnings(models(60))}


VARIANTS = {"a": {"model": MODEL}, "b": {"model": MODEL}}


@pytest.mark.parametrize(
    ("variants", "rule"),
    [
        (
            {name: variant | {"serverless": SERVERLESS} for name, variant in VARIANTS.items()},
            "several-serverless-variants",
        ),
        ({name: variant | {"batch": {}} for name, variant in VARIANTS.items()}, "several-batch-variants"),
        ({"a": {"model": MODEL}, "b": {"model": MODEL, "serverless": SERVERLESS}}, "kinds-of-variants"),
        ({"a": {"model": MODEL}, "b": {"model": MODEL, "batch": {}}}, "kinds-of-variants"),
    ],
)
def test_an_endpoint_has_one_serverless_or_batch_variant(variants: dict[str, Any], rule: str) -> None:
    config = VALID | {f"{PROJECT}:endpoints": {"ranking": {"variants": variants}}}
    assert rule in {problem.rule for problem in problems(config)}


@pytest.mark.parametrize("mode", Mode)
def test_each_mode_is_recognized_in_both_forms(mode: Mode) -> None:
    keys = of_mode(mode, model=MODEL)
    of_endpoint = {key: keys.pop(key) for key in ("asynchronous",) if key in keys}
    for endpoint in (keys | of_endpoint, {"variants": {"a": keys}} | of_endpoint):
        config = VALID | {f"{PROJECT}:endpoints": {"ranking": endpoint}}
        assert settings(config).endpoints["ranking"].mode is mode


@pytest.mark.parametrize("mode", [Mode.ASYNCHRONOUS, Mode.SERVERLESS, Mode.BATCH])
def test_production_requires_only_what_a_mode_can_have(mode: Mode) -> None:
    alarms = {"alarms": {"errorRatePercent": 5}} if mode is Mode.ASYNCHRONOUS else {}
    settings(stack(of_mode(mode, **alarms), environment="production"))
    if mode is Mode.ASYNCHRONOUS:
        unwatched = stack(of_mode(mode), environment="production")
        assert broken(unwatched) == [("endpoints.ranking.alarms", "production-without-alarms")]


def test_a_serverless_endpoint_warns_of_what_is_unproven_for_triton_until_the_options_are_set() -> None:
    (warning,) = warnings(stack(of_mode(Mode.SERVERLESS)))
    assert (warning.rule, warning.path[-1]) == ("serverless-unproven", "serverless")
    options = {"SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": "1048576", "SAGEMAKER_TRITON_THREAD_COUNT": "1"}
    (still,) = warnings(stack(of_mode(Mode.SERVERLESS, environment=options)))
    assert all(option in warning.message and option not in still.message for option in options)


def test_a_transform_job_on_gpus_warns_of_its_old_driver() -> None:
    config = stack({"batch": {"instanceType": "ml.g5.xlarge"}}, image={"version": "25.08-py3"})
    assert "transform-driver" in {warning.rule for warning in warnings(config)}
    config = stack({"batch": {"instanceType": "ml.g5.xlarge"}}, image={"version": "24.05-py3"})
    assert warnings(config) == []


def test_a_secret_in_the_environment_of_jobs_warns_without_its_value() -> None:
    (warning,) = warnings(stack({"batch": {"environment": {"API_KEY": "hunter2", "LEVEL": "1"}}}))
    assert (warning.rule, warning.path[-2:]) == ("plaintext-job-variable", ("environment", "API_KEY"))
    assert "hunter2" not in warning.message


def test_a_payload_over_tritons_limit_warns_unless_the_limit_is_raised() -> None:
    large = {"batch": {"maxPayloadMb": 80}}
    assert [warning.rule for warning in warnings(stack(large))] == ["payload-over-triton"]
    raised = {"environment": {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--http-max-input-size=100000000"}}
    assert warnings(stack(large | raised)) == []
    assert warnings(stack({"batch": {"maxPayloadMb": 80} | raised})) == []


def test_a_model_for_jobs_has_no_endpoint_to_adopt() -> None:
    adopted = stack(of_mode(Mode.BATCH), adopt={"endpoints": ["ranking"]})
    assert broken(adopted) == [("adopt.endpoints", "adopted-batch")]
