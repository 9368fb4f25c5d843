"""The request in the first record of a transform job, to check it against the model before the job starts."""

from __future__ import annotations

import json
import re

from infra.invocation.message import JSON, InferenceRequest, InvalidRequest
from infra.invocation.transform_input import InvalidTransform, TransformInput
from infra.invocation.transform_request import DataProcessing

_KEYS = re.compile(r"\$(\.[A-Za-z][A-Za-z0-9]*)*")
"""The JSONPaths that are evaluated here: keys of objects."""


def first_request(
    records: TransformInput, processing: DataProcessing, max_payload_mb: int
) -> tuple[InferenceRequest | None, str]:
    """The request in the first record, and where it is; None if only SageMaker can evaluate the filter.

    Raises:
        InvalidTransform: the record is empty or too large.
        InvalidRequest: the record is not a request in a form that the job accepts, or the filter selects nothing in it.
    """
    record, source = records.first_record(processing.by_line, max_payload_mb)
    request = InferenceRequest.parse(record, source)
    if request.content_type != JSON and processing.by_line:
        raise InvalidRequest(f"{source} has text after its JSON. A line must be one JSON request.")
    if request.content_type != JSON and processing.options:
        raise InvalidRequest(
            f"{source} has data after its JSON, and SageMaker applies {', '.join(processing.options)} to JSON alone "
            "(CreateTransformJob, DataProcessing). Remove the option, or send JSON."
        )
    if (input_filter := processing.input_filter) is None:
        return request, source
    if not _KEYS.fullmatch(input_filter):
        return None, source
    selected = request.header
    for key in input_filter.split(".")[1:]:
        if not isinstance(selected, dict) or key not in selected:
            raise InvalidRequest(
                f"{source}: the record has no {key}, so --input-filter {input_filter} selects nothing. Correct the "
                "filter or the record."
            )
        selected = selected[key]
    return InferenceRequest.parse(json.dumps(selected).encode(), source), f"{source}, {input_filter}"


def require_one_content_type(records: TransformInput, content_type: str) -> None:
    """Require that the whole files of a job have the content type that SageMaker sends with all of them.

    Raises:
        InvalidTransform: one has another.
        InvalidRequest: one is not a request.
    """
    for entry in records.objects:
        found = InferenceRequest.parse(entry.head(entry.size), entry.source).content_type
        if found != content_type:
            raise InvalidTransform(
                f"{entry.source} is {found}, and {records.objects[0].source} is {content_type}: a job has one content "
                "type (CreateTransformJob, TransformInput). Run a job for each."
            )
