"""The KMS keys in a stack's settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

KmsKeyArn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$")]
"""The ARN of a key. An alias or a key ID is not accepted, because IAM policies name keys by their ARN."""


def other_region(arn: str | None, region: str) -> str | None:
    """The region of a key that services in `region` cannot use (KMS guide, Multi-Region keys)."""
    of_key = arn.split(":")[3] if arn else region
    return None if of_key == region else of_key
