"""The accounts that publish AWS's Triton image, by region and version.

The accounts of SageMaker Neo publish older tags, those of the AWS Deep Learning Containers newer ones. Both tables are
from the SageMaker Python SDK: `TRITON_IMAGE_ACCOUNT_ID_MAP` and `image_uri_config/sagemaker-tritonserver.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.image.errors import UnknownImage
from infra.image.reference import ImageReference
from infra.image.triton_version import TritonVersion
from infra.names import REPOSITORY


@dataclass(frozen=True)
class ImageAccounts:
    """A family of AWS accounts that publish the image: the releases, and the account of each region."""

    first_release: str
    last_release: str
    by_region: Mapping[str, str]


OLDER = ImageAccounts(
    first_release="22.07",
    last_release="23.10",
    by_region={
        "af-south-1": "774647643957",
        "ap-east-1": "110948597952",
        "ap-northeast-1": "941853720454",
        "ap-northeast-2": "151534178276",
        "ap-south-1": "763008648453",
        "ap-southeast-1": "324986816169",
        "ap-southeast-2": "355873309152",
        "ca-central-1": "464438896020",
        "cn-north-1": "472730292857",
        "cn-northwest-1": "474822919863",
        "eu-central-1": "746233611703",
        "eu-north-1": "601324751636",
        "eu-south-1": "966458181534",
        "eu-west-1": "802834080501",
        "eu-west-2": "205493899709",
        "eu-west-3": "254080097072",
        "me-south-1": "836785723513",
        "sa-east-1": "756306329178",
        "us-east-1": "785573368785",
        "us-east-2": "007439368137",
        "us-west-1": "710691900526",
        "us-west-2": "301217895009",
    },
)
NEWER = ImageAccounts(
    first_release="23.12",
    last_release="26.05",
    by_region={
        "af-south-1": "626614931356",
        "ap-east-1": "871362719292",
        "ap-east-2": "975050140332",
        "ap-northeast-1": "763104351884",
        "ap-northeast-2": "763104351884",
        "ap-northeast-3": "364406365360",
        "ap-south-1": "763104351884",
        "ap-south-2": "772153158452",
        "ap-southeast-1": "763104351884",
        "ap-southeast-2": "763104351884",
        "ap-southeast-3": "907027046896",
        "ap-southeast-4": "457447274322",
        "ap-southeast-5": "550225433462",
        "ap-southeast-6": "633930458069",
        "ap-southeast-7": "590183813437",
        "ca-central-1": "763104351884",
        "ca-west-1": "204538143572",
        "cn-north-1": "727897471807",
        "cn-northwest-1": "727897471807",
        "eu-central-1": "763104351884",
        "eu-central-2": "380420809688",
        "eu-north-1": "763104351884",
        "eu-south-1": "692866216735",
        "eu-south-2": "503227376785",
        "eu-west-1": "763104351884",
        "eu-west-2": "763104351884",
        "eu-west-3": "763104351884",
        "il-central-1": "780543022126",
        "me-central-1": "914824155844",
        "me-south-1": "217643126080",
        "mx-central-1": "637423239942",
        "sa-east-1": "763104351884",
        "us-east-1": "763104351884",
        "us-east-2": "763104351884",
        "us-west-1": "763104351884",
        "us-west-2": "763104351884",
    },
)


def aws_triton_images(region: str, version: str) -> list[ImageReference]:
    """Where AWS may publish a version (`23.10-py3`, `23.10-py3-cpu`) in a region, the likeliest place first.

    Raises:
        UnknownImage: a version of another form, or a region with none of the accounts. It is a ValueError too.
    """
    parsed = TritonVersion.parse(version)
    if parsed is None or not parsed.is_published_by_aws:
        raise UnknownImage(f"{version!r} is not a valid version of AWS's Triton image: use YY.MM-py3 or YY.MM-py3-cpu.")
    families = (OLDER, NEWER) if parsed.release <= OLDER.last_release else (NEWER, OLDER)
    accounts = [family.by_region[region] for family in families if region in family.by_region]
    if not accounts:
        regions = sorted({*OLDER.by_region, *NEWER.by_region})
        near = [known for known in regions if known[:2] == region[:2]] or regions
        raise UnknownImage(f"AWS does not publish its Triton image in {region!r}, but in {', '.join(near)}.")
    return [ImageReference.in_ecr(account, region, REPOSITORY, tag=version) for account in accounts]


def release_warning(region: str, version: str) -> str | None:
    """The warning that the accounts of a region are not known to publish a version, if they are not.

    It is not an error, because the tables age: AWS publishes releases after `NEWER.last_release`.

    Args:
        region: one that has the image.
        version: one of the valid form.
    """
    parsed = TritonVersion.parse(version)
    families = [family for family in (OLDER, NEWER) if region in family.by_region]
    if parsed is None or any(family.first_release <= parsed.release <= family.last_release for family in families):
        return None
    last = families[-1]
    if parsed.release > last.last_release:
        return (
            f"{version} is newer than {last.last_release}, the newest release known in {region} (from "
            f"{last.first_release} on). Ignore this if AWS has published it since."
        )
    older = "".join(f"from {family.first_release} to {family.last_release} and " for family in families[:-1])
    return (
        f"AWS does not publish {version} in {region}, only versions {older}from {last.first_release} on "
        f"({last.last_release} is the newest one known). Use one of them, or mirror another image with image.source."
    )
