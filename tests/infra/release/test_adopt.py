"""Endpoints that no stack made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.release.failure import EndpointNotOwned, ReleaseFailed
from infra.release.request import OWNER_TAG
from tests.infra.release.fake_aws import NEW, OLD, ROLLING_BACK, UPDATING, SageMaker, release, request

ADOPTING = replace(request(), adopt=True)
CLOUDFORMATION = {"aws:cloudformation:stack-name": "ranking", "Team": "ml"}


def cloudformations(*now: dict[str, Any], updated: list[Any] | None = None) -> SageMaker:
    sagemaker = SageMaker(*now, updated=updated, owner="")
    sagemaker.tags = dict(CLOUDFORMATION)
    return sagemaker


def test_an_adopted_endpoint_is_updated_then_tagged_and_its_other_tags_stay() -> None:
    sagemaker, said = cloudformations(OLD, updated=[UPDATING, NEW]), list[str]()
    assert release(sagemaker, said).release(ADOPTING).serves("new")
    assert sagemaker.operations == ["update", "tag"]
    assert sagemaker.calls[0][1]["RetainAllVariantProperties"] is True
    assert sagemaker.tags == {**CLOUDFORMATION, OWNER_TAG: "p/s", "CostEnv": "prod"}
    assert said[0] == "e: adopting the existing endpoint, which serves old"


def test_an_adoption_that_is_rolled_back_leaves_the_endpoint_to_nobody() -> None:
    sagemaker = cloudformations(OLD, updated=[UPDATING, ROLLING_BACK, OLD])
    with pytest.raises(ReleaseFailed, match="old is live and answers as before"):
        release(sagemaker, []).release(ADOPTING)
    assert sagemaker.operations == ["update"]
    assert sagemaker.tags == CLOUDFORMATION


def test_an_interrupted_adoption_is_attached_to() -> None:
    sagemaker = cloudformations(UPDATING, NEW)
    assert release(sagemaker, []).release(ADOPTING).serves("new")
    assert sagemaker.operations == ["tag"]


def test_an_endpoint_of_another_stack_is_not_adopted() -> None:
    sagemaker = SageMaker(OLD, owner="p/other")
    with pytest.raises(EndpointNotOwned, match="belongs to stack p/other, not to p/s") as refused:
        release(sagemaker, []).release(ADOPTING)
    assert "adopt" not in str(refused.value)
    assert sagemaker.operations == []


def test_who_meets_an_endpoint_of_nobody_is_told_how_to_adopt_it() -> None:
    sagemaker = cloudformations(OLD)
    with pytest.raises(EndpointNotOwned, match=r"has no tag .* adopt it with adopt\.endpoints: \[e\]"):
        release(sagemaker, []).release(request())
    assert sagemaker.operations == []


def test_an_endpoint_of_nobody_is_not_deleted() -> None:
    sagemaker = cloudformations(OLD)
    with pytest.raises(EndpointNotOwned):
        release(sagemaker, []).delete("e", "p/s", 600)
    assert sagemaker.operations == []
