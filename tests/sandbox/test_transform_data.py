"""The data of transform jobs: which objects, how they are split, filtered, joined and assembled."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.sandbox.batch import JSON_OUT, Batch, completed, failed, scripted_batch, uri
from tests.sandbox.conftest import Host


@pytest.fixture
def batch(scripted_host: Host) -> Batch:
    """Jobs whose model answers each request with the request."""
    return scripted_batch(scripted_host, {"ANSWER": "*"})


@pytest.mark.parametrize(
    ("prefix", "outputs"),
    [
        ("in/", {"a.jsonl.out", "deep/b.jsonl.out"}),
        ("in/a.jsonl", {"a.jsonl.out"}),
        ("in", {"in/a.jsonl.out", "in/deep/b.jsonl.out"}),
        ("in/deep/b", {"b.jsonl.out"}),
    ],
)
def test_each_object_below_the_prefix_has_an_output(batch: Batch, prefix: str, outputs: set[str]) -> None:
    for key in ("a.jsonl", "deep/b.jsonl", "deep/folder/"):
        batch.put(key, b"1\n")
    assert set(completed(batch, uri(batch, prefix))) == outputs


def test_a_manifest_names_the_objects(batch: Batch) -> None:
    """API_TransformS3DataSource."""
    for key in ("a", "b", "deep/c"):
        batch.put(key, key.encode())
    prefix = f"s3://{batch.host.bucket}/{batch.prefix}/in/"
    batch.put("manifest", json.dumps([{"prefix": prefix}, "a", "deep/c"]).encode())
    output = completed(batch, uri(batch, "in/manifest", "ManifestFile"))
    assert output == {"a.out": b"a\n", "deep/c.out": b"deep/c\n"}


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b"no", b'["a"]', b'[{"prefix": "s3://b/"}, {"a": 1}]'])
def test_a_manifest_that_is_none_fails_the_job(batch: Batch, manifest: bytes) -> None:
    batch.put("manifest", manifest)
    described = batch.run(uri(batch, "in/manifest", "ManifestFile"))
    assert described["FailureReason"].startswith("ClientError: The manifest must be")


def test_gzip_is_unpacked(batch: Batch) -> None:
    batch.put("a.gz", gzip.compress(b"1\n2\n"))
    assert completed(batch, {"CompressionType": "Gzip"}) == {"a.gz.out": b"1\n2\n"}


def test_what_is_not_gzip_fails_its_object(batch: Batch) -> None:
    batch.put("a.gz", b"1\n2\n")
    assert failed(batch, {"CompressionType": "Gzip"}) == "ClientError: See job logs for more information"


@pytest.mark.parametrize(
    ("content", "source", "target", "output"),
    [
        (b"1\n2\n3", {}, {}, b"1\n2\n3\n"),
        (b"1\n2\n", {}, {}, b"1\n2\n"),
        (b"1\n2\n3\n", {}, {"AssembleWith": "None"}, b"123"),
        (b"1\n2\n", {"SplitType": "None"}, {"AssembleWith": "None"}, b"1\n2\n"),
        (b"1\n2\n", {"SplitType": "None"}, {}, b"1\n2\n\n"),
        (b"", {}, {}, b""),
    ],
)
def test_lines_are_split_and_assembled(
    batch: Batch, content: bytes, source: dict[str, Any], target: dict[str, Any], output: bytes
) -> None:
    """API_TransformInput, SplitType; API_TransformOutput, AssembleWith."""
    batch.put("a", content)
    assert completed(batch, source, target) == {"a.out": output}


def test_many_records_go_into_one_request_up_to_the_payload(scripted_host: Host) -> None:
    """API_CreateTransformJob, BatchStrategy: MultiRecord, which is the default (amazon-sagemaker-examples#3948)."""
    batch = scripted_batch(scripted_host, {"ANSWER": "once"})
    batch.put("a", b"1\n2\n3\n")
    request = batch.request()
    del request["BatchStrategy"]
    scripted_host.sagemaker.create_transform_job(**request)
    batch.wait(request["TransformJobName"])
    assert batch.output() == {"a.out": b"once\n"}
    batch.put("a", (b"x" * 400_000 + b"\n") * 4)
    batch.run(BatchStrategy="MultiRecord", MaxPayloadInMB=1)
    assert batch.output() == {"a.out": b"once\nonce\n"}


def test_an_answer_over_the_payload_fails_its_object(scripted_host: Host) -> None:
    """https://github.com/aws/sagemaker-python-sdk/issues/1096"""
    batch = scripted_batch(scripted_host, {"ANSWER": "x" * 1000, "TIMES": "1049"})
    batch.put("a", b"1\n")
    assert failed(batch, MaxPayloadInMB=1) == "AlgorithmError: See job logs for more information"
    assert batch.data_log()[-1].endswith("Message size exceed limit: 1048576")


def test_a_record_over_the_payload_fails_its_object(batch: Batch) -> None:
    """Developer guide, batch-transform-errors: "Exceeding the MaxPayloadInMB limit causes an error"."""
    batch.put("a", bytes(1024 * 1024 + 1))
    batch.put("b", b"1")
    assert failed(batch, MaxPayloadInMB=1) == "ClientError: See job logs for more information"
    assert set(batch.output()) == {"b.out"}
    assert any("exceeds MaxPayloadInMB" in line for line in batch.data_log())


# ---- filters and join


@pytest.mark.parametrize(
    ("processing", "record", "output"),
    [
        ({"InputFilter": "$.features"}, {"id": 1, "features": [1, 2]}, [1, 2]),
        ({"InputFilter": "$['a','b']"}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        ({"InputFilter": "$[1:]"}, [1, 2, 3], [2, 3]),
        ({"InputFilter": "$[0,2]"}, [1, 2, 3], [1, 3]),
        ({"InputFilter": "$[-1]"}, [1, 2, 3], 3),
        ({"InputFilter": "$.a.*"}, {"a": {"x": 1, "y": 2}}, [1, 2]),
        ({"JoinSource": "Input"}, {"id": 1}, {"id": 1, "SageMakerOutput": {"id": 1}}),
        ({"JoinSource": "Input"}, [1], {"SageMakerInput": [1], "SageMakerOutput": [1]}),
        (
            {"InputFilter": "$.q", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
            {"id": 1, "q": {"x": 2}},
            {"id": 1, "SageMakerOutput": {"x": 2}},
        ),
        ({"OutputFilter": "$.x"}, {"x": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ],
)
def test_json_is_filtered_and_joined(batch: Batch, processing: dict[str, str], record: Any, output: Any) -> None:
    """Developer guide, batch-transform-data-processing."""
    batch.put("a", json.dumps(record).encode())
    (stored,) = completed(batch, {}, JSON_OUT, DataProcessing=processing).values()
    assert json.loads(stored) == output


def test_rows_of_csv_are_arrays(batch: Batch) -> None:
    """Developer guide, batch-transform-data-processing: "each row is taken as a JSON array"."""
    batch.put("a", b'1,"x,y",3\n2,z,4\n')
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,3]"}
    csv = {"ContentType": "text/csv"}
    assert completed(batch, csv, {"Accept": "text/csv"}, DataProcessing=processing) == {"a.out": b'1,"x,y"\n2,z\n'}


def test_many_records_are_joined_each_with_its_own_line(batch: Batch) -> None:
    batch.put("a", b'{"id":1}\n{"id":2}\n')
    lines = {"ContentType": "application/jsonlines"}
    joined = completed(
        batch,
        lines,
        {"Accept": "application/jsonlines"},
        BatchStrategy="MultiRecord",
        DataProcessing={"JoinSource": "Input", "OutputFilter": "$.SageMakerOutput.id"},
    )
    assert joined == {"a.out": b"1\n2\n"}


@pytest.mark.parametrize(
    "processing",
    [{"OutputFilter": "$[7]"}, {"OutputFilter": "$.x"}, {"InputFilter": "$['id','x']"}],
)
def test_a_filter_that_selects_nothing_fails_the_object(batch: Batch, processing: dict[str, str]) -> None:
    """API_DataProcessing, OutputFilter: "If you specify indexes that aren't within the dimension size of the joined
    dataset, you get an error"."""
    batch.put("a", b'{"id": 1}')
    assert failed(batch, {}, JSON_OUT, DataProcessing=processing) == "ClientError: See job logs for more information"
