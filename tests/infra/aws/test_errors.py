"""Errors of AWS: what did not exist, was not allowed or was not reached, and what to do then."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from infra.aws.errors import refused


def _answer(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "HeadObject")


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (_answer("404"), "s3://b/k does not exist", ""),
        (_answer("403"), "HeadObject was refused: 403", "python -m infra policy"),
        (_answer("ExpiredToken"), "ExpiredToken", "credentials"),
        (_answer("ThrottlingException"), "ThrottlingException", ""),
        (EndpointConnectionError(endpoint_url="https://x"), "could not reach AWS", ""),
        (NoCredentialsError(), "Unable to locate credentials", "AWS_PROFILE"),
    ],
)
def test_an_error_names_the_resource_and_what_to_do(error: Exception, words: str, hint: str) -> None:
    shown = refused("s3://b/k", error)
    assert str(shown).startswith("s3://b/k")
    assert words in str(shown)
    assert hint in shown.hint and bool(hint) is bool(shown.hint)
