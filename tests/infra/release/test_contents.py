"""The differences between two endpoint configurations, in words."""

from __future__ import annotations

from typing import Any

from infra.release.contents import changes

REPOSITORY = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver"


def config(**variants: dict[str, Any]) -> dict[str, Any]:
    plain = {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0, "InstanceType": "ml.c5.xlarge", "ModelName": "m1"}
    return {"ProductionVariants": [{"VariantName": name, **plain, **keys} for name, keys in variants.items()]}


def model(**keys: Any) -> dict[str, Any]:
    plain = {"Image": f"{REPOSITORY}@sha256:a", "ModelDataUrl": "s3://b/1.tar.gz", "Environment": {"SECRET": "before"}}
    return {"PrimaryContainer": {**plain, **keys}}


def test_a_fleet_differs_in_type_count_and_weight() -> None:
    new = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2, "InitialVariantWeight": 0.5}
    assert changes(config(A={}), config(A=new), {}) == (
        "A: instance type ml.c5.xlarge -> ml.m5.large",
        "A: initial instance count 1 -> 2",
        "A: weight 1 -> 0.5",
    )


def test_any_other_member_of_a_variant_goes_by_its_own_name() -> None:
    assert changes(config(A={}), config(A={"VolumeSizeInGB": 10}), {}) == ("A: VolumeSizeInGB none -> 10",)


def test_a_model_differs_in_image_data_and_the_names_of_variables() -> None:
    variables = {"SECRET": "after", "ADDED": "x"}
    new = model(Image=f"{REPOSITORY}@sha256:b", ModelDataUrl="s3://b/2.tar.gz", Environment=variables)
    changed = changes(config(A={}), config(A={"ModelName": "m2"}), {"m1": model(), "m2": new})
    assert changed == (
        "A: image sha256:a -> sha256:b",
        "A: model data s3://b/1.tar.gz -> s3://b/2.tar.gz",
        "A: environment variables ADDED, SECRET",
    )
    assert "after" not in str(changed)


def test_models_that_hold_the_same_are_no_change_whatever_their_names() -> None:
    assert changes(config(A={}), config(A={"ModelName": "m2"}), {"m1": model(), "m2": model()}) == ()


def test_of_a_model_that_was_deleted_only_the_name_is_known() -> None:
    assert changes(config(A={}), config(A={"ModelName": "m2"}), {"m2": model()}) == ("A: model m1 -> m2",)


def test_variants_that_come_and_go_are_told_beside_those_that_stay() -> None:
    assert changes(config(A={}, B={}), config(B={"InitialInstanceCount": 3}, C={}), {}) == (
        "A: removed",
        "C: added",
        "B: initial instance count 1 -> 3",
    )


def test_a_model_of_several_containers_is_known_by_its_first() -> None:
    models = {"m1": {"Containers": [{"Image": "x", "ModelDataUrl": "s3://b/1.tar.gz"}]}, "m2": model(Image="x")}
    assert changes(config(A={}), config(A={"ModelName": "m2"}), models) == ("A: environment variables SECRET",)


def test_serverless_capacity_and_the_queue_differ_in_their_own_members() -> None:
    before, after = (
        config(A={"ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": 5}}) for memory in (1024, 2048)
    )
    assert changes(before, after, {}) == ("A: MemorySizeInMB 1024 -> 2048",)
    output, queue = {"S3OutputPath": "s3://b/x"}, {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4}}
    before = config(A={}) | {"AsyncInferenceConfig": {"OutputConfig": output}}
    after = config(A={}) | {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/y"}, **queue}}
    assert changes(before, after, {}) == (
        "queue: MaxConcurrentInvocationsPerInstance none -> 4",
        "queue: S3OutputPath s3://b/x -> s3://b/y",
    )
