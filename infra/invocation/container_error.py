"""Why a container did not answer, in its own words."""

from __future__ import annotations

import contextlib
import json
import re

from botocore.exceptions import BotoCoreError, ClientError

from infra.diagnostics.printable import printable

_OF_MODEL = re.compile(r"^Failed to process the request\(s\) for model '[^']*', message: ")
_FRAME = re.compile(r"([^/\s]+)\((\d+)\): ")
"""How Triton's Python backend reports an exception: these words come before it, and its place after it."""


def container_words(error: BotoCoreError | ClientError) -> str:
    """What the container responded if it did, else AWS's message, in one line: `ValueError: boom (model.py:9)`."""
    answer = error.response.get("OriginalMessage") if isinstance(error, ClientError) else None
    return words(str(answer or error))


def words(text: str) -> str:
    """An error response of Triton in one line."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        text = str(json.loads(text)["error"])
    message, _, traceback = _OF_MODEL.sub("", text).partition("\n\nAt:\n")
    place = _FRAME.search(traceback)
    return printable(" ".join(message.split()) + (f" ({place[1]}:{place[2]})" if place else ""))
