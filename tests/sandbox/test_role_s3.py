"""What an execution role may read and write in S3."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from sandbox.aws.conditions import Conditions
from sandbox.aws.models import ExecutionRole
from sandbox.aws.protocol import AwsError, RequestContext
from sandbox.aws.role_s3 import NoSuchObject, NotAllowed, RoleS3
from tests.sandbox.conftest import ACCOUNT, REGION, policy_document

BUCKET = "data"
ARN = f"arn:aws:s3:::{BUCKET}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    with mock_aws():
        constraint = {"LocationConstraint": REGION}
        boto3.client("s3", REGION).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=constraint)
        yield


def role_s3(actions: tuple[str, ...] = ("s3:*",), resources: tuple[str, ...] = (ARN, f"{ARN}/*")) -> RoleS3:
    iam = boto3.client("iam")
    arn = iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    document = policy_document({"Effect": "Allow", "Action": list(actions), "Resource": list(resources)})
    iam.put_role_policy(RoleName="role", PolicyName="p", PolicyDocument=document)
    return RoleS3(ExecutionRole(arn), RequestContext(ACCOUNT, REGION, "", {}, "", Conditions()))


def test_what_is_written_is_read_by_anyone_with_its_content_type() -> None:
    s3 = role_s3()
    s3.write(BUCKET, "a/b.out", b"answer", "application/json")
    assert s3.read(BUCKET, "a/b.out") == b"answer"
    stored = boto3.client("s3", REGION).get_object(Bucket=BUCKET, Key="a/b.out")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"answer", "application/json")


def test_keys_are_those_below_the_prefix_in_the_order_of_s3() -> None:
    s3 = role_s3()
    versioning = {"Status": "Enabled"}  # so that a deleted object leaves a marker
    boto3.client("s3", REGION).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioning)
    for key in ("in/b", "in/a", "in/\N{LATIN SMALL LETTER E WITH ACUTE}", "in/Z", "other"):
        s3.write(BUCKET, key, b"")
    boto3.client("s3", REGION).delete_object(Bucket=BUCKET, Key="in/b")
    assert s3.keys(BUCKET, "in/") == ["in/Z", "in/a", "in/\N{LATIN SMALL LETTER E WITH ACUTE}"]


def test_each_action_needs_its_permission() -> None:
    s3 = role_s3(("sagemaker:*",))
    for call in (
        lambda: s3.read(BUCKET, "a"),
        lambda: s3.keys(BUCKET, ""),
        lambda: s3.write(BUCKET, "a", b""),
    ):
        with pytest.raises(NotAllowed):
            call()


def test_list_bucket_on_the_objects_allows_no_listing() -> None:
    with pytest.raises(NotAllowed, match=f"s3:ListBucket on {ARN}$"):
        role_s3(("s3:ListBucket",), (f"{ARN}/*",)).keys(BUCKET, "")


def test_what_does_not_exist_is_reported() -> None:
    s3 = role_s3(resources=("*",))
    for call in (lambda: s3.read(BUCKET, "a"), lambda: s3.keys("missing", ""), lambda: s3.write("missing", "a", b"")):
        with pytest.raises(NoSuchObject):
            call()


@pytest.mark.parametrize("by_default", [True, False])
def test_a_customer_managed_key_needs_its_own_permission(by_default: bool) -> None:
    """S3 User Guide, "Using server-side encryption with AWS KMS keys"."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}
    if by_default:
        boto3.client("s3", REGION).put_bucket_encryption(
            Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]}
        )
    key = None if by_default else KEY
    with pytest.raises(NotAllowed, match=f"kms:GenerateDataKey on {KEY}"):
        role_s3().write(BUCKET, "a", b"", kms_key=key)
    boto3.client("iam").delete_role_policy(RoleName="role", PolicyName="p")
    boto3.client("iam").delete_role(RoleName="role")
    writer = role_s3(("s3:*", "kms:GenerateDataKey"), ("*",))
    writer.write(BUCKET, "a", b"", kms_key=key)
    assert boto3.client("s3", REGION).head_object(Bucket=BUCKET, Key="a")["SSEKMSKeyId"] == KEY
    with pytest.raises(NotAllowed, match=f"kms:Decrypt on {KEY}"):
        writer.read(BUCKET, "a")


def test_a_bucket_policy_that_denies_the_write_is_obeyed() -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{ARN}/models/*"}
    boto3.client("s3", REGION).put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    s3 = role_s3()
    s3.write(BUCKET, "out/a", b"")
    with pytest.raises(AwsError, match="explicit deny"):
        s3.write(BUCKET, "models/a", b"")


def test_a_key_that_is_allowed_through_s3_alone_is_used_through_s3() -> None:
    """KMS guide, `kms:ViaService`."""
    arn = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    condition = {"StringLike": {"kms:ViaService": f"s3.{REGION}.*"}}
    document = policy_document(
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": KEY, "Condition": condition},
    )
    boto3.client("iam").put_role_policy(RoleName="role", PolicyName="p", PolicyDocument=document)
    s3 = RoleS3(ExecutionRole(arn), RequestContext(ACCOUNT, REGION, "", {}, "", Conditions()))
    s3.write(BUCKET, "a", b"answer", kms_key=KEY)
    assert boto3.client("s3", REGION).head_object(Bucket=BUCKET, Key="a")["SSEKMSKeyId"] == KEY
    with pytest.raises(NotAllowed):
        s3.read(BUCKET, "a")
