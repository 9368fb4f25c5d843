"""Documents are evaluated by IAM's rules (IAM guide, "Policy evaluation logic", "IAM JSON policy elements")."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.aws.policy import Verdict, evaluate

OBJECT = "arn:aws:s3:::models/a/b"


def statement(**elements: Any) -> dict[str, Any]:
    plain = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}
    return {"Statement": [{key: value for key, value in {**plain, **elements}.items() if value is not None}]}


def verdict(document: dict[str, Any], action: str = "s3:GetObject", resource: str = OBJECT, **keys: str) -> Verdict:
    return evaluate([document], action, resource, {key.replace("_", ":"): value for key, value in keys.items()})


@pytest.mark.parametrize(
    ("elements", "action", "resource", "allowed"),
    [
        ({}, "s3:GetObject", OBJECT, True),
        ({}, "s3:getobject", OBJECT, True),  # actions are not case-sensitive, resources are
        ({}, "s3:GetObject", OBJECT.replace("models", "Models"), False),
        ({}, "s3:GetObjectVersion", OBJECT, False),
        ({"Action": "s3:Get*"}, "s3:GetObjectVersion", OBJECT, True),
        ({"Action": ["s3:Put?bject"]}, "s3:PutObject", OBJECT, True),
        ({"Resource": "arn:aws:s3:::models-???????"}, "s3:GetObject", "arn:aws:s3:::models-1a2b3c4", True),
        ({"Resource": "arn:aws:s3:::models-???????"}, "s3:GetObject", "arn:aws:s3:::models-eu-1a2b3c4", False),
        ({"Resource": "*"}, "s3:GetObject", "*", True),
        ({}, "s3:GetObject", "*", False),
        ({"Action": None, "NotAction": "s3:Put*"}, "s3:GetObject", OBJECT, True),
        ({"Action": None, "NotAction": "s3:Get*"}, "s3:GetObject", OBJECT, False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::other/*"}, "s3:GetObject", OBJECT, True),
        ({"Resource": None, "NotResource": "arn:aws:s3:::models/*"}, "s3:GetObject", OBJECT, False),
        # a wildcard does not reach beyond the colon of its part
        ({"Resource": "arn:aws:s3:*"}, "s3:GetObject", OBJECT, False),
    ],
)
def test_actions_and_resources(elements: dict[str, Any], action: str, resource: str, allowed: bool) -> None:
    assert (verdict(statement(**elements), action, resource) is Verdict.ALLOWED) is allowed


@pytest.mark.parametrize(
    ("condition", "keys", "allowed"),
    [
        ({"StringEquals": {"aws:x": ["a", "b"]}}, {"aws_x": "b"}, True),
        ({"StringEquals": {"aws:X": "a"}}, {"aws_x": "a"}, True),  # names of keys are not case-sensitive
        ({"StringEquals": {"aws:x": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:x": "a"}}, {}, True),
        ({"StringNotEquals": {"aws:x": "a"}}, {}, True),
        ({"StringNotEquals": {"aws:x": "a"}}, {"aws_x": "a"}, False),
        ({"StringLike": {"aws:x": "s3.*"}}, {"aws_x": "s3.eu.amazonaws.com"}, True),
        ({"ArnEquals": {"aws:x": "arn:aws:ec2:r:*:subnet/s"}}, {"aws_x": "arn:aws:ec2:r:1:subnet/s"}, True),
        ({"Bool": {"aws:x": "false"}}, {"aws_x": "true"}, False),
        ({"ForAllValues:StringEquals": {"aws:x": "a"}}, {}, True),
        ({"ForAllValues:StringEquals": {"aws:x": "a"}}, {"aws_x": "b"}, False),
        ({"ForAnyValue:StringEquals": {"aws:x": "a"}}, {}, False),
        ({"Null": {"aws:x": "true"}}, {}, True),
        ({"Null": {"aws:x": "true"}}, {"aws_x": "a"}, False),
        ({"StringEquals": {"aws:x": "a"}, "Bool": {"aws:y": "true"}}, {"aws_x": "a", "aws_y": "false"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], keys: dict[str, str], allowed: bool) -> None:
    assert (verdict(statement(Condition=condition), **keys) is Verdict.ALLOWED) is allowed


def test_deny_overrides_allow_and_nothing_is_allowed_by_itself() -> None:
    allow, deny = statement(), statement(Effect="Deny", Resource=OBJECT)
    assert evaluate([allow, deny], "s3:GetObject", OBJECT) is Verdict.DENIED
    assert evaluate([allow, deny], "s3:GetObject", f"{OBJECT}c") is Verdict.ALLOWED
    assert evaluate([], "s3:GetObject", OBJECT) is Verdict.NOT_ALLOWED


def test_an_operator_that_is_not_known_is_not_passed_over() -> None:
    with pytest.raises(NotImplementedError, match="DateGreaterThan"):
        verdict(statement(Condition={"DateGreaterThan": {"aws:x": "2026"}}), aws_x="2027")
