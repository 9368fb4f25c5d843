"""The inference AMIs are those of SageMaker's API model, with the drivers that it documents."""

from __future__ import annotations

import re

from botocore.loaders import Loader

from infra.aws import gpus

SHAPES = Loader().load_service_model("sagemaker", "service-2")["shapes"]


def test_the_amis_are_those_of_the_api() -> None:
    assert set(gpus.INFERENCE_AMIS) == set(SHAPES["ProductionVariantInferenceAmiVersion"]["enum"])


def test_their_drivers_are_those_that_the_api_documents() -> None:
    text = SHAPES["ProductionVariant"]["members"]["InferenceAmiVersion"]["documentation"]
    of_each = dict(re.findall(r"<dt>([\w-]+)</dt>(.*?)</dd>", text, re.DOTALL))
    assert of_each.keys() == set(gpus.INFERENCE_AMIS)
    for name, rest in of_each.items():
        driver = re.search(r"NVIDIA driver version: (\d+)", rest)
        assert gpus.INFERENCE_AMIS[name].driver == (int(driver[1]) if driver else None), name


def test_transform_jobs_have_the_newest_driver_of_the_api() -> None:
    text = SHAPES["TransformResources"]["members"]["TransformAmiVersion"]["documentation"]
    of_each = dict(re.findall(r"<dt>([\w-]+)</dt>.*?NVIDIA driver version: (\d+)", text, re.DOTALL))
    assert of_each[gpus.TRANSFORM_AMI] == str(gpus.TRANSFORM_DRIVER) == max(of_each.values())
