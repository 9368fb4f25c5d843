"""Every key documents the source of its rule, and has the range of the API's shape that it names."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader

from infra.settings.reference import Key, by_section
from infra.settings.stack import Settings

KEYS = list(by_section().values())
SERVICES = {
    "Application Auto Scaling": "application-autoscaling",
    "Budgets": "budgets",
    "CloudWatch": "cloudwatch",
    "CloudWatch Logs": "logs",
    "ECR": "ecr",
    "Firehose": "firehose",
    "IAM": "iam",
    "S3": "s3",
    "SNS": "sns",
    "SageMaker": "sagemaker",
}
SHAPE = re.compile(r"(?P<service>[A-Z][\w ]*) API (?P<shape>\w+)(?: \((?P<member>\w+)\))?")
OTHERS = re.compile(
    r"this project: |(AWS General Reference|AWS Deep Learning Containers|(SageMaker|S3|ECR|IAM) guide|Triton( docs)?"
    r"|Datadog docs|Pulumi docs|github\.com/distribution/reference|crontab\(5\)), |IANA Time Zone Database$"
)
UNITS = r"dollars|releases|seconds|minutes?|days|percent|milliseconds|gb|mb|instances|invocations|requests|share"


def named(key: Key) -> str:
    return f"{key.section.__name__}.{key.path[-1]}"


@cache
def shapes(service: str) -> dict[str, Any]:
    shapes_: dict[str, Any] = Loader().load_service_model(SERVICES[service], "service-2")["shapes"]
    return shapes_


@pytest.mark.parametrize("key", KEYS, ids=named)
def test_every_key_has_a_description_and_a_source(key: Key) -> None:
    assert key.description.strip()
    assert SHAPE.match(key.source) or OTHERS.match(key.source), key.source


def test_every_key_of_the_stack_says_what_a_change_does_for_itself_and_the_keys_below() -> None:
    for name, field in Settings.model_fields.items():
        assert isinstance(field.json_schema_extra, dict) and "effect" in field.json_schema_extra, name


@pytest.mark.parametrize("key", [key for key in KEYS if key.type in ("number", "integer")], ids=named)
def test_every_number_has_a_unit_in_its_name_or_its_description(key: Key) -> None:
    assert re.search(UNITS, f"{key.path[-1]} {key.description}".lower())


@pytest.mark.parametrize("key", [key for key in KEYS if SHAPE.match(key.source)], ids=named)
def test_a_shape_that_is_named_exists_and_has_the_keys_range(key: Key) -> None:
    source = SHAPE.match(key.source)
    assert source
    shape = shapes(source["service"])[source["shape"]]
    if source["member"]:
        assert source["member"] in shape["members"]
    if "this project: " not in key.source:
        assert key.range.startswith(written(shape.get("min"), shape.get("max"))), (key.range, shape)


def written(low: int | None, high: int | None) -> str:
    """A range as the documentation shows it; empty where the API has none."""
    if high is None:
        return "" if low is None else f"{low} or more"
    return f"{low} to {high}"


@pytest.mark.parametrize(
    ("section", "member", "key"),
    [
        ("Canary", "CanarySize", "1 to 50"),
        ("Linear", "LinearStepSize", "10 to 50"),
        ("Rolling", "MaximumBatchSize", "5 to 50"),
    ],
)
def test_the_share_of_a_step_is_the_one_that_the_api_documents(section: str, member: str, key: str) -> None:
    """The API has one shape for all of them, and documents their ranges in words."""
    percent = by_section()[section, "percent"]
    source = SHAPE.match(percent.source)
    assert source and source["member"] == member and percent.range == key
    text = shapes("SageMaker")[source["shape"]]["members"][member]["documentation"]
    assert set(re.findall(r"(\d+)(?=%|-\d+%)", text)) == {number for number in key.split(" to ") if number != "1"}
