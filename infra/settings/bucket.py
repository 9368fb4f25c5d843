"""The settings of the bucket that holds model artifacts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from infra.settings.effect import Effect, on_change
from infra.settings.kms import KMS_KEY_ARN
from infra.settings.section import Section, violation
from infra.settings.source import according_to

_RESERVED_BEGINNINGS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def _bucket_name(name: str) -> str:
    """What S3's rules say beyond length and characters."""
    broken = {
        "it has two dots in a row": ".." in name,
        "it looks like an IP address": re.fullmatch(r"\d+(\.\d+){3}", name),
        "S3 keeps its beginning for itself": name.startswith(_RESERVED_BEGINNINGS),
        "S3 keeps its end for itself": name.endswith(_RESERVED_ENDS),
    }
    if reason := next((reason for reason, holds in broken.items() if holds), None):
        raise violation(
            "bucket-name", f"{name!r} is no bucket name: {reason} (S3 guide, General purpose bucket naming rules)."
        )
    return name


_BucketName = Annotated[
    str,
    StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"),
    AfterValidator(_bucket_name),
]


class BucketSettings(Section):
    """The bucket that holds model artifacts."""

    name: _BucketName | None = Field(
        None,
        description="The bucket's name, unique in all of S3 (3 to 63 lower-case letters, digits, dots and hyphens); "
        "Pulumi chooses one if not given. Under a new name a new bucket is made, the old one stays, and artifacts have "
        "to be uploaded again. In production, a new name requires `pulumi up --ignore-protect`.",
        examples=["sagemaker-models"],
        json_schema_extra=on_change(Effect.REPLACEMENT) | according_to("S3 guide, General purpose bucket naming rules"),
    )
    kms_key_arn: str | None = Field(
        None,
        pattern=KMS_KEY_ARN,
        description="ARN of the KMS key, of the stack's region, that encrypts the bucket; AES256 (S3's own keys) if "
        "not given. A change encrypts a new copy of each artifact and releases it.",
        examples=["arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        json_schema_extra=on_change(Effect.NEW_RELEASE)
        | according_to(
            "S3 API ServerSideEncryptionByDefault (KMSMasterKeyID); this project: the ARN of a key, for the "
            "execution role may use this key alone"
        ),
    )
    noncurrent_version_expiration_days: int = Field(
        90,
        ge=1,
        description="Days after which a replaced or deleted version of an object is removed for good. After a change "
        "the provider waits about a minute for S3 to show it.",
        examples=[30],
        json_schema_extra=according_to("S3 API NoncurrentVersionExpiration (NoncurrentDays)"),
    )
    releases_kept: int = Field(
        10,
        ge=1,
        description="Successful releases of an endpoint, the newest counted, whose artifacts stay under models/ of the "
        "bucket. So does what a Model of the endpoint names. After a release all others are removed.",
        examples=[20],
        json_schema_extra=according_to("this project: an artifact that may be served again is not removed"),
    )
    abort_incomplete_multipart_upload_days: int = Field(
        7,
        ge=1,
        description="Days after which an upload that was never completed is removed.",
        examples=[2],
        json_schema_extra=according_to(
            "S3 API AbortIncompleteMultipartUpload (DaysAfterInitiation); this project: not 0, for an upload may be "
            "under way"
        ),
    )
