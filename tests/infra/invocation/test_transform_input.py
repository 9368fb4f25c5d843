"""The records of a job, on this machine and in S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.aws.errors import AwsRequestRefused
from infra.aws.s3_location import S3Location
from infra.invocation.message import InvalidRequest
from infra.invocation.transform_check import first_request, require_one_content_type
from infra.invocation.transform_input import InvalidTransform, TransformInput, local_input, stored_input, upload
from infra.invocation.transform_request import DataProcessing

from .conftest import BUCKET

LINES_AS_THEY_ARE = DataProcessing()
LINES = b'{"inputs": [1]}\n{"inputs": [2]}\n'


def put(s3: Any, *keys: str, body: bytes = LINES) -> None:
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def paths(records: TransformInput) -> list[str]:
    return [entry.path for entry in records.objects]


def test_a_directory_in_s3_does_not_include_its_namesakes(s3: Any) -> None:
    put(s3, "in/a.jsonl", "in/b/c.jsonl", "in2/d.jsonl", "in.jsonl")
    records, location = stored_input(s3, S3Location(BUCKET, "in"))
    assert (paths(records), str(location)) == (["a.jsonl", "b/c.jsonl"], f"s3://{BUCKET}/in/")
    assert records.size == 2 * len(LINES)


def test_empty_objects_are_not_listed(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/", Body=b"")
    s3.put_object(Bucket=BUCKET, Key="in/a", Body=b"12")
    assert [(entry.key, entry.size) for entry in S3Location(BUCKET, "in/").objects(s3)] == [("in/a", 2)]


def test_an_object_is_an_input_with_its_own_name(s3: Any) -> None:
    put(s3, "in/a.jsonl", "in/b.jsonl")
    records, location = stored_input(s3, S3Location(BUCKET, "in/a.jsonl"))
    assert (paths(records), location.key) == (["a.jsonl"], "in/a.jsonl")


def test_an_object_whose_key_begins_another_key_is_refused(s3: Any) -> None:
    put(s3, "in/a", "in/a.bak")
    with pytest.raises(InvalidTransform, match=r"in/a\.bak"):
        stored_input(s3, S3Location(BUCKET, "in/a"))


def test_an_input_without_records_is_refused(s3: Any) -> None:
    put(s3, "empty/", "empty/x", body=b"")
    for key in ("nothing", "empty"):
        with pytest.raises(InvalidTransform, match="has no records"):
            stored_input(s3, S3Location(BUCKET, key))
    with pytest.raises(AwsRequestRefused, match="NoSuchBucket"):
        stored_input(s3, S3Location("no-such-bucket", "in"))


def test_files_below_a_directory_are_uploaded_with_their_paths(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("a.jsonl", "b/c.jsonl", ".hidden", ".git/config"):
        (tmp_path / name).write_bytes(LINES)
    (tmp_path / "empty").touch()
    records = local_input(tmp_path)
    assert paths(records) == ["a.jsonl", "b/c.jsonl"]
    upload(s3, tmp_path, records, S3Location(BUCKET, "batch/iris/job/input/"))
    stored, _ = stored_input(s3, S3Location(BUCKET, "batch/iris/job/input/"))
    assert paths(stored) == paths(records)


def test_a_file_is_an_input(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES)
    assert paths(local_input(file)) == ["a.jsonl"]


def test_a_file_that_cannot_be_uploaded_is_an_error(s3: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES)
    records = local_input(tmp_path)
    file.unlink()
    with pytest.raises(InvalidTransform, match=r"a\.jsonl"):
        upload(s3, tmp_path, records, S3Location(BUCKET, "batch/iris/job/input/"))


@pytest.mark.parametrize("name", ["missing", "empty", "directory", "a" * 300])
def test_a_path_without_records_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(InvalidTransform):
        local_input(tmp_path / name)


@pytest.mark.parametrize("local", [True, False])
def test_the_first_line_is_the_first_record(s3: Any, tmp_path: Path, local: bool) -> None:
    put(s3, "in/a.jsonl")
    (tmp_path / "a.jsonl").write_bytes(LINES)
    records = local_input(tmp_path) if local else stored_input(s3, S3Location(BUCKET, "in/"))[0]
    request, place = first_request(records, LINES_AS_THEY_ARE, 6)
    assert request
    assert request.header == {"inputs": [1]}
    assert place.endswith("a.jsonl: line 1")


def records_of(tmp_path: Path, content: bytes) -> TransformInput:
    (tmp_path / "a").write_bytes(content)
    return local_input(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\n{}", InvalidTransform),
        (b"{" + b" " * 1_000_001 + b"}", InvalidTransform),
        (b"a,b,c\n1,2,3\n", InvalidRequest),
        (b'{"inputs": []} tail\n', InvalidRequest),
        (b"\x1f\x8b\x08\x00", InvalidRequest),
    ],
)
def test_a_first_line_that_is_not_a_request_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match="line 1"):
        first_request(records_of(tmp_path, content), LINES_AS_THEY_ARE, 1)


def test_a_whole_file_is_one_request_and_must_fit(tmp_path: Path) -> None:
    request, _ = first_request(records_of(tmp_path, b'{"inputs":\n []}\0\0'), DataProcessing(by_line=False), 1)
    assert request
    assert request.content_type.endswith("json-header-size=15")
    with pytest.raises(InvalidTransform, match="--max-payload-mb"):
        first_request(records_of(tmp_path, b" " * 1_000_001), DataProcessing(by_line=False), 1)


@pytest.mark.parametrize(
    ("path", "selected"),
    [("$", {"id": 7, "request": {"inputs": []}}), ("$.request", {"inputs": []}), ("$.request.inputs", [])],
)
def test_a_filter_of_keys_selects_the_request(tmp_path: Path, path: str, selected: object) -> None:
    request, _ = first_request(
        records_of(tmp_path, b'{"id": 7, "request": {"inputs": []}}\n'), DataProcessing(input_filter=path), 6
    )
    assert request
    assert request.header == selected


def test_a_filter_that_selects_nothing_is_refused_and_another_one_is_left_to_sagemaker(tmp_path: Path) -> None:
    records = records_of(tmp_path, b'{"id": 7}\n')
    with pytest.raises(InvalidRequest, match=r"\$\.request selects nothing"):
        first_request(records, DataProcessing(input_filter="$.request"), 6)
    for path in ("$[0,2]", "$.account_id", "$.caf\N{LATIN SMALL LETTER E WITH ACUTE}"):
        assert first_request(records, DataProcessing(input_filter=path), 6)[0] is None


@pytest.mark.parametrize("processing", [{"join_input": True}, {"input_filter": "$"}, {"output_filter": "$.outputs"}])
def test_sagemaker_filters_and_joins_whole_files_of_json_alone(tmp_path: Path, processing: dict[str, Any]) -> None:
    whole = DataProcessing(by_line=False, **processing)
    request, _ = first_request(records_of(tmp_path, b'{"inputs":\n []}'), whole, 1)
    assert request
    assert request.content_type == "application/json"
    with pytest.raises(InvalidRequest, match="--" + next(iter(processing)).replace("_", "-")):
        first_request(records_of(tmp_path, b'{"inputs":\n []}\0\0'), whole, 1)


def test_whole_files_have_one_content_type(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'{"inputs": []}\0')
    (tmp_path / "b").write_bytes(b'{"inputs": []}\1\1')
    content_type = "application/vnd.sagemaker-triton.binary+json;json-header-size=14"
    require_one_content_type(local_input(tmp_path), content_type)
    (tmp_path / "c").write_bytes(b'{"inputs":  []}\2')
    with pytest.raises(InvalidTransform, match=r"/c is .*=15, .*/a is .*=14"):
        require_one_content_type(local_input(tmp_path), content_type)
