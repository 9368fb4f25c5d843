"""The price of a deployed fleet against that of the settings, with the setting that causes the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.cost import limit
from infra.cost.line_items import Sizes
from infra.cost.live import Change, change, deployed_items, fleets, removed_endpoints
from infra.cost.price_list import NoPrice, PriceList
from infra.release.request import OWNER_TAG
from tests.infra.cost.products import PRODUCTS, REGION, flat
from tests.infra.cost.test_estimate import MODEL, PRICES, stack
from tests.infra.settings.config import VALID, settings

FLEET = {"VariantName": "AllTraffic", "InstanceType": "ml.r5.xlarge", "InitialInstanceCount": 2}
WARM = {"ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 10, "ProvisionedConcurrency": 2}}


class Aws:
    """An endpoint, if it has a configuration, and its scalable targets."""

    def __init__(self, *variants: dict[str, Any], limits: tuple[int, int] | None = None, **config: Any) -> None:
        self.config = {"ProductionVariants": [*variants], **config} if variants else None
        self.limits, self.created = limits, datetime(2025, 1, 1, tzinfo=UTC)
        self.owned, self.deleted, self.refused = ["e"], {"e-deleted"}, set[str]()
        self.code = "AccessDeniedException"

    def get_paginator(self, operation: str) -> Any:
        assert operation == "get_resources"
        return SimpleNamespace(paginate=self._resources)

    def _resources(
        self, ResourceTypeFilters: list[str], TagFilters: Sequence[dict[str, Any]] = ()
    ) -> Iterator[dict[str, Any]]:
        """A page for each endpoint of the stack `dev`, and for one of another stack."""
        assert ResourceTypeFilters == ["sagemaker:endpoint"]
        if "GetResources" in self.refused:
            raise refusal("GetResources", self.code)
        for name, owner in (*((name, "p/dev") for name in self.owned), ("of-prod", "p/prod")):
            if all(wanted["Key"] == OWNER_TAG and owner in wanted["Values"] for wanted in TagFilters):
                arn = f"arn:aws:sagemaker:{REGION}:123456789012:endpoint/{name.lower()}"
                yield {"ResourceTagMappingList": [{"ResourceARN": arn}]}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName in self.refused:
            raise refusal("DescribeEndpoint", self.code)
        if self.config is None or EndpointName in self.deleted:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "Could not find"}}, "x")
        return {
            "EndpointName": next((name for name in self.owned if name.lower() == EndpointName), EndpointName),
            "EndpointArn": "arn",
            "EndpointStatus": "InService",
            "EndpointConfigName": "c",
            "CreationTime": self.created,
        }

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        if not self.config:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "Could not find"}}, "x")
        return self.config

    def describe_scalable_targets(self, ServiceNamespace: str, ResourceIds: list[str]) -> dict[str, Any]:
        names = [resource.split("/")[1] for resource in ResourceIds]
        if self.limits is None or not {*names} <= {*self.owned}:
            return {"ScalableTargets": []}
        least, most = self.limits
        return {"ScalableTargets": [{"ResourceId": ResourceIds[0], "MinCapacity": least, "MaxCapacity": most}]}


STACK = stack(instanceType="ml.r5.xlarge")


def refusal(operation: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def compared(aws: Aws, prices: PriceList = PRICES, **endpoint: Any) -> Change:
    of_stack = stack(**endpoint)
    return change("e", *fleets(aws, aws, "e", of_stack.endpoints["e"]), prices, of_stack)


def test_a_higher_maximum_is_a_change_of_the_largest_fleet_only() -> None:
    scaled = compared(Aws(FLEET, limits=(2, 4)), instanceType="ml.r5.xlarge", autoscaling={"min": 2, "max": 10})
    assert scaled.keys == ("autoscaling.max",)
    assert scaled.before == Sizes.of("532.90", "532.90", "1065.80")
    assert scaled.after == Sizes.of("532.90", "532.90", "2664.50")
    assert "+$1,598.70 a month at the largest fleet, because of autoscaling.max" in str(limit.changed(scaled))


def test_a_higher_minimum_is_a_change_until_it_is_deployed() -> None:
    endpoint: dict[str, Any] = {"instanceType": "ml.r5.xlarge", "autoscaling": {"min": 4, "max": 10}}
    raised = compared(Aws(FLEET, limits=(2, 10)), **endpoint)
    assert raised.keys == ("autoscaling.min",)
    assert raised.usd == Sizes.of("532.90", 0, 0)
    assert "+$532.90 a month at the smallest fleet, because of autoscaling.min" in str(limit.changed(raised))
    assert compared(Aws(FLEET, limits=(4, 10)), **endpoint).keys == ()


@pytest.mark.parametrize("count", [2, 5, 10])
def test_the_first_count_of_an_autoscaled_fleet_is_no_change(count: int) -> None:
    scaling = {"min": 2, "max": 10}
    aws = Aws({**FLEET, "VolumeSizeInGB": 50}, limits=(2, 10))
    same = compared(aws, instanceType="ml.r5.xlarge", initialInstanceCount=count, autoscaling=scaling, volumeSizeGb=50)
    assert same.keys == ()
    assert same.before == same.after


def test_a_range_above_the_deployed_one_costs_more_from_the_start() -> None:
    above = compared(Aws(FLEET, limits=(2, 4)), instanceType="ml.r5.xlarge", autoscaling={"min": 8, "max": 10})
    assert above.keys == ("autoscaling.min", "autoscaling.max")
    assert above.usd == Sizes.of("1598.70", "1065.80", "1598.70")


def test_the_number_of_instances_is_the_cause_of_more_volumes() -> None:
    deployed = Aws({**FLEET, "VolumeSizeInGB": 50}, limits=(2, 4))
    larger = compared(deployed, instanceType="ml.r5.xlarge", autoscaling={"min": 2, "max": 10}, volumeSizeGb=50)
    assert larger.keys == ("autoscaling.max",)
    assert larger.usd == Sizes.of(0, 0, "1649.10")


def test_autoscaling_that_the_settings_no_longer_have_is_the_cause() -> None:
    fixed = compared(Aws(FLEET, limits=(2, 10)), instanceType="ml.r5.xlarge", initialInstanceCount=2)
    assert fixed.keys == ("autoscaling",)
    assert fixed.usd == Sizes.of(0, 0, "-2131.60")


def test_provisioned_concurrency_within_its_range_is_the_cause() -> None:
    warm = {
        "memoryMb": 4096,
        "maxConcurrency": 10,
        "provisionedConcurrency": 4,
        "autoscaling": {"min": 2, "max": 10},
    }
    aws = Aws({"VariantName": "AllTraffic", **WARM}, limits=(2, 10))
    assert compared(aws, serverless=warm).keys == ("serverless.provisionedConcurrency",)


def test_the_setting_of_a_variant_has_its_path() -> None:
    model = {"model": MODEL, "instanceType": "ml.r5.xlarge"}
    deployed = Aws(*({**FLEET, "VariantName": name} for name in ("blue", "green")))
    variants = {"blue": {**model, "initialInstanceCount": 3}, "green": {**model, "initialInstanceCount": 2}}
    assert compared(deployed, variants=variants).keys == ("variants.blue.initialInstanceCount",)


def test_the_mode_is_a_cause() -> None:
    deployed = Aws({**FLEET, "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1, "VolumeSizeInGB": 50})
    endpoint: dict[str, Any] = {"instanceType": "ml.c5.xlarge", "volumeSizeGb": 50}
    prices = PriceList.of_answers([*PRODUCTS, flat("APN1-AsyncInf:VolumeUsage.gp2", "0.168", unit="GB-Mo")])
    assert compared(deployed, prices, **endpoint, asynchronous={}).keys == ("asynchronous",)


def test_a_deployed_variant_without_one_instance_type_has_no_price() -> None:
    pools = {"VariantName": "AllTraffic", "InstancePools": [{"InstanceType": "ml.r5.xlarge", "Priority": 1}]}
    with pytest.raises(NoPrice, match="AllTraffic"):
        compared(Aws(pools), instanceType="ml.r5.xlarge")


def test_an_endpoint_whose_configuration_was_deleted_is_not_a_new_one() -> None:
    deployed = Aws(FLEET)
    deployed.config = {}
    with pytest.raises(NoPrice, match="configuration c was deleted"):
        compared(deployed, instanceType="ml.r5.xlarge")


def removed(aws: Aws, **endpoints: Any) -> tuple[list[str], list[str]]:
    """The removed endpoints, and what is reported of them."""
    of, reports = settings({**VALID, "triton-sagemaker:endpoints": endpoints}), list[str]()
    return [*removed_endpoints(aws, "p/dev", of, reports.append)], reports


def test_the_stacks_endpoints_that_the_settings_no_longer_have_are_found() -> None:
    """ARNs have names in lower case."""
    aws = Aws(FLEET)
    aws.owned = ["Kept", "Jobs", "Old"]
    fleet = {"model": MODEL, "instanceType": "ml.c5.xlarge"}
    endpoints = {"Kept": fleet, "New": fleet, "Jobs": {"model": MODEL, "batch": {}}}
    assert removed(aws, **endpoints) == (["Jobs", "old"], [])


def test_a_refusal_to_list_removed_endpoints_is_reported() -> None:
    aws = Aws(FLEET)
    aws.refused = {"GetResources"}
    names, (report,) = removed(aws, e={"model": MODEL, "instanceType": "ml.c5.xlarge"})
    assert names == []
    assert "GetResources was refused: AccessDeniedException" in report
    assert "python -m infra policy" in report


def test_a_refusal_to_describe_ends_the_comparison_of_endpoints_in_the_settings_alone() -> None:
    aws = Aws(FLEET)
    aws.refused = {"e"}
    with pytest.raises(NoPrice):
        deployed_items(aws, aws, "e", None)
    with pytest.raises(AwsRequestRefused):
        compared(aws, instanceType="ml.c5.xlarge")


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        ("AccessDeniedException", " `python -m infra policy PRINCIPAL -s STACK --also e` prints"),
        ("ThrottlingException", ""),
        ("ExpiredToken", " Set or renew the AWS credentials"),
    ],
)
def test_a_refusal_to_describe_a_removed_endpoint_has_the_way_out_of_its_code(code: str, way_out: str) -> None:
    aws = Aws(FLEET)
    aws.refused, aws.code = {"e"}, code
    with pytest.raises(NoPrice, match=rf"^DescribeEndpoint was refused: {code}: no\.{way_out}") as refused:
        deployed_items(aws, aws, "e", None)
    assert str(refused.value).endswith("no.") is (not way_out)


def test_a_removed_endpoint_that_was_deleted_a_moment_ago_is_no_change() -> None:
    aws = Aws(FLEET)
    assert deployed_items(aws, aws, "e-deleted", None) is None
    assert limit.changed(change("e-deleted", None, None, PRICES, STACK)) is None


def test_the_scaling_range_of_a_removed_endpoint_is_that_of_its_own_name() -> None:
    """IDs of scalable targets are case-sensitive, and ARNs have names in lower case."""
    aws = Aws(FLEET, limits=(2, 4))
    aws.owned = ["Old"]
    gone = change("old", deployed_items(aws, aws, "old", None), None, PRICES, STACK)
    assert gone.usd == Sizes.of("-532.90", "-532.90", "-1065.80")


@pytest.mark.parametrize(
    ("deployed", "usd"),
    [
        (Aws(FLEET, limits=(2, 4)), Sizes.of("-532.90", "-532.90", "-1065.80")),
        (Aws({"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 4096}}), Sizes.same(0)),
    ],
)
def test_a_removed_endpoint_costs_less(deployed: Aws, usd: Sizes) -> None:
    gone = change("e", deployed_items(deployed, deployed, "e", None), None, PRICES, STACK)
    assert (gone.usd, gone.keys) == (usd, ("endpoints.e (removed)",))
    assert "because of endpoints.e (removed)" in str(limit.changed(gone))


def test_the_same_fleet_is_no_change() -> None:
    same = compared(Aws(FLEET, limits=(2, 10)), instanceType="ml.r5.xlarge", autoscaling={"min": 2, "max": 10})
    assert same.keys == ()
    assert limit.changed(same) is None


@pytest.mark.parametrize(
    ("aws", "endpoint", "keys"),
    [
        (Aws(FLEET), {"instanceType": "ml.c5.xlarge", "initialInstanceCount": 2}, ("instanceType",)),
        (Aws(FLEET), {"instanceType": "ml.r5.xlarge"}, ("initialInstanceCount",)),
        (
            Aws(FLEET),
            {"instanceType": "ml.r5.xlarge", "initialInstanceCount": 2, "volumeSizeGb": 50},
            ("volumeSizeGb",),
        ),
        (
            Aws({**FLEET, "VolumeSizeInGB": 30}),
            {"instanceType": "ml.r5.xlarge", "initialInstanceCount": 2, "volumeSizeGb": 50},
            ("volumeSizeGb",),
        ),
        (Aws(), {"instanceType": "ml.r5.xlarge"}, ("new endpoint",)),
        (
            Aws({"VariantName": "AllTraffic", **WARM}),
            {"serverless": {"memoryMb": 4096, "maxConcurrency": 10, "provisionedConcurrency": 4}},
            ("serverless.provisionedConcurrency",),
        ),
    ],
)
def test_the_setting_that_causes_a_change_is_named(aws: Aws, endpoint: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert compared(aws, **endpoint).keys == keys


@pytest.mark.parametrize("exists", [False, True])
def test_an_endpoint_without_a_fleet_has_no_change(exists: bool) -> None:
    on_demand = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 10}}
    aws = Aws(on_demand) if exists else Aws()
    assert compared(aws, serverless={"memoryMb": 4096, "maxConcurrency": 10}).keys == ()


def test_provisioned_concurrency_of_an_existing_endpoint_is_the_cause() -> None:
    on_demand = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 10}}
    warm = {"memoryMb": 4096, "maxConcurrency": 10, "provisionedConcurrency": 2}
    assert compared(Aws(on_demand), serverless=warm).keys == ("serverless.provisionedConcurrency",)


def test_an_asynchronous_fleet_is_compared_by_its_own_price() -> None:
    fleet = {**FLEET, "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}
    same = compared(Aws(fleet, AsyncInferenceConfig={"OutputConfig": {}}), instanceType="ml.c5.xlarge", asynchronous={})
    assert same.before.initial == Decimal("186.88")
    assert same.keys == ()


def test_a_fleet_without_a_price_is_an_error() -> None:
    with pytest.raises(NoPrice):
        compared(Aws({**FLEET, "InstanceType": "ml.p3.2xlarge"}), instanceType="ml.r5.xlarge")
