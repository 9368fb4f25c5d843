"""S3 of the sandbox refuses what AWS's refuses, and gives the versions and checksums that AWS's gives.

`API` stands for Amazon S3's API reference, which botocore's model holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.policies.execution import protect_bucket
from sandbox.aws.access import AccessKey
from sandbox.aws.s3 import is_bucket_name
from tests.sandbox.conftest import unique

MIB = 1024 * 1024


@pytest.fixture
def s3(client: Callable[..., Any]) -> Any:
    return client("s3", parameter_validation=False)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = unique("bucket")
    create_bucket(s3, name)
    return name


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def create_bucket(s3: Any, name: str) -> Any:
    return s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})


def refused(code: str, call: Callable[..., Any], *args: Any, **params: Any) -> dict[str, Any]:
    """Makes a call that AWS refuses with the code, and returns the error answer."""
    with pytest.raises(ClientError) as refusal:
        call(*args, **params)
    response: dict[str, Any] = refusal.value.response
    assert response["Error"]["Code"] == code, refusal.value
    return response


def policy(bucket: str, **changes: Any) -> str:
    """A bucket policy that refuses plain HTTP, or one with a changed statement; None takes an element away."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        **changes,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [{k: v for k, v in statement.items() if v is not None}]})


# Buckets


@pytest.mark.parametrize("name", ["abc", "sagemaker-models", "a.b-c.1", "1" * 63, "256.1.1.1"])
def test_names_that_s3_takes(name: str) -> None:
    """S3 User Guide, "General purpose bucket naming rules"."""
    assert is_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "a" * 64,
        "Models",
        "my_models",
        "-models",
        "models-",
        "a..b",
        "192.168.5.4",
        "xn--models",
        "models-s3alias",
    ],
)
def test_names_that_s3_refuses(name: str) -> None:
    """S3 User Guide, "General purpose bucket naming rules"."""
    assert not is_bucket_name(name)


def test_a_bucket_with_such_a_name_is_not_created(client: Callable[..., Any]) -> None:
    """API: error InvalidBucketName."""
    response = refused("InvalidBucketName", create_bucket, client("s3"), "models..of.mine")
    assert response["Error"]["Message"] == "The specified bucket is not valid."


def test_a_bucket_name_is_taken_once(client: Callable[..., Any], s3: Any, bucket: str) -> None:
    """API: BucketAlreadyOwnedByYou, BucketAlreadyExists (a name is one account's only, everywhere)."""
    refused("BucketAlreadyOwnedByYou", create_bucket, s3, bucket)
    role = "arn:aws:iam::210987654321:role/other"
    other = client("sts").assume_role(RoleArn=role, RoleSessionName="other")["Credentials"]
    stranger = client("s3", access_key=AccessKey(other["AccessKeyId"], other["SecretAccessKey"]))
    refused("BucketAlreadyExists", create_bucket, stranger, bucket)


def test_a_bucket_is_made_in_the_region_asked(client: Callable[..., Any]) -> None:
    """API: CreateBucketConfiguration$LocationConstraint: needed outside of us-east-1, and the client's own region."""
    s3, name = client("s3"), unique("bucket")
    refused("IllegalLocationConstraintException", s3.create_bucket, Bucket=name)
    create_bucket(s3, name)
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "ap-northeast-1"


def test_a_bucket_with_versions_is_not_deleted(s3: Any, versioned: str) -> None:
    """API: BucketNotEmpty; "All objects (including all object versions and delete markers)" first: DeleteBucket."""
    version = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=versioned)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=version)
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=versioned)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    s3.delete_bucket(Bucket=versioned)
    refused("404", s3.head_bucket, Bucket=versioned)


# Policies


def test_a_policy_against_plain_http_does_not_lock_the_sandbox_out(s3: Any, versioned: str) -> None:
    """The sandbox speaks plain HTTP on loopback and evaluates no bucket policy: it keeps it and gives it back."""
    s3.put_bucket_policy(Bucket=versioned, Policy=policy(versioned))
    assert json.loads(s3.get_bucket_policy(Bucket=versioned)["Policy"]) == json.loads(policy(versioned))
    s3.put_object(Bucket=versioned, Key="k", Body=b"1")
    s3.copy_object(Bucket=versioned, Key="copy", CopySource={"Bucket": versioned, "Key": "k"})
    assert s3.get_object(Bucket=versioned, Key="copy")["Body"].read() == b"1"
    assert s3.head_object(Bucket=versioned, Key="k")["ContentLength"] == 1
    listed = s3.list_object_versions(Bucket=versioned)["Versions"]
    doomed = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in listed]
    assert len(s3.delete_objects(Bucket=versioned, Delete={"Objects": doomed})["Deleted"]) == 2
    s3.delete_bucket(Bucket=versioned)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Principal": None}, "Missing required field Principal"),
        ({"Resource": None}, "Missing required field Resource"),
        ({"Action": "sagemaker:*"}, "Policy has invalid action"),
        ({"Resource": "arn:aws:s3:::another-bucket/*"}, "Policy has invalid resource"),
        ({"Effect": "Refuse"}, "Invalid effect: Refuse"),
    ],
)
def test_a_bucket_policy_is_one(s3: Any, bucket: str, changes: dict[str, Any], words: str) -> None:
    """API: error MalformedPolicy; S3 User Guide, "Bucket policies for Amazon S3"."""
    response = refused("MalformedPolicy", s3.put_bucket_policy, Bucket=bucket, Policy=policy(bucket, **changes))
    assert response["Error"]["Message"] == words
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)


def test_a_bucket_policy_is_json(s3: Any, bucket: str) -> None:
    """API: error MalformedPolicy."""
    response = refused("MalformedPolicy", s3.put_bucket_policy, Bucket=bucket, Policy="Deny")
    assert response["Error"]["Message"] == "Policies must be valid JSON and the first byte must be '{'"


def test_a_public_policy_is_blocked_where_public_access_is(s3: Any, bucket: str) -> None:
    """S3 User Guide, "Blocking public access to your Amazon S3 storage": BlockPublicPolicy."""
    public = policy(bucket, Effect="Allow", Action="s3:GetObject", Condition=None)
    s3.put_bucket_policy(Bucket=bucket, Policy=public)
    switches = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(switches, True))
    response = refused("AccessDenied", s3.put_bucket_policy, Bucket=bucket, Policy=public)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "prevented by the BlockPublicPolicy setting" in response["Error"]["Message"]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket))


def test_a_policy_of_a_missing_bucket_is_no_policy(s3: Any) -> None:
    """API: NoSuchBucket."""
    refused("NoSuchBucket", s3.put_bucket_policy, Bucket="not-there-at-all", Policy=policy("not-there-at-all"))


# Objects


def test_a_version_is_read_and_copied_by_its_id(s3: Any, versioned: str) -> None:
    """API: PutObject, CopyObject$CopySource with `?versionId=`: a server-side copy of what was, not of what is."""
    first = s3.put_object(Bucket=versioned, Key="a/model 7+é.tar.gz", Body=b"first")
    second = s3.put_object(Bucket=versioned, Key="a/model 7+é.tar.gz", Body=b"second")
    assert first["ETag"] == f'"{hashlib.md5(b"first").hexdigest()}"'
    assert first["VersionId"] != second["VersionId"]
    source = {"Bucket": versioned, "Key": "a/model 7+é.tar.gz", "VersionId": first["VersionId"]}
    copied = s3.copy_object(Bucket=versioned, Key="copy", CopySource=source)
    assert (copied["CopySourceVersionId"], copied["CopyObjectResult"]["ETag"]) == (first["VersionId"], first["ETag"])
    assert copied["VersionId"]
    assert s3.get_object(Bucket=versioned, Key="copy")["Body"].read() == b"first"
    assert s3.head_object(Bucket=versioned, Key=source["Key"])["VersionId"] == second["VersionId"]


def test_a_copy_takes_new_tags(s3: Any, versioned: str) -> None:
    """API: CopyObject$TaggingDirective."""
    s3.put_object(Bucket=versioned, Key="k", Body=b"1", Tagging="old=1")
    source = {"Bucket": versioned, "Key": "k"}
    s3.copy_object(Bucket=versioned, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="new=2")
    assert s3.get_object_tagging(Bucket=versioned, Key="copy")["TagSet"] == [{"Key": "new", "Value": "2"}]


def test_the_version_from_before_versioning_is_null(s3: Any, bucket: str) -> None:
    """S3 User Guide, "How S3 Versioning works": objects from before have the version `null`."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.head_object(Bucket=bucket, Key="k").get("VersionId", "null") == "null"
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    source = {"Bucket": bucket, "Key": "k", "VersionId": "null"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"old"


def test_what_is_missing_is_an_error(s3: Any, versioned: str) -> None:
    """API: NoSuchKey, NoSuchVersion; HeadObject has no body, and so no code but 404."""
    s3.put_object(Bucket=versioned, Key="k", Body=b"1")
    other_version = str(uuid.uuid4())
    refused("404", s3.head_object, Bucket=versioned, Key="missing")
    refused("404", s3.head_object, Bucket=versioned, Key="k", VersionId=other_version)
    refused("NoSuchKey", s3.get_object, Bucket=versioned, Key="missing")
    refused("NoSuchVersion", s3.get_object, Bucket=versioned, Key="k", VersionId=other_version)
    refused("NoSuchKey", s3.copy_object, Bucket=versioned, Key="copy", CopySource=f"{versioned}/missing")
    refused("NoSuchBucket", s3.put_object, Bucket="not-there-at-all", Key="k", Body=b"1")
    s3.delete_object(Bucket=versioned, Key="k")
    refused("404", s3.head_object, Bucket=versioned, Key="k")


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        ({"ChecksumSHA256": "sha256"}, "The SHA256 you specified did not match the calculated checksum."),
        ({"ChecksumSHA1": "sha1"}, "The SHA1 you specified did not match the calculated checksum."),
        ({"ContentMD5": "md5"}, "The Content-MD5 you specified did not match what we received."),
    ],
)
def test_a_body_is_what_its_checksum_says(s3: Any, versioned: str, checksum: dict[str, str], message: str) -> None:
    """API: error BadDigest; S3 User Guide, "Checking object integrity"."""
    (member, algorithm), *_ = checksum.items()
    right = base64.b64encode(hashlib.new(algorithm, b"whole").digest()).decode()
    params = {"Bucket": versioned, "Key": "k", member: right}
    response = refused("BadDigest", s3.put_object, Body=b"damaged", **params)
    assert response["Error"]["Message"] == message
    refused("404", s3.head_object, Bucket=versioned, Key="k")
    s3.put_object(Body=b"whole", **params)


def test_a_checksum_that_the_client_computes_is_kept(s3: Any, versioned: str) -> None:
    """API: PutObject$ChecksumAlgorithm, HeadObject$ChecksumMode."""
    put = s3.put_object(Bucket=versioned, Key="k", Body=b"whole", ChecksumAlgorithm="SHA256")
    right = base64.b64encode(hashlib.sha256(b"whole").digest()).decode()
    assert put["ChecksumSHA256"] == right
    assert s3.head_object(Bucket=versioned, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == right


def test_a_json_object_is_stored_as_it_is(aws: Any, s3: Any, bucket: str) -> None:
    """The log of calls shows the parameters of a call, and a body is none, whatever its type."""
    s3.put_object(Bucket=bucket, Key="k", Body=b'{"Key": "other"}', ContentType="application/json")
    assert aws.calls()[-1]["params"] == {"Bucket": bucket, "Key": "k"}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b'{"Key": "other"}'


# Multipart uploads


def multipart(s3: Any, bucket: str, *parts: bytes) -> dict[str, Any]:
    """An upload of the parts, as CompleteMultipartUpload takes it."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    target = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etags = [s3.upload_part(**target, PartNumber=n, Body=part)["ETag"] for n, part in enumerate(parts, 1)]
    return target | {"MultipartUpload": {"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]}}


def test_every_part_but_the_last_has_5_mib(s3: Any, versioned: str) -> None:
    """API: error EntityTooSmall; S3 User Guide, "Amazon S3 multipart upload limits"."""
    refused("EntityTooSmall", s3.complete_multipart_upload, **multipart(s3, versioned, b"s" * (5 * MIB - 1), b"end"))
    completed = s3.complete_multipart_upload(**multipart(s3, versioned, b"l" * 5 * MIB, b"end"))
    assert completed["VersionId"]
    assert completed["ETag"].endswith('-2"')
    assert s3.head_object(Bucket=versioned, Key="k")["ContentLength"] == 5 * MIB + 3


def test_a_part_is_what_its_checksum_says(s3: Any, versioned: str) -> None:
    """API: UploadPart, error BadDigest."""
    upload = s3.create_multipart_upload(Bucket=versioned, Key="k")["UploadId"]
    part = {"Bucket": versioned, "Key": "k", "UploadId": upload, "PartNumber": 1, "Body": b"damaged"}
    right = base64.b64encode(hashlib.md5(b"whole").digest()).decode()
    refused("BadDigest", s3.upload_part, **part, ContentMD5=right)


def test_an_unknown_upload_is_an_error(s3: Any, versioned: str) -> None:
    """API: NoSuchUpload."""
    abandoned = multipart(s3, versioned, b"1")
    s3.abort_multipart_upload(**{key: abandoned[key] for key in ("Bucket", "Key", "UploadId")})
    refused("NoSuchUpload", s3.complete_multipart_upload, **abandoned)
    part = {key: abandoned[key] for key in ("Bucket", "Key", "UploadId")} | {"PartNumber": 1}
    refused("NoSuchUpload", s3.upload_part, Body=b"1", **part)
    refused("NoSuchUpload", s3.upload_part_copy, CopySource=f"{versioned}/any", **part)


def test_a_bucket_is_encrypted_by_s3_itself_until_it_is_told_otherwise(s3: Any, bucket: str) -> None:
    """S3 User Guide, "Setting default server-side encryption behavior for Amazon S3 buckets"; deleting the
    configuration resets it to SSE-S3 (API_DeleteBucketEncryption)."""

    def algorithm() -> str:
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        return str(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])

    assert algorithm() == "AES256"
    kms = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/models"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [kms]})
    assert algorithm() == "aws:kms"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert algorithm() == "AES256"


def test_there_is_no_encryption_of_a_bucket_that_is_not_there(s3: Any) -> None:
    refused("NoSuchBucket", s3.get_bucket_encryption, Bucket=unique("bucket"))


def test_a_bucket_policy_that_wants_conditional_writes_is_kept(s3: Any, versioned: str) -> None:
    """S3 User Guide, "Enforce conditional writes on Amazon S3 buckets": by PutObject, CompleteMultipartUpload and
    CopyObject; the parts of a multipart upload are spared."""
    s3.put_bucket_policy(Bucket=versioned, Policy=json.dumps(protect_bucket(f"arn:aws:s3:::{versioned}")))
    target = {"Bucket": versioned, "Key": "models/e/m.tar.gz"}
    refused("AccessDenied", s3.put_object, **target, Body=b"1")
    s3.put_object(Bucket=versioned, Key="artifacts/m.tar.gz", Body=b"1")
    source = {"Bucket": versioned, "Key": "artifacts/m.tar.gz"}
    refused("AccessDenied", s3.copy_object, **target, CopySource=source)
    upload = s3.create_multipart_upload(**target)["UploadId"]
    part = s3.upload_part_copy(**target, UploadId=upload, PartNumber=1, CopySource=source)["CopyPartResult"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    refused("AccessDenied", s3.complete_multipart_upload, **target, UploadId=upload, MultipartUpload=parts)
    s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=parts, IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, **target, Body=b"2", IfNoneMatch="*")
    assert s3.get_object(**target)["Body"].read() == b"1"
