"""S3's types."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sandbox.provider.lifecycle import AwsCallFailed, Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls


def _create_bucket(work: Work) -> None:
    region = work.client.meta.region_name
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    work.send("CreateBucket", **location)


def _bucket_addresses(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    bucket, meta = work.state["bucket"], work.client.meta
    suffix = "amazonaws.com.cn" if meta.partition == "aws-cn" else "amazonaws.com"
    region = found.get("bucketRegion") or meta.region_name
    return {
        "bucket": bucket,
        "arn": f"arn:{meta.partition}:s3:::{bucket}",
        "bucketRegion": region,
        "bucketDomainName": f"{bucket}.s3.{suffix}",
        "bucketRegionalDomainName": f"{bucket}.s3.{region}.{suffix}",
    }


def _delete_bucket(work: Work) -> None:
    if work.state.get("forceDestroy"):
        _delete_versions(work)
    work.call("DeleteBucket")


def _delete_versions(work: Work, key: str | None = None) -> None:
    """Deletes every version and delete marker in the bucket, or those of one key."""
    for page in work.pages("ListObjectVersions", **({"Prefix": key} if key else {})):
        versions = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
            if key is None or version["Key"] == key
        ]
        if versions:
            work.call("DeleteObjects", Delete={"Objects": versions, "Quiet": True})


def _read_versioning(work: Work) -> dict[str, Any] | None:
    status = work.call("GetBucketVersioning")
    if "Status" not in status:  # never switched on: the resource exists only as one that says so
        disabled = (work.state.get("versioningConfiguration") or {}).get("status") == "Disabled"
        return {"versioningConfiguration": {"status": "Disabled"}} if disabled else None
    mfa = {"mfaDelete": status["MFADelete"]} if "MFADelete" in status else {}
    return {"versioningConfiguration": {"status": status["Status"], **mfa}}


def _put_versioning(work: Work) -> None:
    if work.state["versioningConfiguration"].get("status") != "Disabled":
        work.send("PutBucketVersioning")


def _suspend_versioning(work: Work) -> None:
    """Versioning cannot be switched off again, only suspended."""
    if work.state["versioningConfiguration"].get("status") == "Enabled":
        work.call("PutBucketVersioning", VersioningConfiguration={"Status": "Suspended"})


def _put_object(work: Work) -> dict[str, Any]:
    tags = {} if work.created else work.state.get("tagsAll") or {}  # a new version starts without the old one's tags
    return work.send("PutObject", Body=_content(work), **({"Tagging": urlencode(tags)} if tags else {}))


def _content(work: Work) -> bytes:
    """The object's bytes: of an asset, a text, or a text in base 64."""
    match work.given:
        case {"contentBase64": str(text)}:
            return base64.b64decode(text)
        case {"content": str(text)} | {"source": {"text": str(text)}}:
            return text.encode()
        case {"source": {"path": str(path)}}:
            return Path(path).read_bytes()
        case {"source": _}:
            raise AwsCallFailed("PutObject", work.id, "", "source: the sandbox takes a FileAsset or a StringAsset")
    return b""


def _complete_object(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    bucket, key = work.state["bucket"], work.state["key"]
    return {
        "bucket": bucket,
        "key": key,
        "arn": f"arn:{work.client.meta.partition}:s3:::{bucket}/{key}",
        "etag": str(found.get("etag", "")).strip('"'),
        "storageClass": found.get("storageClass") or "STANDARD",
        "versionId": found.get("versionId", ""),
    }


def _delete_object(work: Work) -> None:
    if work.state.get("versionId"):
        _delete_versions(work, work.state["key"])
    else:
        work.call("DeleteObject")


_OBJECT = (
    "source content contentBase64 sourceHash acl bucketKeyEnabled cacheControl contentDisposition contentEncoding "
    "contentLanguage contentType kmsKeyId metadata serverSideEncryption storageClass"
)

TYPES = (
    ResourceType(
        token="aws:s3/bucket:Bucket",
        service="s3",
        inputs="bucket forceDestroy objectLockEnabled",
        outputs="arn bucketDomainName bucketRegion bucketRegionalDomainName",
        identity="bucket",
        id="{bucket}",
        autoname=AutoName("bucket", 63, lower=True),
        names={"objectLockEnabled": "ObjectLockEnabledForBucket", "tagsAll": "Tagging.TagSet"},
        create=Step("CreateBucket", run=_create_bucket),
        reads=(Read("HeadBucket"),),
        complete=_bucket_addresses,
        delete=Step("DeleteBucket", run=_delete_bucket),
        replaces="bucket objectLockEnabled",
        defaults={"forceDestroy": False},
        computed="objectLockEnabled",
        write_only="forceDestroy objectLockEnabled",
        tags=TagCalls("GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging", result="TagSet", all_at_once=True),
    ),
    ResourceType(
        token="aws:s3/bucketVersioning:BucketVersioning",
        service="s3",
        inputs="bucket versioningConfiguration expectedBucketOwner mfa",
        identity="bucket expectedBucketOwner",
        id="{bucket}",
        create=Step("PutBucketVersioning", run=_put_versioning),
        reads=(Read("GetBucketVersioning", run=_read_versioning),),
        updates=("PutBucketVersioning",),
        delete=Step("PutBucketVersioning", run=_suspend_versioning),
        replaces="bucket expectedBucketOwner",
        computed="mfaDelete",
        write_only="mfa",
    ),
    ResourceType(
        token="aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        service="s3",
        inputs="bucket rules expectedBucketOwner",
        identity="bucket expectedBucketOwner",
        id="{bucket}",
        within="ServerSideEncryptionConfiguration",
        create="PutBucketEncryption",
        reads=(Read("GetBucketEncryption", result="ServerSideEncryptionConfiguration"),),
        updates=("PutBucketEncryption",),
        delete="DeleteBucketEncryption",
        replaces="bucket expectedBucketOwner",
        sets="rules",
        computed="blockedEncryptionTypes",
    ),
    ResourceType(
        token="aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        service="s3",
        inputs="bucket blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets skipDestroy",
        identity="bucket",
        id="{bucket}",
        within="PublicAccessBlockConfiguration",
        create="PutPublicAccessBlock",
        reads=(Read("GetPublicAccessBlock", result="PublicAccessBlockConfiguration"),),
        updates=("PutPublicAccessBlock",),
        delete="DeletePublicAccessBlock",
        replaces="bucket",
        defaults=dict.fromkeys(
            ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), False
        ),
        write_only="skipDestroy",
    ),
    ResourceType(
        token="aws:s3/bucketPolicy:BucketPolicy",
        service="s3",
        inputs="bucket policy",
        identity="bucket",
        id="{bucket}",
        create="PutBucketPolicy",
        reads=(Read("GetBucketPolicy"),),
        updates=("PutBucketPolicy",),
        delete="DeleteBucketPolicy",
        replaces="bucket",
        documents="policy",
    ),
    ResourceType(
        token="aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        service="s3",
        inputs="bucket rules expectedBucketOwner transitionDefaultMinimumObjectSize",
        identity="bucket expectedBucketOwner",
        id="{bucket}",
        within="LifecycleConfiguration",
        create="PutBucketLifecycleConfiguration",
        reads=(Read("GetBucketLifecycleConfiguration"),),
        updates=("PutBucketLifecycleConfiguration",),
        delete="DeleteBucketLifecycle",
        maps="tags",
        replaces="bucket expectedBucketOwner",
        sets="transitions noncurrentVersionTransitions",
        computed="prefix days expiredObjectDeleteMarker filter newerNoncurrentVersions "
        "transitionDefaultMinimumObjectSize",
    ),
    ResourceType(
        token="aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        service="s3",
        inputs="bucket rule",
        identity="bucket",
        id="{bucket}",
        names={"rule": "Rules"},
        within="OwnershipControls",
        create="PutBucketOwnershipControls",
        reads=(Read("GetBucketOwnershipControls", result="OwnershipControls"),),
        updates=("PutBucketOwnershipControls",),
        delete="DeleteBucketOwnershipControls",
        replaces="bucket",
    ),
    ResourceType(
        token="aws:s3/bucketObjectv2:BucketObjectv2",
        service="s3",
        inputs=f"bucket key forceDestroy {_OBJECT}",
        outputs="arn etag versionId",
        identity="bucket key",
        id="{bucket}/{key}",
        import_id=r"(?:s3://)?(?P<bucket>[^/]+)/(?P<key>.+)",
        autoname=AutoName("key", 1024, bare=True),
        names={"kmsKeyId": "SSEKMSKeyId", "etag": "ETag", "tagsAll": "Tagging.TagSet"},
        create=Step("PutObject", run=_put_object),
        reads=(Read("HeadObject"),),
        complete=_complete_object,
        updates=(Step("PutObject", run=_put_object, on=_OBJECT),),
        delete=Step("DeleteObject", run=_delete_object),
        replaces="bucket key",
        defaults={"forceDestroy": False},
        computed="acl bucketKeyEnabled contentType kmsKeyId serverSideEncryption storageClass",
        write_only="source content contentBase64 sourceHash acl forceDestroy",
        renewed="etag versionId",
        tags=TagCalls("GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging", result="TagSet", all_at_once=True),
    ),
)
