from __future__ import annotations

from typing import Any

import pytest

from infra.settings.model import ModelArtifactSettings
from tests.infra.settings.config import VALID, assert_broken, changed, problems, settings, with_keys

GPU_AMI, NEURON_AMI = "al2-ami-sagemaker-inference-gpu-3-1", "al2-ami-sagemaker-inference-neuron-2"


def test_the_defaults_are_those_of_the_articles() -> None:
    variant = settings(VALID).endpoints["ranking"].instance_variants["AllTraffic"]
    assert variant.model == ModelArtifactSettings(artifact="artifacts/model_7.tar.gz")
    assert (variant.startup_health_check_seconds, variant.initial_variant_weight) == (60, 1.0)
    scaling = variant.autoscaling
    assert scaling is not None
    assert (scaling.invocations_per_instance, scaling.scale_in_cooldown, scaling.scale_out_cooldown) == (70, 600, 30)


def test_an_autoscaled_fleet_starts_with_its_minimum_and_a_fixed_one_with_one_instance() -> None:
    for config, count in ((VALID, 2), (changed("ranking.autoscaling", None), 1)):
        assert settings(config).endpoints["ranking"].instance_variants["AllTraffic"].instance_count == count


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        *(
            ("instanceType", name, "arm-instance")
            for name in ("ml.c7g.xlarge", "ml.c8g.xlarge", "ml.p6e-gb200.36xlarge", "ml.g9g.99xlarge")
        ),
        ("instanceType", "ml.c5.xlargee", "unknown-instance-type"),
        ("autoscaling.min", 12, "min-over-max"),
        ("initialInstanceCount", 11, "count-outside-autoscaling"),
        ("inferenceAmiVersion", GPU_AMI, "ami-for-other-accelerators"),
        ("inferenceAmiVersion", NEURON_AMI, "ami-for-other-accelerators"),
        ("initialVariantWeight", float("inf"), "out-of-range"),
    ],
)
def test_a_wrong_variant_is_refused(path: str, value: Any, rule: str) -> None:
    assert_broken(f"ranking.{path}", value, rule)


def test_burstable_types_do_not_scale() -> None:
    assert_broken("ranking.instanceType", "ml.t2.medium", "burstable-autoscaling", "ranking.autoscaling")


@pytest.mark.parametrize(
    "type_", ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.p4d.24xlarge", "ml.c5d.large", "ml.trn1.2xlarge"]
)
def test_types_with_local_disks_have_no_volume(type_: str) -> None:
    (problem,) = problems(with_keys(instanceType=type_, volumeSizeGb=100))
    assert (problem.path[-1], problem.rule) == ("volumeSizeGb", "volume-on-local-disks")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("m5.xlarge", "ml.m5.xlarge"),
        ("ml.m5.Xlarge", "ml.m5.xlarge"),
        ("ML.M5.XLARGE", "ml.m5.xlarge"),
        ("ml.g5g.xlarge", "ml.g5.xlarge"),
        ("ml.x2gd.99xlarge", "ml.c7i.xlarge"),
    ],
)
def test_a_type_that_is_nearly_right_is_answered_with_the_right_one(name: str, instead: str) -> None:
    (problem,) = problems(changed("ranking.instanceType", name))
    assert instead in problem.message
