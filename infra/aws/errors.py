"""Errors of AWS, shown with the operation and the resource."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSOError,
)

from infra.errors import UserError

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
"""Codes of calls that the credentials may not make."""

_EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired", "UnrecognizedClientException"}
)
_RENEW = "Set or renew the AWS credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)."
_POLICIES = "`python -m infra policy PRINCIPAL -s STACK{}` prints the policies that a principal requires."
_NOT_FOUND = "404"
"""Of a HEAD request, whose answer has no other code."""


class AwsRequestRefused(UserError):
    """A call to AWS failed. The message names the resource, the operation, and AWS's code and message."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def code(error: ClientError) -> str:
    """AWS's error code, such as `AccessDenied`; for a HEAD request, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refused(resource: str, error: Exception, policy_option: str = "") -> AwsRequestRefused:
    """The error to show for an error of boto3 about `resource`.

    Args:
        policy_option: the option with which `policy` permits the call, if it requires one.
    """
    if isinstance(error, ClientError):
        if code(error) == _NOT_FOUND:
            return AwsRequestRefused(f"{resource} does not exist ({error.operation_name})")
        message = error.response.get("Error", {}).get("Message")
        hint = _POLICIES.format(f" {policy_option}".rstrip()) if code(error) in DENIED else ""
        return AwsRequestRefused(
            f"{resource}: {error.operation_name} was refused: {code(error)}: {message}",
            _RENEW if code(error) in _EXPIRED else hint,
        )
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return AwsRequestRefused(f"{resource}: could not reach AWS: {error}")
    without = isinstance(error, (CredentialRetrievalError, NoCredentialsError, ProfileNotFound, SSOError))
    return AwsRequestRefused(f"{resource}: {error}", _RENEW if without else "")


@contextlib.contextmanager
def aws_calls(resource: str, policy_option: str = "") -> Iterator[None]:
    """Raise every error of boto3 (an error response, missing credentials, no network) as one about `resource`.

    Args:
        policy_option: see `refused`.

    Raises:
        AwsRequestRefused: naming the resource.
    """
    try:
        yield
    except _boto3_errors() as error:
        raise refused(resource, error, policy_option) from None


def _boto3_errors() -> tuple[type[Exception], ...]:
    """Only evaluated after an error: the import of boto3 is slower than the validation of a stack file."""
    from boto3.exceptions import Boto3Error

    return ClientError, BotoCoreError, Boto3Error
