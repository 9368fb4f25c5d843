"""The machine images are those of SageMaker's own API model, with the drivers that it names."""

from __future__ import annotations

import re

from botocore.loaders import Loader

from infra.aws import gpus

SHAPES = Loader().load_service_model("sagemaker", "service-2")["shapes"]


def test_the_machine_images_are_those_that_the_api_lists() -> None:
    assert set(gpus.INFERENCE_AMIS) == set(SHAPES["ProductionVariantInferenceAmiVersion"]["enum"])


def test_their_drivers_are_those_that_the_api_documents() -> None:
    text = SHAPES["ProductionVariant"]["members"]["InferenceAmiVersion"]["documentation"]
    of_each = dict(re.findall(r"<dt>([\w-]+)</dt>(.*?)</dd>", text, re.DOTALL))
    assert of_each.keys() == set(gpus.INFERENCE_AMIS)
    for name, rest in of_each.items():
        driver = re.search(r"NVIDIA driver version: (\d+)", rest)
        image = gpus.InferenceAmi.of(name)
        assert image is not None
        assert image.driver == (int(driver[1]) if driver else None), name
