"""The model bucket as the program registers it."""

from __future__ import annotations

import json

import pytest

from tests.infra.mock_runtime import changed, run


def test_the_bucket_is_versioned_encrypted_private_and_requires_tls() -> None:
    dev = run("dev")
    assert dev.one(":BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    (rule,) = dev.one(":BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule == {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}
    blocks = dev.one(":BucketPublicAccessBlock").inputs
    assert {key for key, value in blocks.items() if value is True} == {
        *("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    }
    tls, once = json.loads(dev.one(":BucketPolicy").inputs["policy"])["Statement"]
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert (once["Effect"], once["Resource"]) == ("Deny", "arn:aws:s3:::models-dev-1a2b3c4/models/*")


def test_noncurrent_versions_and_aborted_uploads_expire_but_no_current_version() -> None:
    days = {"noncurrentVersionExpirationDays": 30, "abortIncompleteMultipartUploadDays": 2}
    days["resultExpirationDays"] = 7
    *results, versions, uploads = changed("dev", bucket=days).one(":BucketLifecycleConfiguration").inputs["rules"]
    expiring = [(rule["filter"]["prefix"], rule["expiration"]["days"]) for rule in results]
    assert expiring == [("async/", 7), ("batch/", 7), ("datadog/", 7)]
    assert versions["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert uploads["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 2}
    assert "expiration" not in versions, "a live Model may name the current version"


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_the_bucket_and_all_its_settings_are_retained(stack: str) -> None:
    resources = [resource for resource in run(stack).resources if resource.type.startswith("aws:s3/")]
    assert len(resources) == 6
    assert all(resource.request.retainOnDelete for resource in resources)


def test_a_kms_key_encrypts_the_bucket_and_the_role_decrypts_with_it() -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"
    deployment = changed("dev", bucket={"kmsKeyArn": key})
    (rule,) = deployment.one(":BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key}
    (decrypt,) = json.loads(deployment.one(":RolePolicy", "execution-role-kms").inputs["policy"])["Statement"]
    assert (decrypt["Action"], decrypt["Resource"]) == (["kms:Decrypt"], key)
