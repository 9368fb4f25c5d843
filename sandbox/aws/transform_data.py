"""The data of a transform job: input objects as requests, and answers as output objects.

Developer guide, batch-transform and batch-transform-data-processing; API_CreateTransformJob, TransformInput,
TransformOutput and DataProcessing.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.jsonpath import Child, Fields, Index, JSONPath, Root, Slice
from jsonpath_ng.parser import parse

from sandbox.aws.protocol import invalid, not_in_sandbox

#: "The default value is 6 MB" (CreateTransformJob, MaxPayloadInMB).
DEFAULT_PAYLOAD_MB = 6

#: What ContentType and Accept must be for data processing (batch-transform-data-processing).
_JSON = ("application/json", "application/jsonlines")
_PROCESSABLE = ("text/csv", *_JSON)

#: What CreateTransformJob refuses in a JSONPath (https://github.com/aws/aws-sdk/issues/184); that its letters are those
#: of ASCII is inferred.
_UNEXPECTED = re.compile(r"[^A-Za-z0-9$\[\]*. ,:'-]")

MB = 1024 * 1024


class DataError(Exception):
    """An object that cannot be transformed; the message is for the data log of the job."""


class Path:
    """A JSONPath of the operators that SageMaker supports (batch-transform-data-processing, "Supported JSONPath
    Operators"), which is a filter of a record.
    """

    def __init__(self, text: str) -> None:
        """
        Raises:
            AwsError: it is not a JSONPath, or has operators that SageMaker does not support.
        """
        self._text = text
        if not text.startswith("$"):
            raise invalid(f"Invalid JSONPath '{text}': '$' is required at the beginning.")
        if unexpected := _UNEXPECTED.search(text):
            raise invalid(f"Unexpected \"{unexpected[0]}\" in JsonPath '{text}'.")
        try:
            self._path: JSONPath = parse(text)
        except JSONPathError as error:
            if "," in text and ":" in text:
                raise not_in_sandbox(f"the JSONPath {text}, which mixes indexes and slices,") from None
            raise invalid(f"Invalid JSONPath '{text}': {error}") from None
        node = self._path
        while isinstance(node, Child):
            if not isinstance(node.right, Fields | Index | Slice) and str(node.right) != "*":
                raise invalid(f"Invalid JSONPath '{text}': the operator {node.right} is not supported.")
            node = node.left
        if not isinstance(node, Root):
            raise invalid(f"Invalid JSONPath '{text}': the operator {type(node).__name__} is not supported.")

    @property
    def is_root(self) -> bool:
        return isinstance(self._path, Root)

    def __call__(self, value: Any) -> Any:
        """What it selects: of several names an object, of indexes, slices and wildcards an array, else the value.

        Raises:
            DataError: nothing, or not all of it, is in the value.
        """
        matches = self._path.find(value)
        last = self._path.right if isinstance(self._path, Child) else None
        names = last.fields if isinstance(last, Fields) else ()
        if len(names) > 1:
            selected = {str(match.path): match.value for match in matches}
            if set(selected) != set(names):
                raise DataError(f"JSONPath {self._text} does not match the record")
            return {name: selected[name] for name in names}
        indexes = len(last.indices) if isinstance(last, Index) else 1
        if isinstance(last, Slice) or str(last) == "*" or (indexes > 1 and len(matches) == indexes):
            return [match.value for match in matches]
        if indexes > 1 or len(matches) != 1:
            raise DataError(f"JSONPath {self._text} does not match the record")
        return matches[0].value


@dataclass(frozen=True)
class Processing:
    """DataProcessing: what of a record is asked, and what of record and answer is stored."""

    input_filter: Path
    output_filter: Path
    joins_input: bool
    content_type: str
    accept: str

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Processing:
        """From a CreateTransformJobRequest. Raises `AwsError` for a JSONPath, and for types it cannot be applied to."""
        settings = request.get("DataProcessing", {})
        processing = cls(
            Path(settings.get("InputFilter", "$")),
            Path(settings.get("OutputFilter", "$")),
            settings.get("JoinSource", "None") == "Input",
            request["TransformInput"].get("ContentType", ""),
            request["TransformOutput"].get("Accept", ""),
        )
        if not processing.is_plain:
            for member, kind in (("ContentType", processing.content_type), ("Accept", processing.accept)):
                if kind not in _PROCESSABLE:
                    raise invalid(f"{member} must be one of {', '.join(_PROCESSABLE)} with DataProcessing.")
        return processing

    @property
    def is_plain(self) -> bool:
        """Whether records and answers pass as they are."""
        return self.input_filter.is_root and self.output_filter.is_root and not self.joins_input

    def question(self, record: bytes) -> bytes:
        if self.input_filter.is_root:
            return record
        return _write(self.input_filter(_read(record, self.content_type)), self.content_type)

    def result(self, record: bytes, answer: bytes) -> bytes:
        """One record of the output, made of the unfiltered input record and the answer."""
        if self.output_filter.is_root and not self.joins_input:
            return answer
        value = _read(answer, self.accept)
        if self.joins_input:
            value = _joined(_read(record, self.content_type), value)
        return _write(self.output_filter(value), self.accept)


def _joined(record: Any, answer: Any) -> Any:
    """API_DataProcessing, JoinSource: rows are put together, an object gets its answer, any other JSON is wrapped."""
    if isinstance(record, Row) and isinstance(answer, Row):
        return Row([*record, *answer])
    if isinstance(record, dict):
        return {**record, "SageMakerOutput": answer}
    return {"SageMakerInput": record, "SageMakerOutput": answer}


class Row(list[str]):
    """A record of CSV: "each row is taken as a JSON array"."""


def _read(record: bytes, content_type: str) -> Any:
    kind = "JSON" if content_type in _JSON else "CSV"
    try:
        if kind == "JSON":
            return json.loads(record)
        (row,) = csv.reader(io.StringIO(record.decode()))
        return Row(row)
    except ValueError:
        raise DataError(f"Failed to parse {kind}: {record[:100].decode(errors='replace')}") from None


def _write(value: Any, content_type: str) -> bytes:
    if content_type in _JSON:
        return json.dumps(value, ensure_ascii=False).encode()
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(value if isinstance(value, list) else [value])
    return text.getvalue().encode()


@dataclass(frozen=True)
class Request:
    """One invocation: the records that it holds, and the body that asks for them."""

    records: Sequence[bytes]
    body: bytes


@dataclass(frozen=True)
class Layout:
    """How a job cuts input objects into requests, and puts answers together."""

    processing: Processing
    splits_lines: bool
    is_gzip: bool
    single_record: bool
    payload_limit: int | None
    assembles_lines: bool

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Layout:
        """From a CreateTransformJobRequest. Raises `AwsError` for what cannot be."""
        source, target = request["TransformInput"], request["TransformOutput"]
        split = source.get("SplitType", "None")
        if split not in ("None", "Line"):
            raise not_in_sandbox(f"SplitType {split}")
        limit = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)
        return cls(
            Processing.of(request),
            split == "Line",
            source.get("CompressionType", "None") == "Gzip",
            # "To enable the batch strategy, you must set the SplitType property"; logs show MULTI_RECORD by default
            # (aws/amazon-sagemaker-examples#3948).
            split == "None" or request.get("BatchStrategy", "MultiRecord") == "SingleRecord",
            limit * MB if limit else None,
            target.get("AssembleWith", "None") == "Line",
        )

    def requests(self, content: bytes) -> list[Request]:
        """The requests of an object, in its order.

        Raises:
            DataError: it cannot be unpacked or filtered, or a record exceeds MaxPayloadInMB.
        """
        if self.is_gzip:
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error):
                raise DataError("Failed to decompress: not in gzip format") from None
        return list(self._batches(self._records(content)))

    def _records(self, content: bytes) -> list[bytes]:
        """A newline ends a line, and the last line may have none. That an empty line is a record is inferred."""
        if not self.splits_lines:
            return [content]
        return content.removesuffix(b"\n").split(b"\n") if content else []

    def _batches(self, records: Sequence[bytes]) -> Iterator[Request]:
        held: list[bytes] = []
        questions: list[bytes] = []
        size = 0
        for record in records:
            question = self.processing.question(record)
            if self.payload_limit is not None and len(question) > self.payload_limit:
                # batch-transform-errors: "Exceeding the MaxPayloadInMB limit causes an error". The words are ours.
                raise DataError(f"A record of {len(question)} bytes exceeds MaxPayloadInMB")
            is_full = self.payload_limit is not None and size + len(question) > self.payload_limit
            if held and (self.single_record or is_full):
                yield Request(held, b"\n".join(questions))
                held, questions, size = [], [], 0
            held.append(record)
            questions.append(question)
            size += len(question) + 1  # the newline before the next one
        if held:
            yield Request(held, b"\n".join(questions))

    def assemble(self, requests: Sequence[Request], answers: Sequence[bytes]) -> bytes:
        """The output object.

        Raises:
            DataError: an answer cannot be joined or filtered.
        """
        pairs = zip(requests, answers, strict=True)
        parts = [part for request, answer in pairs for part in self._parts(request, answer)]
        return b"".join(part + b"\n" for part in parts) if self.assembles_lines else b"".join(parts)

    def _parts(self, request: Request, answer: bytes) -> Iterator[bytes]:
        if self.processing.is_plain or len(request.records) == 1:
            yield answer if self.processing.is_plain else self.processing.result(request.records[0], answer)
            return
        lines = answer.removesuffix(b"\n").split(b"\n")
        if len(lines) != len(request.records):
            raise DataError(f"Got {len(lines)} answers to {len(request.records)} records")
        for record, line in zip(request.records, lines, strict=True):
            yield self.processing.result(record, line)
