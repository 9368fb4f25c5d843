"""The request in the first record of a transform job, to check it against the model before the job starts."""

from __future__ import annotations

import json
import re

from infra.invocation.message import JSON, InferenceRequest, InvalidRequest
from infra.invocation.transform_input import TransformInput

_KEYS = re.compile(r"\$(\.[A-Za-z_]\w*)*")
"""The JSONPaths that are evaluated here: keys of objects."""


def first_request(
    records: TransformInput, by_line: bool, max_payload_mb: int, input_filter: str | None
) -> tuple[InferenceRequest | None, str]:
    """The request in the first record, and where it is; None if only SageMaker can evaluate the filter.

    Args:
        by_line: whether a record is a line; else it is a whole object.
        input_filter: the JSONPath of the request in a record.

    Raises:
        InvalidTransform: the record is empty or too large.
        InvalidRequest: the record is not a JSON request, or the filter selects nothing in it.
    """
    record, source = records.first_record(by_line, max_payload_mb)
    request = InferenceRequest.parse(record, source)
    if by_line and request.content_type != JSON:
        raise InvalidRequest(f"{source} has text after its JSON. A line must be one JSON request.")
    if input_filter is None:
        return request, source
    if not _KEYS.fullmatch(input_filter):
        return None, source
    selected = request.header
    for key in input_filter.split(".")[1:]:
        if not isinstance(selected, dict) or key not in selected:
            raise InvalidRequest(f"{source}: --input-filter {input_filter} selects nothing, because it has no {key}.")
        selected = selected[key]
    return InferenceRequest.parse(json.dumps(selected).encode(), source), f"{source}, {input_filter}"
