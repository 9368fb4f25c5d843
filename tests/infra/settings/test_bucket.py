from __future__ import annotations

import pytest

from tests.infra.settings.config import assert_broken


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("bucket.name", "a..b", "bucket-name"),
        ("bucket.name", "192.168.5.4", "bucket-name"),
        ("bucket.name", "xn--models", "bucket-name"),
        ("bucket.name", "models--x-s3", "bucket-name"),
        ("bucket.kmsKeyArn", "alias/x", "wrong-form"),
        ("bucket.kmsKeyArn", "arn:aws:kms:us-east-1:123456789012:key/abc", "bucket-key-region"),
    ],
)
def test_a_wrong_bucket_is_refused(path: str, value: object, rule: str) -> None:
    assert_broken(path, value, rule)
