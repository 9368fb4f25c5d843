"""Where AWS's Triton image is looked for."""

from __future__ import annotations

import re

import pytest

from infra.image.aws_images import NEWER, OLDER, ImageAccounts, aws_triton_images
from infra.image.errors import UnknownImage


@pytest.mark.parametrize("version", ["22.07-py3", "22.09-py3", "23.08-py3", "23.10-py3", "23.10-py3-cpu"])
def test_older_versions_are_looked_for_in_the_older_accounts_first(version: str) -> None:
    assert [str(image) for image in aws_triton_images("ap-northeast-1", version)] == [
        f"941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:{version}",
        f"763104351884.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:{version}",
    ]


@pytest.mark.parametrize("version", ["23.11-py3", "23.12-py3", "24.01-py3-cpu", "26.05-py3", "27.01-py3"])
def test_newer_versions_are_looked_for_in_the_newer_accounts_first(version: str) -> None:
    accounts = [image.ecr.account for image in aws_triton_images("us-east-1", version) if image.ecr]
    assert accounts == ["763104351884", "785573368785"]


def test_a_region_of_one_family_has_one_place() -> None:
    assert [image.registry for image in aws_triton_images("ap-northeast-3", "23.10-py3")] == [
        "364406365360.dkr.ecr.ap-northeast-3.amazonaws.com"
    ]


def test_china_has_hosts_of_its_own() -> None:
    hosts = [image.registry for image in aws_triton_images("cn-north-1", "24.05-py3")]
    assert hosts == [
        "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "472730292857.dkr.ecr.cn-north-1.amazonaws.com.cn",
    ]


@pytest.mark.parametrize(
    "version", ["23.10", "23.13-py3", "23.00-py3", "2023.10-py3", "latest", "23.10-py3-gpu", "23.1-py3"]
)
def test_a_version_of_another_form_is_refused(version: str) -> None:
    with pytest.raises(UnknownImage, match=re.escape(repr(version)) + r".*YY\.MM-py3 or YY\.MM-py3-cpu"):
        aws_triton_images("us-east-1", version)


@pytest.mark.parametrize(
    ("region", "others"),
    [("us-gov-west-1", r"us-east-1, us-east-2, us-west-1, us-west-2\."), ("xx-east-1", r"af-south-1, .*us-west-2\.")],
)
def test_a_region_without_the_image_is_refused_with_those_near_it_that_have_it(region: str, others: str) -> None:
    with pytest.raises(UnknownImage, match=f"'{region}', but in {others}"):
        aws_triton_images(region, "23.10-py3")


@pytest.mark.parametrize(("family", "regions"), [(OLDER, 22), (NEWER, 36)])
def test_accounts_are_accounts_and_regions_are_regions(family: ImageAccounts, regions: int) -> None:
    assert all(re.fullmatch(r"\d{12}", account) for account in family.by_region.values())
    assert all(re.fullmatch(r"[a-z]{2}-[a-z]+-\d", region) for region in family.by_region)
    assert len(family.by_region) == regions
