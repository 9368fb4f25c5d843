"""What a policy document says of a request, by IAM's rules (IAM guide, "Policy evaluation logic" and "IAM JSON policy
elements").

moto's own evaluation (`moto.iam.access_control`) does not know `?` in a resource, and gets no condition keys where it
evaluates the policy of a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, str]
"""The request's condition keys, each with one value."""


class Verdict(Enum):
    """What documents say of a request: what is not allowed is denied, and Deny overrides Allow."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "implicitly denied"
    DENIED = "explicitly denied"


def evaluate(documents: Iterable[Document], action: str, resource: str, context: Context | None = None) -> Verdict:
    """The verdict on a request.

    Args:
        action: such as `s3:PutObject`.
        resource: its ARN; `*` for an action that has no resource.

    Raises:
        NotImplementedError: a condition has an operator that is not known here.
    """
    keys = {key.lower(): value for key, value in (context or {}).items()}
    statements = (each for document in documents for each in _list(document["Statement"]))
    effects = {each["Effect"] for each in statements if _applies(each, action, resource, keys)}
    if "Deny" in effects:
        return Verdict.DENIED
    return Verdict.ALLOWED if "Allow" in effects else Verdict.NOT_ALLOWED


def _applies(statement: Mapping[str, Any], action: str, resource: str, keys: Context) -> bool:
    """`Principal` is not looked at: the document's is the one who asks."""
    actions = _list(statement.get("Action", statement.get("NotAction")))
    resources = _list(statement.get("Resource", statement.get("NotResource")))
    return (
        any(_like(pattern.lower(), action.lower()) for pattern in actions) != ("NotAction" in statement)
        and any(_arn_like(pattern, resource) for pattern in resources) != ("NotResource" in statement)
        and all(
            _holds(operator, _list(wanted), keys.get(key.lower()))
            for operator, conditions in statement.get("Condition", {}).items()
            for key, wanted in conditions.items()
        )
    )


def _holds(operator: str, wanted: list[str], given: str | None) -> bool:
    """Whether a condition holds; one on a key that the request does not have holds for `Null`, `ForAllValues` and
    negations."""
    quantifier, _, operator = operator.rpartition(":")
    if operator == "Null":
        return (given is None) == (wanted == ["true"])
    if quantifier == "ForAllValues" and given is None:
        return True
    name = operator.removesuffix("IfExists")
    negated = "Not" in name
    compare = _COMPARISONS.get(name.replace("Not", ""))
    if compare is None:
        raise NotImplementedError(f"the condition operator {operator}")
    if given is None:
        return negated or name != operator
    return any(compare(each, given) for each in wanted) != negated


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(each) or re.escape(each) for each in text), re.DOTALL)


def _like(pattern: str, value: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None


def _arn_like(pattern: str, arn: str) -> bool:
    """Part by part: a wildcard in one of the first five parts does not reach beyond its colon."""
    if pattern == "*":
        return True
    wanted, given = pattern.split(":", 5), arn.split(":", 5)
    return len(wanted) == len(given) and all(map(_like, wanted, given))


_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": lambda wanted, given: wanted.lower() == given.lower(),
}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
