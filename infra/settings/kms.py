"""The KMS keys in a stack's settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

KmsKeyArn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$")]
"""The ARN of a key. An alias or a key ID is not accepted, because IAM policies name keys by their ARN."""
