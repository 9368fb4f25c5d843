"""Every rule of what is adopted: what is refused, under which key, and with which way out."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.infra.test_settings import VALID, problems, settings

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


def test_nothing_is_adopted_unless_it_is_asked_for() -> None:
    adopt = settings(VALID).adopt
    assert not any(adopt.model_dump().values())


def test_an_endpoint_of_a_fixed_size_needs_no_policy_name() -> None:
    config = adopting({"endpoints": ["ranking"]})
    del config["triton-sagemaker:endpoints"]["ranking"]["autoscaling"]
    assert settings(config).adopt.endpoints == ["ranking"]


@pytest.mark.parametrize(
    ("config", "key", "words"),
    [
        (
            adopting({"bucket": True}, changes={"triton-sagemaker:bucket": {}}),
            "adopt.bucket",
            "Give its name as bucket.name",
        ),
        (adopting({"role": True}, changes={"triton-sagemaker:role": {}}), "adopt.role", "Give its name as role.name"),
        (adopting({"bucketPolicy": True}), "adopt.bucket", "Set it to true"),
        (adopting({"bucketLifecycle": True}), "adopt.bucket", "Set it to true"),
        (adopting({"endpoints": ["rankings"]}), "adopt.endpoints", "no such key below endpoints, which has ranking."),
        (adopting({"endpoints": ["ranking"]}, policy_name=None), "adopt.endpoints", "without autoscaling.policyName"),
        (adopting({"endpoint": ["ranking"]}), "adopt.endpoint", "did you mean endpoints?"),
    ],
)
def test_what_could_not_be_adopted_is_refused_with_the_way_out(config: dict[str, Any], key: str, words: str) -> None:
    ((found, message),) = problems(config).items()
    assert found == f"triton-sagemaker:{key}"
    assert words in message


@pytest.mark.parametrize("name", ["", "a\tb", "x" * 256])
def test_a_name_that_no_scaling_policy_has_is_refused(name: str) -> None:
    (key,) = problems(adopting({}, policy_name=name))
    assert key == "triton-sagemaker:endpoints.ranking.autoscaling.policyName"


def test_scalable_targets_are_adopted_with_their_endpoints_only() -> None:
    ((key, message),) = problems(adopting({"autoscaling": True})).items()
    assert key == "triton-sagemaker:adopt.autoscaling"
    assert "endpoints names none" in message
