"""Errors of a container in its own words."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from infra.invocation.container_error import container_words

RAISED = (  # what Triton 2.51 answers for a Python model that raises
    '{"error":"Failed to process the request(s) for model \'textlen_0\', message: ValueError: boom\\n\\nAt:\\n'
    '  /opt/ml/model/textlen/1/model.py(9): execute\\n"}'
)


def model_error(body: str, status: int = 500) -> ClientError:
    """What InvokeEndpoint makes of a container's error."""
    message = f'Received server error ({status}) from AllTraffic with message "{body}". See https://… for more.'
    answer: Any = {
        "Error": {"Code": "ModelError", "Message": message},
        "OriginalMessage": body,
        "OriginalStatusCode": status,
    }
    return ClientError(answer, "InvokeEndpoint")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (RAISED, "ValueError: boom (model.py:9)"),
        ('{"error":"no weights"}', "no weights"),
        ("upstream\nis gone", "upstream is gone"),
        ('{"error": "\\u001b[31mred"}', "\\x1b[31mred"),
    ],
)
def test_the_containers_own_words_are_shown_in_one_line(body: str, shown: str) -> None:
    assert container_words(model_error(body)) == shown


def test_without_them_those_of_aws_are_shown() -> None:
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "InvokeEndpoint")
    assert "AccessDenied" in container_words(error)
    assert "timeout" in container_words(ReadTimeoutError(endpoint_url="http://127.0.0.1:1"))
