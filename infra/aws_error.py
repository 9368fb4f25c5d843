"""Errors of AWS, shown with the operation and the resource they are about."""

from __future__ import annotations

from botocore.exceptions import ClientError


class AwsRequestRefused(Exception):
    """AWS refused a call. The message names the resource, the operation, and AWS's code and words."""

    def __init__(self, resource: str, error: ClientError) -> None:
        answer = error.response.get("Error", {})
        words = f"{answer.get('Code', 'unknown error')}: {answer.get('Message', '')}"
        super().__init__(f"{resource}: {error.operation_name} was refused: {words}")


def code(error: ClientError) -> str:
    """AWS's error code, such as `AccessDenied`; for HEAD requests, which carry no body, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))
