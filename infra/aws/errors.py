"""Errors of AWS, shown with the operation and the resource they are about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import UserError


class AwsRequestRefused(UserError):
    """A call to AWS did not work out. The message names the resource, the operation, and AWS's code and words."""

    exit_code = 2


def code(error: ClientError) -> str:
    """AWS's error code, such as `AccessDenied`; for HEAD requests, which carry no body, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refused(resource: str, error: Exception) -> AwsRequestRefused:
    """What a person is shown of an error of boto3 about `resource`."""
    if isinstance(error, ClientError):
        words = error.response.get("Error", {})
        return AwsRequestRefused(
            f"{resource}: {error.operation_name} was refused: {words.get('Code')}: {words.get('Message')}"
        )
    return AwsRequestRefused(f"{resource}: AWS could not be asked: {error}")


@contextlib.contextmanager
def aws_calls(resource: str) -> Iterator[None]:
    """Shows every error of boto3 inside (refusals, no credentials, no network) as one about `resource`."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        raise refused(resource, error) from None
