"""The form of the KMS keys in a stack's settings."""

from __future__ import annotations

KMS_KEY_ARN = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$"
"""The ARN of a key, neither its alias nor its ID: IAM grants keys by their ARN."""
