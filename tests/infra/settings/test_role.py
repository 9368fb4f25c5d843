"""The rules of the execution role's settings, of the volumes' key and of network isolation."""

from __future__ import annotations

from typing import Any

import pytest

from infra.diagnostics.problem import ConfigurationError
from tests.infra.mock_runtime import stack_file
from tests.infra.policies.stack_settings import KEY, settings

ARN = "arn:aws:iam::123456789012:role/platform/triton-serving"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
READ = {"actions": ["secretsmanager:GetSecretValue"], "resources": ["arn:aws:secretsmanager:*:123456789012:secret:a"]}
ENDPOINT = stack_file("prod")["triton-sagemaker:endpoints"]["sagemaker-endpoint"]


def refused(**sections: Any) -> list[tuple[str, str]]:
    """The wrong keys and the rules that they break."""
    with pytest.raises(ConfigurationError) as error:
        settings(**sections)
    return [(problem.key.removeprefix("triton-sagemaker:"), problem.rule) for problem in error.value.problems]


@pytest.mark.parametrize(
    "role",
    [
        {"arn": ARN},
        {"arn": "arn:aws-cn:iam::123456789012:role/x"},
        {"permissionsBoundary": BOUNDARY},
        {"permissionsBoundary": "arn:aws:iam::aws:policy/PowerUserAccess", "name": "x"},
        {"statements": [READ, {"actions": ["bedrock:ListFoundationModels"], "resources": ["*"]}]},
        {"statements": [{"actions": ["s3:Get*"], "resources": ["arn:aws:s3:::features/*"]}]},
    ],
)
def test_a_role_is_made_with_these_settings(role: dict[str, Any]) -> None:
    settings(role=role)


@pytest.mark.parametrize(
    ("role", "key", "rule"),
    [
        ({"name": "a role"}, "role.name", "wrong-form"),
        ({"arn": "triton-serving"}, "role.arn", "out-of-range"),
        ({"arn": "arn:aws:iam::123456789012:user/x"}, "role.arn", "wrong-form"),
        ({"arn": ARN, "name": "x"}, "role.arn", "arn-with-other-keys"),
        ({"arn": ARN, "permissionsBoundary": BOUNDARY}, "role.arn", "arn-with-other-keys"),
        ({"arn": ARN, "statements": [READ]}, "role.arn", "arn-with-other-keys"),
        ({"permissionsBoundary": "PowerUserAccess"}, "role.permissionsBoundary", "out-of-range"),
        ({"permissionsBoundary": ARN}, "role.permissionsBoundary", "wrong-form"),
        ({"statements": [READ | {"actions": ["*"]}]}, "role.statements[0].actions[0]", "wrong-form"),
        ({"statements": [READ | {"actions": ["secretsmanager:*"]}]}, "role.statements[0].actions[0]", "wrong-form"),
        ({"statements": [READ | {"actions": []}]}, "role.statements[0].actions", "out-of-range"),
        ({"statements": [READ | {"resources": ["secret"]}]}, "role.statements[0].resources[0]", "wrong-form"),
        (
            {"statements": [{"actions": ["s3:Get*"], "resources": ["*"]}]},
            "role.statements[0].resources",
            "pattern-on-all-resources",
        ),
        ({"statements": [READ] * 20}, "role.statements", "statements-too-long"),
    ],
)
def test_a_wrong_role_is_refused(role: dict[str, Any], key: str, rule: str) -> None:
    assert refused(role=role) == [(key, rule)]


def test_an_adopted_role_is_changed_and_one_with_an_arn_is_not() -> None:
    assert refused(role={"arn": ARN}, adopt={"role": True}) == [("adopt.role", "adopted-role-with-arn")]


@pytest.mark.parametrize("instance_type", ["ml.g5.xlarge", "ml.c5d.xlarge", "ml.p4d.24xlarge"])
def test_a_key_is_for_volumes_and_not_for_local_disks(instance_type: str) -> None:
    of_volumes = {"e": ENDPOINT | {"volumeKmsKeyArn": KEY}}
    assert settings(endpoints=of_volumes).volume_key_arns == [KEY]
    local = {"e": ENDPOINT | {"volumeKmsKeyArn": KEY, "instanceType": instance_type}}
    assert refused(endpoints=local) == [("endpoints.e.volumeKmsKeyArn", "kms-key-for-local-disks")]


def test_a_key_of_volumes_is_of_the_stacks_region() -> None:
    other = KEY.replace("ap-northeast-1", "us-east-1")
    endpoints = {"e": ENDPOINT | {"volumeKmsKeyArn": other}}
    assert refused(endpoints=endpoints) == [("endpoints.e.volumeKmsKeyArn", "volume-key-region")]
