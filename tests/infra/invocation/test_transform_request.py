"""What a transform job is created with, and what is checked before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from infra.aws.errors import AwsRequestRefused
from infra.aws.s3_location import S3Location
from infra.invocation import transform_request
from infra.invocation.transform_input import InvalidTransform
from infra.invocation.transform_request import DataProcessing, TransformRequest
from infra.settings.batch import BatchSettings

from .conftest import BUCKET
from .test_transform_job import REQUEST, SageMaker, answer

FULL = replace(
    REQUEST,
    settings=BatchSettings.model_validate(
        {
            "environment": {"A": "b"},
            "kmsKeyArn": "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd",
            "maxRetries": 0,
        }
    ),
    processing=DataProcessing(False, True, "$.request", "$.outputs"),
    tags={"CostEnv": "dev"},
)


@pytest.mark.parametrize("request_", [REQUEST, FULL], ids=["lines", "everything"])
def test_the_arguments_are_those_of_the_api(request_: TransformRequest) -> None:
    api = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateTransformJob")
    report = ParamValidator().validate(request_.arguments, api.input_shape)
    assert not report.has_errors(), report.generate_report()


def test_each_line_is_a_request_and_the_order_is_kept() -> None:
    arguments = REQUEST.arguments
    assert arguments["BatchStrategy"] == "SingleRecord"
    assert (arguments["TransformInput"]["SplitType"], arguments["TransformOutput"]["AssembleWith"]) == ("Line", "Line")
    assert "DataProcessing" not in arguments


def test_whole_files_are_not_split() -> None:
    arguments = FULL.arguments
    assert (arguments["TransformInput"]["SplitType"], arguments["TransformOutput"]["AssembleWith"]) == ("None", "None")
    assert arguments["BatchStrategy"] == "SingleRecord"
    assert arguments["DataProcessing"] == {
        "InputFilter": "$.request",
        "OutputFilter": "$.outputs",
        "JoinSource": "Input",
    }


def test_a_name_is_free_if_no_job_ever_had_it() -> None:
    sagemaker = SageMaker(answer("Completed"))
    transform_request.require_free(sagemaker, "iris-2")
    with pytest.raises(InvalidTransform, match="iris-1 already exists"):
        transform_request.require_free(sagemaker, "iris-1")


def test_the_check_of_the_output_writes_nothing(s3: Any) -> None:
    transform_request.require_writable(s3, S3Location(BUCKET, "out"))
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    with pytest.raises(AwsRequestRefused, match="NoSuchBucket"):
        transform_request.require_writable(s3, S3Location("no-such-bucket", "out"))


ACCEPTED = ("$", "$.request", "$['id','SageMakerOutput']", "$[0,-1]", "$[1:]", "$." + "x" * 61)
REFUSED = ("", "request", "$.account_id", "$." + "x" * 62, "$.caf\N{LATIN SMALL LETTER E WITH ACUTE}", "$.a\n")


@pytest.mark.parametrize("path", [*ACCEPTED, *REFUSED])
def test_a_filter_is_one_that_sagemaker_accepts(path: str) -> None:
    if path in ACCEPTED:
        transform_request.require_filter(path)
    else:
        with pytest.raises(InvalidTransform):
            transform_request.require_filter(path)
