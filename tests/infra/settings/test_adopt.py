from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.infra.settings.config import VALID, broken, settings, warnings

NAMED = {"triton-sagemaker:bucket": {"name": "models"}, "triton-sagemaker:role": {"name": "execution-role"}}


def adopting(
    adopt: dict[str, Any], policy_name: str | None = "invocations", changes: dict[str, Any] | None = None
) -> dict[str, Any]:
    config = deepcopy(VALID)
    if policy_name is not None:
        config["triton-sagemaker:endpoints"]["ranking"]["autoscaling"]["policyName"] = policy_name
    return {**config, **NAMED, "triton-sagemaker:adopt": adopt, **(changes or {})}


def test_everything_that_has_a_name_is_adopted() -> None:
    everything = dict.fromkeys(("bucket", "bucketPolicy", "bucketLifecycle", "repository", "role", "autoscaling"), True)
    adopt = settings(adopting({**everything, "endpoints": ["ranking"]})).adopt
    assert adopt.model_dump(by_alias=True) == {**everything, "endpoints": ["ranking"]}


def test_objects_that_the_lifecycle_rules_would_remove_from_an_adopted_bucket_are_a_warning() -> None:
    assert [warning.rule for warning in warnings(adopting({"bucket": True}))] == ["adopted-bucket-expiration"]
    assert warnings(adopting({})) == []


def test_nothing_is_adopted_unless_it_is_asked_for() -> None:
    adopt = settings(VALID).adopt
    assert not any(adopt.model_dump().values())


def test_an_endpoint_of_a_fixed_size_needs_no_policy_name() -> None:
    config = adopting({"endpoints": ["ranking"]})
    del config["triton-sagemaker:endpoints"]["ranking"]["autoscaling"]
    assert settings(config).adopt.endpoints == ["ranking"]


@pytest.mark.parametrize(
    ("config", "key", "rule"),
    [
        (
            adopting({"bucket": True}, changes={"triton-sagemaker:bucket": {}}),
            "adopt.bucket",
            "adopted-bucket-without-name",
        ),
        (adopting({"role": True}, changes={"triton-sagemaker:role": {}}), "adopt.role", "adopted-role-without-name"),
        (adopting({"bucketPolicy": True}), "adopt.bucket", "adopted-bucket-parts-without-bucket"),
        (adopting({"bucketLifecycle": True}), "adopt.bucket", "adopted-bucket-parts-without-bucket"),
        (adopting({"endpoints": ["rankings"]}), "adopt.endpoints", "adopted-endpoint-unknown"),
        (adopting({"endpoints": ["ranking"]}, policy_name=None), "adopt.endpoints", "adopted-policy-without-name"),
        (adopting({"endpoint": ["ranking"]}), "adopt.endpoint", "unknown-key"),
        (adopting({"autoscaling": True}), "adopt.autoscaling", "adopted-autoscaling-without-endpoints"),
    ],
)
def test_a_resource_that_cannot_be_adopted_is_refused(config: dict[str, Any], key: str, rule: str) -> None:
    assert broken(config) == [(key, rule)]


@pytest.mark.parametrize("name", ["", "a\tb", "x" * 256])
def test_an_invalid_name_of_a_scaling_policy_is_refused(name: str) -> None:
    ((key, _),) = broken(adopting({}, policy_name=name))
    assert key == "endpoints.ranking.autoscaling.policyName"
