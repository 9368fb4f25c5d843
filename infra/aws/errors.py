"""Errors of AWS, shown with the operation and the resource."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import UserError


class AwsRequestRefused(UserError):
    """A call to AWS failed. The message names the resource, the operation, and AWS's code and message."""

    exit_code = 2


def code(error: ClientError) -> str:
    """AWS's error code, such as `AccessDenied`; for a HEAD request, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refused(resource: str, error: Exception) -> AwsRequestRefused:
    """The error to show for an error of boto3 about `resource`."""
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return AwsRequestRefused(
            f"{resource}: {error.operation_name} was refused: {answer.get('Code')}: {answer.get('Message')}"
        )
    return AwsRequestRefused(f"{resource}: could not reach AWS: {error}")


@contextlib.contextmanager
def aws_calls(resource: str) -> Iterator[None]:
    """Raise every error of boto3 (an error response, missing credentials, no network) as one about `resource`.

    Raises:
        AwsRequestRefused: naming the resource.
    """
    try:
        yield
    except _boto3_errors() as error:
        raise refused(resource, error) from None


def _boto3_errors() -> tuple[type[Exception], ...]:
    """Only evaluated after an error: the import of boto3 is slower than the validation of a stack file."""
    from boto3.exceptions import Boto3Error

    return ClientError, BotoCoreError, Boto3Error
