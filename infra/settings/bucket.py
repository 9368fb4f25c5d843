"""The settings of the bucket that holds model artifacts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from infra import names
from infra.settings.kms import KmsKeyArn, kms_key
from infra.settings.section import Effect, Section, setting, violation

_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def _bucket_name(name: str) -> str:
    """The rules of S3 beyond length and characters."""
    broken = {
        "it contains two adjacent periods": ".." in name,
        "it is formatted as an IP address": re.fullmatch(r"\d+(\.\d+){3}", name),
        "it starts with a prefix reserved by S3": name.startswith(_RESERVED_PREFIXES),
        "it ends with a suffix reserved by S3": name.endswith(_RESERVED_SUFFIXES),
    }
    if reason := next((reason for reason, holds in broken.items() if holds), None):
        raise violation(
            "bucket-name",
            f"{name!r} is not a valid bucket name: {reason} (S3 guide, General purpose bucket naming rules). Use "
            "another name.",
        )
    return name


_BucketName = Annotated[
    str,
    StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"),
    AfterValidator(_bucket_name),
]


class BucketSettings(Section):
    """The bucket that holds model artifacts."""

    name: _BucketName | None = setting(
        "The bucket's name, unique across all AWS accounts: lowercase letters, digits, periods and hyphens. Pulumi "
        "chooses a name by default. A new name creates a new bucket and keeps the old one; artifacts must be uploaded "
        "again. In production, a new name requires `pulumi up --ignore-protect`.",
        default=None,
        example="sagemaker-models",
        source="S3 guide, General purpose bucket naming rules",
        effect=Effect.REPLACEMENT,
    )
    kms_key_arn: KmsKeyArn | None = kms_key(
        "ARN of the KMS key, in the stack's region, that encrypts the bucket. Default: AES256 (SSE-S3). A change "
        "encrypts a new copy of each artifact and releases it.",
        "S3 API ServerSideEncryptionByDefault (KMSMasterKeyID)",
        effect=Effect.NEW_RELEASE,
    )
    noncurrent_version_expiration_days: int = setting(
        "Days until a replaced or deleted version of an object is permanently removed. S3 takes about a minute to "
        "apply a change, and `pulumi up` waits for it.",
        default=90,
        ge=1,
        example=30,
        source="S3 API NoncurrentVersionExpiration (NoncurrentDays)",
    )
    releases_kept: int = setting(
        "Number of an endpoint's most recent successful releases whose artifacts are kept under models/. Artifacts "
        "that a Model of the endpoint refers to are always kept; a release removes all others.",
        default=10,
        ge=1,
        example=20,
        source="this project: an artifact that may be served again is not removed",
    )
    abort_incomplete_multipart_upload_days: int = setting(
        "Days until an incomplete multipart upload is removed.",
        default=7,
        ge=1,
        example=2,
        source="S3 API AbortIncompleteMultipartUpload (DaysAfterInitiation); this project: not 0, because an upload "
        "may be in progress",
    )
    result_expiration_days: int = setting(
        "Days until requests, records, answers and undelivered metrics are removed: everything below "
        f"{', '.join(names.EXPIRING)}.",
        default=30,
        ge=1,
        example=7,
        source="S3 API LifecycleExpiration (Days)",
    )
