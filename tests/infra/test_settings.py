"""Every rule of the settings: what is refused, under which key, and with which way out."""

from __future__ import annotations

import importlib.util
import json
import re
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from infra import names
from infra.aws.provider import AWS_KEYS
from infra.diagnostics.problem import ConfigurationError
from infra.dynamic.released_artifact import released_key
from infra.image.aws_images import NEWER
from infra.image.reference import EcrRegistry
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.request import OWNER_TAG
from infra.settings.endpoint import MAX_NAME, EndpointSettings
from infra.settings.image import MAX_REPOSITORY
from infra.settings.load import load
from infra.settings.model import MAX_ARTIFACT_KEY, ModelArtifactSettings
from infra.settings.stack import Settings
from tests.infra.mock_runtime import run

SHAPES = Loader().load_service_model("sagemaker", "service-2")["shapes"]
VALID: dict[str, Any] = {
    "aws:region": "ap-northeast-1",
    "triton-sagemaker:environment": "staging",
    "triton-sagemaker:tags": {"CostEnv": "prod", "CostService": "ranking"},
    "triton-sagemaker:endpoints": {
        "ranking": {
            "model": {"artifact": "artifacts/model_7.tar.gz"},
            "instanceType": "ml.r5.xlarge",
            "autoscaling": {"min": 2, "max": 10},
        }
    },
}
RANKING = VALID["triton-sagemaker:endpoints"]["ranking"]


def settings(config: dict[str, Any]) -> Settings:
    return load({k: v if isinstance(v, str) else json.dumps(v) for k, v in config.items()}, "triton-sagemaker")


def changed(path: str, value: Any) -> dict[str, Any]:
    """VALID with one value set; `path` is a Pulumi key such as `endpoints.ranking.instanceType`. None removes it."""
    config = deepcopy(VALID)
    *parents, last = path.split(".")
    place: Any = config
    if path != "aws:region":
        first, *rest = [*parents, last]
        names = [f"triton-sagemaker:{first}", *rest]
        *parents, last = names
    for name in parents:
        place = place.setdefault(name, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return config


def problems(config: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        settings(config)
    return {problem.key: problem.message for problem in caught.value.problems}


def told(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        settings(config)
    return list(map(str, caught.value.problems))


def test_the_articles_settings_are_the_defaults() -> None:
    endpoint = settings(VALID).endpoints["ranking"]
    assert endpoint.startup_health_check_seconds == 60
    assert endpoint.initial_variant_weight == 1.0
    assert endpoint.autoscaling is not None
    assert endpoint.autoscaling.invocations_per_instance == 70
    assert (endpoint.autoscaling.scale_in_cooldown, endpoint.autoscaling.scale_out_cooldown) == (600, 30)
    assert endpoint.release.strategy == "allAtOnce"


def test_a_scaled_endpoint_starts_with_its_minimum_and_a_fixed_one_with_one_instance() -> None:
    assert settings(VALID).endpoints["ranking"].instance_count == 2
    assert settings(changed("endpoints.ranking.autoscaling", None)).endpoints["ranking"].instance_count == 1


VALID_TAGS = VALID["triton-sagemaker:tags"]
P99 = "ranking.alarms.p99ModelLatencyMilliseconds"


WRONG_VALUES: list[tuple[str, Any, str, str]] = [
    ("environment", "live", "environment", "'live': must be 'production', 'staging' or 'development'."),
    ("aws:region", None, "aws:region", "is required"),
    ("aws:region", "mars-north-1", "aws:region", "mars-north-1"),
    ("aws:region", "tokyo", "aws:region", "'tokyo': must be of the form of ap-northeast-1."),
    ("tags", {"CostEnv": "prod"}, "tags", "CostService must be set"),
    ("tags", {"costEnv": "prod", "CostService": "x"}, "tags.costEnv", "is spelled CostEnv"),
    ("tags.CostEnv", "", "tags.CostEnv", "must be set"),
    ("tags.costenv", "dev", "tags.costenv", "CostEnv and costenv differ in case only; IAM takes"),
    ("tags.aws:x", "y", "tags.aws:x", "no tag begins with aws:"),
    ("tags.AWS:x", "y", "tags.AWS:x", "no tag begins with AWS:"),
    (f"tags.{OWNER_TAG}", "y", f"tags.{OWNER_TAG}", "keeps an endpoint's owner there"),
    ("tags.x", "a<b", "tags.x", "letters, digits, spaces"),
    ("tags.a<b", "x", "tags.a<b", "letters, digits, spaces"),
    ("tags." + "x" * 129, "y", "tags." + "x" * 129, "takes 1 to 128"),
    ("tags.x", "y" * 257, "tags.x", "at most 256"),
    ("tags", {f"x{n}": "y" for n in range(33)} | VALID_TAGS, "tags", "35 tags; AWS takes 50"),
    ("endpoint", {}, "endpoint", "did you mean endpoints?"),
    ("endpoints", {}, "endpoints", "at least 1 item"),
    ("tags.x", "two\nlines", "tags.x", "letters, digits, spaces"),
    ("bucket.name", "Models", "bucket.name", "of the form of"),
    ("bucket.name", "ab", "bucket.name", "at least 3 characters"),
    ("bucket.name", "a..b", "bucket.name", "two dots in a row"),
    ("bucket.name", "192.168.5.4", "bucket.name", "an IP address"),
    ("bucket.name", "xn--models", "bucket.name", "its beginning"),
    ("bucket.name", "models--x-s3", "bucket.name", "its end"),
    ("image.repository", "a..b", "image.repository", "of the form of"),
    ("image.repository", "a___b", "image.repository", "of the form of"),
    ("image.repository", "a" * 129, "image.repository", "at most 128 characters"),
    (
        "image.repository",
        "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/x",
        "image.repository",
        "Give the name alone",
    ),
    ("role.name", "rôle", "role.name", "of the form of"),
    ("bucket.kmsKeyArn", "alias/x", "bucket.kmsKeyArn", "of the form of"),
    (
        "bucket.kmsKeyArn",
        "arn:aws:kms:us-east-1:123456789012:key/abc",
        "bucket.kmsKeyArn",
        "the bucket is in ap-northeast-1",
    ),
    ("image.version", "latest", "image.version", "of the form of"),
    ("image.source", "nonsense", "image.source", "not a valid image reference"),
    ("image", {"version": "23.10-py3", "source": "nvcr.io/nvidia/tritonserver:23.10-py3"}, "image.source", "both"),
    ("role.name", "a role", "role.name", "of the form of"),
    ("vpc", {"subnetIds": ["subnet-1"]}, "vpc.securityGroupIds", "is required"),
    ("vpc", {"subnetIds": [], "securityGroupIds": ["sg-1"]}, "vpc.subnetIds", "at least 1 item"),
    (
        "vpc",
        {"subnetIds": ["sg-1"], "securityGroupIds": ["sg-1"]},
        "vpc.subnetIds[0]",
        "'sg-1': must be of the form of subnet-",
    ),
    ("vpc", {"subnetIds": ["subnet-1"] * 2, "securityGroupIds": ["sg-1"]}, "vpc.subnetIds", "more than once"),
    ("vpc", {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"] * 2}, "vpc.securityGroupIds", "more than"),
    ("region", "ap-northeast-1", "region", "did you mean aws:region?"),
    ("endpoints.ranking_", {"model": {"path": "x"}}, "endpoints.ranking_", "no endpoint name"),
    ("endpoints." + "x" * 56, {"model": {"path": "x"}}, "endpoints." + "x" * 56, "at most 55"),
    ("ranking.instancetype", "x", "ranking.instancetype", "did you mean instanceType?"),
    ("ranking.instanceType", "ml.c7g.xlarge", "ranking.instanceType", "Take ml.c7i.xlarge."),
    ("ranking.instanceType", "ml.c8g.xlarge", "ranking.instanceType", "Take ml.c7i.xlarge."),
    ("ranking.instanceType", "ml.p6e-gb200.36xlarge", "ranking.instanceType", "Arm"),
    ("ranking.instanceType", "ml.g5g.xlarge", "ranking.instanceType", "Take ml.g5.xlarge."),
    ("ranking.instanceType", "ml.g9g.99xlarge", "ranking.instanceType", "Take ml.g5.xlarge."),
    ("ranking.instanceType", "ml.x2gd.99xlarge", "ranking.instanceType", "Take ml.c7i.xlarge."),
    ("ranking.instanceType", "ml.c5.xlargee", "ranking.instanceType", "Did you mean ml.c5.xlarge?"),
    ("ranking.instanceType", "ml.t2.medium", "ranking.autoscaling", "burstable"),
    ("ranking.autoscaling.min", 12, "ranking.autoscaling.min", "12 is more than max (10)"),
    ("ranking.autoscaling.min", 0, "ranking.autoscaling.min", "greater than or equal to 1"),
    ("ranking.autoscaling.max", "10", "ranking.autoscaling.max", "valid integer"),
    ("ranking.initialInstanceCount", 11, "ranking.initialInstanceCount", "outside the autoscaling range 2 to 10"),
    ("ranking.startupHealthCheckSeconds", 30, "ranking.startupHealthCheckSeconds", "greater than or equal to 60"),
    ("ranking.volumeSizeGb", 513, "ranking.volumeSizeGb", "less than or equal to 512"),
    ("ranking.environment", {"a-b": "c"}, "ranking.environment.a-b", "digits and underscores"),
    (
        "ranking.environment",
        {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "x"},
        "ranking.environment.SAGEMAKER_TRITON_DEFAULT_MODEL_NAME",
        "model.defaultModelName",
    ),
    (
        "ranking.environment",
        {"SAGEMAKER_MULTI_MODEL": "true"},
        "ranking.environment.SAGEMAKER_MULTI_MODEL",
        "multi-model mode",
    ),
    (
        "ranking.environment.SAGEMAKER_TRITON_DISABLE_MODEL_NAMESPACING",
        "true",
        "ranking.environment.SAGEMAKER_TRITON_DISABLE_MODEL_NAMESPACING",
        "only false disables it",
    ),
    (
        "ranking.environment.SAGEMAKER_TRITON_OVERRIDE_PING_MODE",
        "live",
        "ranking.environment.SAGEMAKER_TRITON_OVERRIDE_PING_MODE",
        "only where SAGEMAKER_TRITON_PING_MODE is set too",
    ),
    ("ranking.inferenceAmiVersion", "al2", "ranking.inferenceAmiVersion", "al2023-ami-sagemaker-inference-gpu-4-1"),
    (
        "ranking.inferenceAmiVersion",
        "al2-ami-sagemaker-inference-gpu-3-1",
        "ranking.inferenceAmiVersion",
        "is for instances with NVIDIA GPUs, which ml.r5.xlarge has not",
    ),
    (
        "ranking.inferenceAmiVersion",
        "al2-ami-sagemaker-inference-neuron-2",
        "ranking.inferenceAmiVersion",
        "is for instances with Inferentia or Trainium",
    ),
    ("ranking.instanceType", "ml.p2.xlarge", "ranking.instanceType", "compute capability 3.7, and Triton 23.10"),
    ("ranking.instanceType", "ml.p6-b200.48xlarge", "ranking.instanceType", "Use image.version 25.04-py3"),
    ("ranking.environment", {f"k{i}": "v" for i in range(99)}, "ranking.environment", "SageMaker takes 100"),
    ("ranking.environment", {f"k{i}": "v" * 1024 for i in range(10, 42)}, "ranking.environment", "32864 bytes"),
    ("ranking.initialVariantWeight", float("inf"), "ranking.initialVariantWeight", "finite number"),
    (
        "ranking.alarms.p99ModelLatencyMilliseconds",
        float("inf"),
        "ranking.alarms.p99ModelLatencyMilliseconds",
        "fin",
    ),
    (
        "ranking.release",
        {"strategy": "canari", "percent": 10},
        "ranking.release.strategy",
        "'canari' is none of 'allAtOnce', 'c",
    ),
    ("ranking.release", {"type": "canary", "percent": 10}, "ranking.release.type", "did you mean strategy?"),
    ("ranking.release", {"strategy": "ALL_AT_ONCE"}, "ranking.release.strategy", "Did you mean allAtOnce?"),
    ("ranking.release", {"strategy": "Linear", "percent": 10}, "ranking.release.strategy", "Did you mean linear?"),
    (
        "ranking.release",
        {"bakeSeconds": "15m"},
        "ranking.release.bakeSeconds",
        "valid integer. Write 900.",
    ),
    ("ranking.release", {"timeoutSeconds": "1.5 h"}, "ranking.release.timeoutSeconds", "Write 5400."),
    ("ranking.autoscaling.scaleInCooldown", "2min", "ranking.autoscaling.scaleInCooldown", "Write 120."),
    ("ranking.autoscaling.max", "10", "ranking.autoscaling.max", "Write 10, without quotes, or type: "),
    ("ranking.autoscaling.max", "10m", "ranking.autoscaling.max", "valid integer. Most instances"),
    *(
        ("ranking", RANKING | {"instanceType": each, "volumeSizeGb": 100}, "ranking.volumeSizeGb", "has local disks")
        for each in ("ml.g5.xlarge", "ml.g4dn.xlarge", "ml.p4d.24xlarge", "ml.c5d.large", "ml.trn1.2xlarge")
    ),
    ("ranking.volumeSizeGb", "50GB", "ranking.volumeSizeGb", "Write 50."),
    ("ranking.volumeSizeGb", "1.5", "ranking.volumeSizeGb", "must be a valid integer. Storage"),
    ("ranking.alarms.errorRatePercent", "2.5%", "ranking.alarms.errorRatePercent", "Write 2.5."),
    (
        "ranking.alarms.p99ModelLatencyMilliseconds",
        "0.5s",
        "ranking.alarms.p99ModelLatencyMilliseconds",
        "Write 500.",
    ),
    ("ranking.alarms.existing", "pager", "ranking.alarms.existing", "'pager': must be a list: each item on a line"),
    ("ranking.alarms.existing", {"a": "b"}, "ranking.alarms.existing", "a mapping: must be a list: each item on a"),
    ("ranking.alarms", [{"errorRatePercent": 5}], "ranking.alarms", "a mapping of keys to values; take the dashes"),
    ("environment", "Staging", "environment", "Did you mean staging?"),
    (
        "ranking.autoscaling.max",
        "10",
        "ranking.autoscaling.max",
        "--path triton-sagemaker:endpoints.ranking.autoscaling.max 10 --type int",
    ),
    (
        "ranking.alarms.errorRatePercent",
        "0.5",
        "ranking.alarms.errorRatePercent",
        "--path triton-sagemaker:endpoints.ranking.alarms.errorRatePercent 0.5 --type float",
    ),
    ("ranking.autoscaling.max", "010", "ranking.autoscaling.max", "'010': must be a valid integer. Most instances"),
    ("tags.x", 5, "tags.x", "in quotes, or type: pulumi config set --path triton-sagemaker:tags.x --type string"),
    ("ranking.environment.A", True, "ranking.environment.A", "ranking.environment.A --type string"),
    ("ranking.environment.A", {"secret": "x"}, "ranking.environment.A", "is no Pulumi secret"),
    ("ranking.release", {"timeoutSeconds": 10}, "ranking.release.timeoutSeconds", "600"),
    ("ranking.release", {"timeoutSeconds": 28801}, "ranking.release.timeoutSeconds", "28800"),
    ("ranking.release", {"bakeSeconds": 3601}, "ranking.release.bakeSeconds", "3600"),
    ("ranking.release", {"terminationWaitSeconds": -1}, "ranking.release.terminationWaitSeconds", "0 to 3600"),
    ("ranking.release", {"strategy": "allAtOnce", "percent": 5}, "ranking.release.percent", "unknown key"),
    ("ranking.release", {"strategy": "canary"}, "ranking.release.percent", "exactly one of percent and instances"),
    (
        "ranking.release",
        {"strategy": "linear", "percent": 10, "instances": 1},
        "ranking.release.percent",
        "exactly one of percent and instances",
    ),
    ("ranking.release", {"strategy": "canary", "percent": 51}, "ranking.release.percent", "(1 to 50)"),
    ("ranking.release", {"strategy": "linear", "percent": 9}, "ranking.release.percent", "(10 to 50)"),
    ("ranking.release", {"strategy": "rolling", "percent": 4}, "ranking.release.percent", "(5 to 50)"),
    (
        "ranking.release",
        {"strategy": "rolling", "percent": 10, "terminationWaitSeconds": 1},
        "ranking.release.terminationWaitSeconds",
        "unknown key with rolling; only allAtOnce, canary and linear have it.",
    ),
    (
        "ranking.release",
        {"strategy": "rolling", "percent": 10, "rollbackPercent": 101},
        "ranking.release.rollbackPercent",
        "100",
    ),
    (
        "ranking.release",
        {"strategy": "linear", "percent": 10, "interval": 1},
        "ranking.release.interval",
        "did you mean intervalSeconds?",
    ),
    (
        "ranking.release",
        {"strategy": "canary", "instances": 2},
        "ranking.release.instances",
        "2 of 2 instances = 100 %; canary moves at most 50 % at once. That is the fleet at autoscaling.min.",
    ),
    (
        "ranking.release",
        {"strategy": "linear", "percent": 10, "intervalSeconds": 3600, "timeoutSeconds": 3600},
        "ranking.release.timeoutSeconds",
        "3600 is too short: 2 x 3600 s of waiting, 0 s until termination and the start of instances take at least "
        "7320 s",
    ),
    ("ranking.alarms.errorRatePercent", 0, "ranking.alarms.errorRatePercent", "greater than 0"),
    ("ranking.alarms.errorRatePercent", "5", "ranking.alarms.errorRatePercent", "valid number"),
    ("ranking.alarms.p99ModelLatency", 5, "ranking.alarms.p99ModelLatency", "p99ModelLatencyMilliseconds?"),
    ("ranking.alarms.existing", [" "], "ranking.alarms.existing[0]", "no alarm name"),
    (
        "ranking.alarms.existing",
        ["arn:aws:cloudwatch:us-east-1:210987654321:alarm:a"],
        "ranking.alarms.existing[0]",
        "region us-east-1, account 210987654321",
    ),
    ("ranking.alarms.existing", ["a", "b", "a"], "ranking.alarms.existing", "a: named more than once"),
    (
        "ranking.alarms",
        {"errorRatePercent": 1, "existing": [f"a{n}" for n in range(10)]},
        "ranking.alarms.existing",
        "with the 1 made here 11; SageMaker takes 10",
    ),
    (
        "ranking.alarms.minimumInvocations",
        {"count": 1, "otherwise": "stop"},
        "ranking.alarms.minimumInvocations.otherwise",
        "'warn' or 'fail'",
    ),
    ("ranking.model", {}, "ranking.model", "exactly one"),
    ("ranking.model", {"path": "a", "artifact": "b.tar.gz"}, "ranking.model", "exactly one"),
    ("ranking.model", "models", "ranking.model", "must be a mapping"),
    ("ranking.model.artifact", "model.zip", "ranking.model.artifact", "does not name a .tar.gz"),
    ("ranking.model.artifact", "/m.tar.gz", "ranking.model.artifact", "a key inside the model bucket"),
    ("ranking.model.artifact", "a/../m.tar.gz", "ranking.model.artifact", "a key inside the model bucket"),
    ("ranking.model.artifact", "https://b.s3.amazonaws.com/m.tar.gz", "ranking.model.artifact", "no address"),
    ("ranking.model.artifact", "arn:aws:s3:::b/m.tar.gz", "ranking.model.artifact", "no address"),
    ("ranking.model.artifact", "./m.tar.gz", "ranking.model.artifact", "without empty parts, . and .."),
    ("ranking.model.artifact", "a//m.tar.gz", "ranking.model.artifact", "without empty parts, . and .."),
    ("ranking.model.artifact", "a/m${VERSION}.tar.gz", "ranking.model.artifact", "nothing is put in for ${…}"),
    ("ranking.model.artifact", "models/m.tar.gz", "ranking.model.artifact", "artifacts/"),
    ("ranking.model.artifact", "a" * 794 + ".tar.gz", "ranking.model.artifact", "801 bytes; at most 800"),
    ("ranking.model.artifact", "ü" * 397 + ".tar.gz", "ranking.model.artifact", "801 bytes; at most 800"),
    ("ranking.model", {"artifact": "releases/m.tar.gz"}, "ranking.model.artifact", "lies under releases/, where the"),
    ("ranking.model", {"artifact": "autoscaling/m.tar.gz"}, "ranking.model.artifact", "lies under autoscaling/, where"),
    ("image.version", "23.13-py3", "image.version", "of the form of"),
    ("ranking.model.defaultModelName", "a/b", "ranking.model.defaultModelName", "of the form of"),
]
"""Keys, what is wrong there, the key that is named and words of the message."""


@pytest.mark.parametrize(("path", "value", "key", "words"), WRONG_VALUES)
def test_a_wrong_value_is_refused_at_its_key_with_the_rule(path: str, value: Any, key: str, words: str) -> None:
    path, key = (re.sub("^ranking", "endpoints.ranking", text) for text in (path, key))
    ((found, message),) = problems(changed(path, value)).items()
    assert found.removeprefix("triton-sagemaker:") == key
    assert words in message


def test_a_strategy_in_the_words_of_aws_is_answered_with_ours() -> None:
    key = "triton-sagemaker:endpoints.ranking.release.type"
    assert told(changed("endpoints.ranking.release", {"type": "CANARY", "percent": 10})) == [
        f"{key}: unknown key; did you mean strategy? [unknown-key]",
        f"{key}: 'CANARY' is none of 'allAtOnce', 'canary', 'linear', 'rolling'. Did you mean canary? [unknown-value]",
    ]


@pytest.mark.parametrize("name", ["a__b", "a--b/c.d", "2048", "team_a/triton-x86"])
def test_a_repository_is_called_as_ecr_allows(name: str) -> None:
    """API RepositoryName: letters and digits, parted by one dot, one or two underscores or any hyphens."""
    assert settings(changed("image.repository", name)).image.repository == name


def test_the_longest_repository_is_of_an_image_that_sagemaker_takes() -> None:
    repository = settings(changed("image.repository", "a" * MAX_REPOSITORY)).image.repository
    registry = max((EcrRegistry("1" * 12, region).host for region in NEWER.by_region), key=len)
    assert len(f"{registry}/{repository}@sha256:{'0' * 64}") <= SHAPES["ContainerImage"]["max"]


def test_a_tag_with_dots_is_told_of_at_its_key() -> None:
    assert problems(changed("tags", VALID_TAGS | {"a.b": "x", "A.b": "x"})).keys() == {'triton-sagemaker:tags["A.b"]'}


def test_tags_are_written_in_any_language() -> None:
    assert settings(changed("tags.größe", "大 1/2"))


def test_every_wrong_tag_is_told_of() -> None:
    wrong = {"a<b": "x", "c": "<", "d": "y" * 257, "aws:x": "y"}
    assert problems(changed("tags", VALID_TAGS | wrong)).keys() == {
        *("triton-sagemaker:tags.a<b", "triton-sagemaker:tags.c", "triton-sagemaker:tags.d"),
        "triton-sagemaker:tags.aws:x",
    }


def test_the_longest_artifact_key_has_a_released_copy_that_sagemaker_takes() -> None:
    endpoint, artifact = "e" * MAX_NAME, "a" * (MAX_ARTIFACT_KEY - 7) + ".tar.gz"
    assert endpoint in settings(changed(f"endpoints.{endpoint}", {"model": {"artifact": artifact}})).endpoints
    longest = f"s3://{'b' * 63}/" + released_key(f"{names.RELEASED}{endpoint}/{'k' * 8}/", artifact, "v" * 32)
    assert len(longest) <= SHAPES["Url"]["max"]


def test_all_problems_are_reported_at_once() -> None:
    config = changed("endpoints.ranking.autoscaling.min", 12)
    config["triton-sagemaker:endpoints"]["ranking"]["instanceType"] = "ml.c7g.xlarge"
    config["triton-sagemaker:endpoints"]["other"] = {"modle": {}}
    config["triton-sagemaker:environment"] = "live"
    found = problems(config)
    assert set(found) == {
        "triton-sagemaker:environment",
        "triton-sagemaker:endpoints.ranking.autoscaling.min",
        "triton-sagemaker:endpoints.ranking.instanceType",
        "triton-sagemaker:endpoints.other.modle",
    }


def test_a_slow_start_must_fit_the_timeout() -> None:
    config = changed("endpoints.ranking.startupHealthCheckSeconds", 3600)
    (message,) = problems(config).values()
    assert "must be more than startupHealthCheckSeconds" in message


def test_names_that_differ_in_case_only_are_the_same_to_sagemaker() -> None:
    config = changed("endpoints.Ranking", {"model": {"path": "x"}})
    assert "ranking and Ranking differ in case only" in problems(config)["triton-sagemaker:endpoints.Ranking"]


def test_the_error_text_lists_key_and_message_a_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(changed("endpoints.ranking.autoscaling.min", 12))
    assert str(caught.value) == (
        "the stack's configuration has 1 problem; nothing was changed:\n"
        "  triton-sagemaker:endpoints.ranking.autoscaling.min: 12 is more than max (10). Raise max or "
        f"lower min. [{caught.value.problems[0].rule}]"
    )


def endpoint(**keys: Any) -> EndpointSettings:
    config = deepcopy(VALID)
    config["triton-sagemaker:endpoints"]["ranking"] |= keys
    return settings(config).endpoints["ranking"]


def test_a_release_without_a_strategy_moves_all_traffic_at_once() -> None:
    assert endpoint(release={"timeoutSeconds": 7200}).release.policy == ReleasePolicy(timeout_seconds=7200)


@pytest.mark.parametrize(
    ("release", "policy"),
    [
        (
            {"strategy": "canary", "percent": 10},
            ReleasePolicy("canary", 600, BatchSize("percent", 10)),
        ),
        (
            {"strategy": "linear", "instances": 1, "intervalSeconds": 60, "terminationWaitSeconds": 30},
            ReleasePolicy("linear", 60, BatchSize("instances", 1), termination_wait_seconds=30),
        ),
        (
            {"strategy": "rolling", "percent": 50, "rollbackPercent": 25},
            ReleasePolicy("rolling", 300, BatchSize("percent", 50), rollback_percent=25),
        ),
    ],
)
def test_each_strategy_is_a_policy_of_the_rollout(release: dict[str, Any], policy: ReleasePolicy) -> None:
    assert endpoint(release=release).release.policy == policy


def test_the_step_size_is_checked_at_the_largest_fleet_too() -> None:
    config = changed("endpoints.ranking.autoscaling.max", 12)
    config["triton-sagemaker:endpoints"]["ranking"]["release"] = {"strategy": "linear", "instances": 1}
    ((key, message),) = problems(config).items()
    assert key == "triton-sagemaker:endpoints.ranking.release.instances"
    assert "1 of 12 instances = 8 %; linear moves at least 10 % at once." in message
    assert "the fleet at autoscaling.max" in message


def test_inferentia_1_takes_all_at_once_only() -> None:
    config = changed("endpoints.ranking.instanceType", "ml.inf1.xlarge")
    config["triton-sagemaker:endpoints"]["ranking"]["release"] = {"strategy": "canary", "percent": 10}
    ((key, message),) = problems(config).items()
    assert key == "triton-sagemaker:endpoints.ranking.release.strategy"
    assert "Take strategy allAtOnce" in message


def test_the_estimate_counts_starts_waits_and_termination() -> None:
    canary = {"strategy": "canary", "percent": 10, "bakeSeconds": 600, "terminationWaitSeconds": 60}
    assert str(endpoint(release=canary).release_estimate) == "23 to 39 minutes"


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ({}, []),
        ({"release": {"strategy": "canary", "percent": 10}}, ["alarms"]),
        ({"alarms": {"existing": ["a"]}}, ["release.bakeSeconds"]),
        (
            {
                "alarms": {"errorRatePercent": 5, "evaluationMinutes": 5},
                "release": {"strategy": "linear", "percent": 10, "intervalSeconds": 60},
            },
            ["alarms.evaluationMinutes"],
        ),
        ({"release": {"bakeSeconds": 3000}, "alarms": {"existing": ["a"]}}, ["release.timeoutSeconds"]),
        ({"alarms": {"errorRatePercent": 5}, "release": {"strategy": "canary", "percent": 10}}, []),
        ({"alarms": {"errorRatePercent": 5}, "release": {"strategy": "canary", "percent": 50}}, ["release.percent"]),
        ({"alarms": {"errorRatePercent": 0.1}, "release": {"bakeSeconds": 60}}, []),
        (
            {"alarms": {"errorRatePercent": 0.02, "serverErrorRatePercent": 0.09}, "release": {"bakeSeconds": 60}},
            ["alarms.errorRatePercent", "alarms.serverErrorRatePercent"],
        ),
    ],
)
def test_what_sagemaker_takes_but_hardly_was_meant_is_a_warning(keys: dict[str, Any], warned: list[str]) -> None:
    assert [".".join(map(str, each.path)) for each in endpoint(**keys).broken_warnings()] == warned


def test_a_rate_that_is_rather_a_fraction_is_answered_with_its_percent() -> None:
    (warned,) = endpoint(alarms={"errorRatePercent": 0.02}, release={"bakeSeconds": 60}).broken_warnings()
    assert (warned.rule, warned.path) == ("error-rate-fraction", ("alarms", "errorRatePercent"))
    assert "0.02 % of the requests. If a fraction is meant, write 2." in warned.message


MODEL = {"path": "examples/models"}


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        ({}, "model", "Or give variants"),
        ({"variants": {}}, "variants", "at least 1"),
        ({"variants": {f"V{n}": {"model": MODEL} for n in range(11)}}, "variants", "at most 10"),
        ({"variants": {"a_b": {"model": MODEL}}}, "variants.a_b", "API VariantName"),
        ({"variants": {"A": {}}}, "variants.A.model", "is required"),
        (
            {"model": MODEL, "instanceType": "ml.m5.large", "variants": {"A": {"model": MODEL}}},
            "variants",
            "instanceType, model stand beside variants",
        ),
        (
            {"variants": {"A": {"model": MODEL, "autoscaling": {"min": 1, "max": 2}}, "B": {"model": MODEL}}},
            "variants",
            "B has no autoscaling while A has",
        ),
        (
            {
                "variants": {
                    "A": {"model": MODEL, "initialInstanceCount": 2},
                    "B": {"model": MODEL, "initialInstanceCount": 2},
                },
                "release": {"strategy": "rolling", "percent": 50},
            },
            "release.strategy",
            "one variant only, here are 2",
        ),
        (
            {
                "variants": {"A": {"model": MODEL, "initialInstanceCount": 4}, "B": {"model": MODEL}},
                "release": {"strategy": "canary", "percent": 25},
            },
            "release.percent",
            "That is the fleet at variants.B.initialInstanceCount",
        ),
        (
            {
                "variants": {f"V{n}": {"model": MODEL} for n in range(4)},
                "alarms": {"errorRatePercent": 1, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 1},
            },
            "alarms.existing",
            "with the 12 made here 12; SageMaker takes 10",
        ),
    ],
)
def test_a_wrong_set_of_variants_is_refused_with_the_rule(keys: dict[str, Any], key: str, words: str) -> None:
    ((found, message),) = problems(changed("endpoints.ranking", keys)).items()
    assert found.removeprefix("triton-sagemaker:endpoints.ranking.") == key
    assert words in message


def test_an_endpoints_own_keys_are_its_only_variant() -> None:
    variant = settings(VALID).endpoints["ranking"].production_variants["AllTraffic"]
    assert variant.model == ModelArtifactSettings(artifact="artifacts/model_7.tar.gz")
    assert variant.instance_type == "ml.r5.xlarge"
    assert (variant.instance_count, variant.startup_health_check_seconds) == (2, 60)


def test_a_release_of_several_variants_waits_for_the_slowest() -> None:
    slow = {"model": MODEL, "startupHealthCheckSeconds": 1800}
    one, two = ({"variants": {"A": {"model": MODEL}} | more} for more in ({}, {"B": slow}))
    estimates = [
        settings(changed("endpoints.ranking", keys)).endpoints["ranking"].release_estimate for keys in (one, two)
    ]
    assert estimates[1].maximum - estimates[0].maximum == 1800 - 60


def test_rules_across_keys_are_looked_at_beside_an_unknown_key() -> None:
    config = changed("endpoints.ranking.autoscaling.min", 12)
    config["triton-sagemaker:endpoints"]["ranking"]["autoscaling"]["mini"] = 2
    config["triton-sagemaker:endpoints"]["ranking"]["release"] = {"strategy": "canary", "percent": 5, "prozent": 5}
    assert {key.removeprefix("triton-sagemaker:endpoints.ranking.") for key in problems(config)} == {
        "autoscaling.mini",
        "autoscaling.min",
        "release.prozent",
    }


def test_what_config_set_writes_without_path_is_told_with_the_commands() -> None:
    key = "triton-sagemaker:endpoints.ranking.instanceType"
    ((found, message),) = problems(VALID | {key: "ml.c5.xlarge"}).items()
    assert found == key
    assert message.endswith(f"Type: pulumi config rm {key} && pulumi config set --path {key} VALUE")


def test_a_key_with_dots_inside_of_a_section_is_told_to_be_nested() -> None:
    ((_, message),) = problems(changed("endpoints.ranking", RANKING | {"autoscaling.min": 2})).items()
    assert message.startswith("unknown key; a dot leads nowhere here")


@pytest.mark.parametrize(
    ("autonaming", "refused"),
    [
        ({"mode": "verbatim"}, True),
        ({"mode": "disabled"}, True),
        ({"pattern": "${project}-${name}"}, True),
        ({"pattern": "${name}-${hex(8)}"}, True),
        ({"providers": {"aws": {"mode": "verbatim"}}}, True),
        ({"providers": {"pulumi-python": {"mode": "verbatim"}}}, True),
        ({"providers": {"aws": {"resources": {"aws:iam/role:Role": {"pattern": "${name}"}}}}}, True),
        ({"mode": "default"}, False),
        ({"providers": {"azure-native": {"mode": "verbatim"}}}, False),
        ({"mode": "default", "providers": {"aws": {"mode": "default"}}}, False),
        ("verbatim", False),
    ],
)
def test_names_are_left_to_pulumi(autonaming: Any, refused: bool) -> None:
    config = VALID | {"pulumi:autonaming": autonaming}
    if refused:
        assert list(problems(config)) == ["pulumi:autonaming"]
    else:
        settings(config)


@pytest.mark.parametrize("key", ["aws:Region", "aws:regions", "asw:region", "triton-sagemaker:region"])
def test_a_misspelt_region_is_one_mistake(key: str) -> None:
    config = {key if each == "aws:region" else each: value for each, value in VALID.items()}
    assert problems(config) == {key: "unknown key; did you mean aws:region?"}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("triton-sagemeker:endpoints", "did you mean triton-sagemaker:endpoints?"),
        ("asw:tags", "did you mean aws:tags?"),
    ],
)
def test_a_misspelt_namespace_is_refused_and_those_of_others_are_not(key: str, words: str) -> None:
    assert words in problems(VALID | {key: "x"})[key]
    settings(VALID | {"datadog:site": "datadoghq.com", "azure:environment": "public"})


@pytest.mark.parametrize("namespace", ["triton", "sagemaker", "x"])
def test_a_setting_of_another_namespace_is_refused_and_read(namespace: str) -> None:
    config = dict(VALID)
    config[f"{namespace}:endpoints"] = changed("endpoints.ranking.autoscaling.min", 12)["triton-sagemaker:endpoints"]
    del config["triton-sagemaker:endpoints"]
    assert problems(config) == {
        f"{namespace}:endpoints": "unknown namespace; did you mean triton-sagemaker:endpoints?",
        f"{namespace}:endpoints.ranking.autoscaling.min": "12 is more than max (10). Raise max or lower min.",
    }


def test_a_setting_that_is_repeated_below_a_part_of_the_name_is_refused() -> None:
    assert list(problems(VALID | {"triton:endpoints": {}})) == ["triton:endpoints"]


def test_a_misspelt_key_of_the_provider_is_refused() -> None:
    assert problems(VALID | {"aws:profil": "x"}) == {"aws:profil": "unknown key; did you mean aws:profile?"}
    settings(VALID | {"aws:profile": "x", "aws:skipCredentialsValidation": "true"})


def test_what_our_own_aws_calls_cannot_follow_is_refused_before_anything_is_made() -> None:
    assert "cannot honour it" in problems(VALID | {"aws:somethingQuiteNew": "x"})["aws:somethingQuiteNew"]
    assert "lists 2 files" in problems(VALID | {"aws:sharedConfigFiles": ["a", "b"]})["aws:sharedConfigFiles"]
    settings(VALID | {"aws:sharedConfigFiles": ["a"]})


def test_the_providers_keys_are_those_of_pulumi_aws() -> None:
    spec = importlib.util.find_spec("pulumi_aws")
    assert spec is not None and spec.origin is not None
    read = (Path(spec.origin).parent / "config" / "vars.py").read_text()
    assert set(re.findall(r"__config__\.get\w*\('(\w+)'\)", read)) == AWS_KEYS - {"version"}


@pytest.mark.parametrize("key", ["aws:secretKey", "aws:token"])
def test_credentials_in_plain_text_are_refused_and_not_shown(key: str) -> None:
    ((found, message),) = problems(VALID | {key: "hunter2"}).items()
    assert found == key
    assert message.startswith("stands here in plain text. Take it out, and give credentials through the environment")
    assert message.endswith(f"or type: pulumi config set --secret --path '{key}'")
    texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in VALID.items()}
    load(texts | {key: "hunter2"}, "triton-sagemaker", {key})


@pytest.mark.parametrize("name", ["model", "release", "variants", "image"])
def test_an_endpoint_may_be_called_like_a_key(name: str) -> None:
    config = VALID | {"triton-sagemaker:endpoints": {name: {"model": {"path": "x"}, "instanceTyp": "ml.c5.large"}}}
    ((key, message),) = problems(config).items()
    assert key == f"triton-sagemaker:endpoints.{name}.instanceTyp"
    assert message == "unknown key; did you mean instanceType?"


def test_a_key_that_pulumi_has_to_quote_is_quoted() -> None:
    assert 'triton-sagemaker:tags["a.b"]' in problems(changed("tags", VALID["triton-sagemaker:tags"] | {"a.b": 1}))


def test_a_long_value_is_not_repeated_whole() -> None:
    (message,) = problems(changed("endpoints.ranking.volumeSizeGb", "9" * 1000)).values()
    assert len(message) < 300


def test_a_models_name_with_its_variants_fits_sagemakers_63_characters() -> None:
    endpoint, variant = "e" * 40, "V" * 14
    fits = changed(f"endpoints.{endpoint}", {"variants": {variant: {"model": MODEL}}})
    assert endpoint in settings(fits).endpoints
    ((key, message),) = problems(
        changed(f"endpoints.{endpoint}", {"variants": {f"{variant}V": {"model": MODEL}}})
    ).items()
    assert key == f"triton-sagemaker:endpoints.{endpoint}.variants.{variant}V"
    assert f"{endpoint}-{variant}V (56 characters); at most 55" in message


def alarmed(*endpoints: str, **of: list[str]) -> dict[str, Any]:
    """VALID with endpoints that have an alarm, and with those that have variants."""
    alarms = {"alarms": {"errorRatePercent": 1}}
    several = {
        name: {"variants": {each: {"model": MODEL} for each in variants}} | alarms for name, variants in of.items()
    }
    return changed("endpoints", {**several, **{name: {"model": MODEL} | alarms for name in endpoints}})


@pytest.mark.parametrize(
    ("config", "key", "name", "other"),
    [
        (alarmed("x-A", x=["A"]), "x.variants.A", "x-A", "x-A"),
        (
            changed(
                "endpoints",
                {"x": {"variants": {"A-B": {"model": MODEL}}}, "x-A": {"variants": {"B": {"model": MODEL}}}},
            ),
            "x-A.variants.B",
            "x-A-B",
            "x.variants.A-B",
        ),
    ],
)
def test_a_model_has_a_name_of_its_own(config: dict[str, Any], key: str, name: str, other: str) -> None:
    ((found, message),) = problems(config).items()
    assert found == f"triton-sagemaker:endpoints.{key}"
    assert message.startswith(f"the Model would be called {name} like that of endpoints.{other}, and Pulumi takes")


def test_alarms_have_names_of_their_own() -> None:
    ((found, message),) = problems(alarmed("x", "x-rollback")).items()
    assert found == "triton-sagemaker:endpoints.x-rollback"
    assert message.startswith("its alarms would be called x-rollback-error-rate like those of endpoints.x, and Pulumi")


def test_alarms_of_two_purposes_have_two_names() -> None:
    config = alarmed("x", "x-server")
    config["triton-sagemaker:endpoints"]["x"]["alarms"] = {"serverErrorRatePercent": 1}
    ((found, message),) = problems(config).items()
    assert found == "triton-sagemaker:endpoints.x-server"
    assert "would be called x-server-error-rate like those of endpoints.x, and" in message


def test_alarms_of_one_endpoints_variants_have_names_of_their_own() -> None:
    ((found, _),) = problems(alarmed(x=["AllTraffic", "rollback"])).items()
    assert found == "triton-sagemaker:endpoints.x.variants.rollback"


@pytest.mark.parametrize(
    "config",
    [
        alarmed("x", "x-stop", "x-error-rate", "x-invocations"),
        changed("endpoints", {name: {"model": MODEL} for name in ("x", "x-rollback")}),
        changed("endpoints", {"x": {"variants": {"A": {"model": MODEL}}}, "x-B": {"model": MODEL}}),
    ],
)
def test_names_that_only_look_alike_are_taken(config: dict[str, Any]) -> None:
    assert len(run("x", config).all("dynamic/infra:Endpoint")) == len(config["triton-sagemaker:endpoints"])


def with_image(version: str, **keys: Any) -> dict[str, Any]:
    """VALID with one endpoint on an image; `version` may be a source."""
    config = changed("endpoints", {"ranking": {"model": MODEL, **keys}})
    return config | {"triton-sagemaker:image": {"source" if "/" in version else "version": version}}


def test_an_image_without_gpu_support_is_refused_on_gpus() -> None:
    ((key, message),) = problems(with_image("24.05-py3-cpu", instanceType="ml.g5.xlarge")).items()
    assert key.endswith("endpoints.ranking.instanceType")
    assert message.endswith("Take 24.05-py3, or a type without GPUs such as ml.c5.xlarge.")
    settings(with_image("24.05-py3-cpu"))


@pytest.mark.parametrize(
    ("image", "instance_type", "words"),
    [
        ("25.01-py3", "ml.p3.2xlarge", "compute capability 7.0, and Triton 25.01 requires 7.5"),
        ("nvcr.io/nvidia/tritonserver:25.08-py3", "ml.p3.2xlarge", "or an image older than 25.01"),
        ("24.12-py3", "ml.g7.2xlarge", "Blackwell GPUs are newer than Triton 24.12"),
        ("24.03-py3", "ml.g7e.2xlarge", "Blackwell GPUs are newer than Triton 24.03"),
    ],
)
def test_a_triton_release_has_to_know_the_gpus(image: str, instance_type: str, words: str) -> None:
    (message,) = problems(with_image(image, instanceType=instance_type)).values()
    assert words in message


@pytest.mark.parametrize(("image", "instance_type"), [("24.10-py3", "ml.p3.2xlarge"), ("25.01-py3", "ml.g7.2xlarge")])
def test_a_triton_release_that_knows_the_gpus_is_taken(image: str, instance_type: str) -> None:
    settings(with_image(image, instanceType=instance_type))


def test_a_driver_has_to_know_the_gpus() -> None:
    keys = {"instanceType": "ml.p6-b200.48xlarge", "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1"}
    ((key, message),) = problems(with_image("25.08-py3", **keys)).items()
    assert key.endswith("inferenceAmiVersion")
    assert "require 570 or later" in message


@pytest.mark.parametrize(
    ("image", "keys", "warned"),
    [
        ("24.05-py3", {"instanceType": "ml.g5.xlarge"}, "instanceType"),
        (
            "25.08-py3",
            {"instanceType": "ml.g5.xlarge", "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1"},
            "inferenceAmiVersion",
        ),
        (
            "24.05-py3",
            {"instanceType": "ml.g5.xlarge", "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1"},
            None,
        ),
        ("23.03-py3", {"instanceType": "ml.g5.xlarge"}, "instanceType"),
        ("22.12-py3", {"instanceType": "ml.g5.xlarge"}, None),
        ("25.08-py3", {"instanceType": "ml.c5.xlarge"}, None),
    ],
)
def test_a_driver_older_than_tritons_cuda_is_a_warning(image: str, keys: dict[str, Any], warned: str | None) -> None:
    warnings = settings(with_image(image, **keys)).warnings("p")
    assert [each.path for each in warnings] == ([("p:endpoints", "ranking", warned)] if warned else [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("instanceType", "ml.c9i.xlarge"),
        ("instanceType", "ml.c5.32xlarge"),
        ("inferenceAmiVersion", "al2023-ami-sagemaker-inference-gpu-9-1"),
    ],
)
def test_what_aws_added_after_the_provider_is_refused_with_the_versions_that_know_it_not(key: str, value: str) -> None:
    config = changed("endpoints.ranking.instanceType", "ml.g5.xlarge")
    config["triton-sagemaker:endpoints"]["ranking"][key] = value
    ((path, message),) = problems(config).items()
    assert path == f"triton-sagemaker:endpoints.ranking.{key}"
    assert f"boto3 {version('boto3')} and pulumi-aws {version('pulumi-aws')}" in message


@pytest.mark.parametrize(("image", "warned"), [({"version": "23.10-py3"}, True), ({"source": "nvcr.io/n/t:1"}, False)])
def test_accelerators_that_the_image_does_not_use_are_a_warning(image: dict[str, str], warned: bool) -> None:
    config = changed("endpoints.ranking.instanceType", "ml.inf2.xlarge") | {"triton-sagemaker:image": image}
    found = [each.message for each in settings(config).warnings("p") if each.path[-1] == "instanceType"]
    assert ["AWS's image has none" in each for each in found] == [True] * warned


def test_a_variable_that_is_no_option_of_tritons_container_is_a_warning() -> None:
    plain = changed("endpoints.ranking.environment", {"SAGEMAKER_TRITON_LOG_VERBSE": "true", "OMP_NUM_THREADS": "1"})
    config = plain | {"triton-sagemaker:secretEnvironment": {"ranking": {"SAGEMAKER_TRITON_PORT_NUMBERS": "x"}}}
    texts = {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()}
    port, verbose = load(texts, "triton-sagemaker", {"triton-sagemaker:secretEnvironment"}).warnings("p")
    assert verbose.path == ("p:endpoints", "ranking", "environment", "SAGEMAKER_TRITON_LOG_VERBSE")
    assert verbose.message.endswith("Did you mean SAGEMAKER_TRITON_LOG_VERBOSE?")
    assert port.path == ("p:secretEnvironment", "ranking", "SAGEMAKER_TRITON_PORT_NUMBERS")
    assert "ADDITIONAL_ARGS, ALLOW_GRPC" in port.message


@pytest.mark.parametrize(
    ("region", "image", "words"),
    [
        ("eu-central-2", {}, "23.10-py3 in eu-central-2, only versions from 23.12 on (26.05 is the newest one known)"),
        ("us-east-1", {"version": "23.11-py3"}, "from 22.07 to 23.10 and from 23.12 on (26.05 is"),
        ("us-east-1", {"version": "21.01-py3-cpu"}, "does not publish 21.01-py3-cpu in us-east-1"),
        (
            "us-east-1",
            {"version": "99.01-py3"},
            "newer than 26.05, the newest release known in us-",
        ),
        ("us-east-1", {"version": "22.07-py3"}, None),
        ("eu-central-2", {"version": "26.05-py3"}, None),
        ("eu-central-2", {"source": "nvcr.io/nvidia/tritonserver:23.11-py3"}, None),
    ],
)
def test_a_release_that_the_regions_accounts_are_not_known_to_have_is_a_warning(
    region: str, image: dict[str, str], words: str | None
) -> None:
    found = settings(VALID | {"aws:region": region, "triton-sagemaker:image": image}).warnings("p")
    assert [each.path for each in found] == ([("p:image", "version")] if words else [])
    assert all(str(words) in each.message for each in found)


def test_a_variable_with_the_name_of_a_secret_is_a_warning() -> None:
    secrets = ["DB_PASSWORD", "PGPASSWORD", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "apikey"]
    others = ["MAX_TOKENS", "EOS_TOKEN", "TOKENIZERS_PARALLELISM", "SECRETARY", "KEY", "SAGEMAKER_TRITON_LOG_INFO"]
    found = settings(changed("endpoints.ranking.environment", dict.fromkeys(secrets + others, "hunter2")))
    warnings = found.warnings("p")
    assert [each.path for each in warnings] == [("p:endpoints", "ranking", "environment", name) for name in secrets]
    assert "pulumi config set --secret --path 'p:secretEnvironment.ranking.DB_PASSWORD'" in warnings[0].message
    assert "hunter2" not in str(warnings)
    assert found.warnings("p", {"p:endpoints"}) == []


def production(**keys: Any) -> dict[str, Any]:
    """VALID as a production stack."""
    served = {"model": MODEL, "alarms": {"existing": ["pager"]}, "release": {"bakeSeconds": 300}}
    return changed("endpoints", {"ranking": served | keys}) | {"triton-sagemaker:environment": "production"}


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({}, "initialInstanceCount"),
        ({"autoscaling": {"min": 1, "max": 4}}, "autoscaling.min"),
        ({"model": None, "variants": {"A": {"model": MODEL}}}, "variants.A.initialInstanceCount"),
    ],
)
def test_a_single_instance_in_production_has_to_be_acknowledged(keys: dict[str, Any], key: str) -> None:
    keys = {name: value for name, value in keys.items() if value}
    config = production(**keys)
    served = config["triton-sagemaker:endpoints"]["ranking"]
    if "variants" in keys:
        del served["model"]
    ((found, message),) = problems(config).items()
    assert found == f"triton-sagemaker:endpoints.ranking.{key}"
    assert "allowSingleInstance: true" in message
    (served["variants"]["A"] if "variants" in keys else served)["allowSingleInstance"] = True
    settings(config)


def test_a_production_endpoint_has_rollback_alarms() -> None:
    ((key, message),) = problems(production(alarms={}, initialInstanceCount=2)).items()
    assert key == "triton-sagemaker:endpoints.ranking.alarms"
    assert "Give errorRatePercent" in message
    settings(production(initialInstanceCount=2))


SECRET = {"ranking": {"LICENSE_KEY": "hunter2"}}


def test_a_secret_in_plain_text_is_refused_with_the_line_to_type() -> None:
    ((key, message),) = problems(changed("secretEnvironment", SECRET)).items()
    assert key == "triton-sagemaker:secretEnvironment.ranking.LICENSE_KEY"
    assert message.endswith(
        "type: pulumi config set --secret --path 'triton-sagemaker:secretEnvironment.ranking.LICENSE_KEY'"
    )
    assert "hunter2" not in message


def secretly(value: Any, **keys: Any) -> dict[str, Any]:
    """VALID with a secret environment, as Pulumi hands it over decrypted."""
    config = changed("secretEnvironment", value)
    config["triton-sagemaker:endpoints"]["ranking"] |= keys
    return {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()}


@pytest.mark.parametrize(
    ("value", "keys", "key", "words"),
    [
        ({"other": {"A": "b"}}, {}, "other", "there is no endpoint other"),
        (SECRET, {"environment": {"LICENSE_KEY": "x"}}, "ranking.LICENSE_KEY", "leave it out there"),
        ({"ranking": {f"K{n}": "v" for n in range(99)}}, {}, "ranking", "at most 98"),
        ({"ranking": {f"K{n}": "v" * 1000 for n in range(10, 42)}}, {}, "ranking", "32096 bytes together; at most"),
        ({"ranking": {"K": ["hunter2"]}}, {}, "ranking.K", "is no Pulumi secret"),
        *(
            ({"ranking": {name: "hunter2"}}, {}, f"ranking.{name}", words)
            for name, words in (
                ("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME", "give the name there"),
                ("SAGEMAKER_TRITON_DISABLE_MODEL_NAMESPACING", "Give it in endpoints.ranking.environment"),
                ("SAGEMAKER_TRITON_OVERRIDE_PING_MODE", "Give it in endpoints.ranking.environment"),
                ("SAGEMAKER_MULTI_MODEL", "Give it in endpoints.ranking.environment"),
            )
        ),
    ],
)
def test_a_wrong_secret_is_refused_and_never_shown(value: Any, keys: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(secretly(value, **keys), "triton-sagemaker", {"triton-sagemaker:secretEnvironment"})
    (problem,) = caught.value.problems
    assert problem.key == f"triton-sagemaker:secretEnvironment.{key}"
    assert words in problem.message
    assert "hunter2" not in problem.message


@pytest.mark.parametrize("value", [{"secret": "hunter2"}, ["hunter2"], None, 7])
def test_what_is_no_secret_is_told_once_with_a_command_for_its_variable(value: Any) -> None:
    config = changed("secretEnvironment", {"ranking": {"LICENSE_KEY": value}})
    texts = {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()}
    for secret in ((), ("triton-sagemaker:secretEnvironment",)):
        with pytest.raises(ConfigurationError) as caught:
            load(texts, "triton-sagemaker", secret, stack="prod")
        (problem,) = caught.value.problems
        assert str(problem) == (
            "triton-sagemaker:secretEnvironment.ranking.LICENSE_KEY: is no Pulumi secret, which stands as {secure: …}, "
            "encrypted. Take it out and type: pulumi config set --secret -s prod --path "
            "'triton-sagemaker:secretEnvironment.ranking.LICENSE_KEY' [plaintext-secret]"
        )


@pytest.mark.parametrize("value", ["hunter2", {"LICENSE_KEY": "hunter2"}, {"ranking": None}, ["hunter2"]])
def test_variables_without_their_endpoint_are_told_once_and_never_shown(value: Any) -> None:
    ((key, message),) = problems(changed("secretEnvironment", value)).items()
    assert "must be a mapping of keys to values" in message
    assert message.endswith(
        "`pulumi config set --secret --path 'triton-sagemaker:secretEnvironment.ENDPOINT.VARIABLE'`."
    )
    assert "hunter2" not in key + message


def test_no_secret_at_all_is_none_in_plain_text() -> None:
    assert settings(changed("secretEnvironment", {"ranking": {}})).secret_environment == {"ranking": {}}


def test_a_hint_shows_nothing_of_what_may_be_secret() -> None:
    config = changed("endpoints.ranking.release", {"strategy": "Canary", "percent": 10, "bakeSeconds": "15m"})
    texts = {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()}
    with pytest.raises(ConfigurationError) as caught:
        load(texts, "triton-sagemaker", {"triton-sagemaker:endpoints"})
    strategy, bake = caught.value.problems
    assert strategy.message == "the value is none of 'allAtOnce', 'canary', 'linear', 'rolling'."
    assert bake.message.startswith("the value: must be a valid integer. Seconds")


@pytest.mark.parametrize("value", ["TOKEN=hunter2", {"KEY": "hunter2" * 200}, {"KEY": 7, "hunter2": {}}])
def test_what_an_environment_holds_is_never_shown(value: Any) -> None:
    found = problems(changed("endpoints.ranking.environment", value))
    assert found
    assert "hunter2" not in "".join(found.values())


@pytest.mark.parametrize("written", ["m5.xlarge", "ml.m5.Xlarge", "ML.M5.XLARGE"])
def test_a_type_that_is_nearly_right_is_recognized(written: str) -> None:
    (message,) = problems(changed("endpoints.ranking.instanceType", written)).values()
    assert "Did you mean ml.m5.xlarge?" in message


def test_an_offset_is_no_time_zone() -> None:
    window = {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "UTC+9", "reason": "weekend"}
    (message,) = problems(changed("freezeWindows", [window])).values()
    assert message == "'UTC+9' is no IANA time zone. Give one such as Asia/Tokyo."
