"""The KMS keys in a stack's settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from infra.settings.section import setting

KmsKeyArn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$")]
"""The ARN of a key. An alias or a key ID is not accepted, because IAM policies name keys by their ARN."""


def kms_key(description: str, source: str, **extra: Any) -> Any:
    """The setting of a key that the execution role may use."""
    return setting(
        description,
        default=None,
        example="arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        source=f"{source}; this project: a key ARN, because the execution role is granted this key only",
        **extra,
    )


def key_of_answers(source: str) -> Any:
    """The setting of a key that encrypts answers in S3."""
    return kms_key(
        "ARN of the KMS key, in the stack's region, that encrypts the answers (KmsKeyId). Default: the encryption of "
        "the bucket.",
        f"{source} (KmsKeyId)",
    )
