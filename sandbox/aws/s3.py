"""S3's rules in front of moto, which lets names, policies and damaged bodies pass that AWS refuses."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.utils import bucket_policy_is_public

from sandbox.aws.policy import Verdict, evaluate
from sandbox.aws.protocol import PASS_TO_MOTO, AwsError, RequestContext, partition

Params = Mapping[str, Any]


class S3:
    """Checks a call, then leaves it to moto."""

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any] | None:
        if operation in _WRITES:
            check_bucket_policy(operation, params, context)
        if operation in _CHECKS:
            _CHECKS[operation](params, context)
        return PASS_TO_MOTO  # type: ignore[no-any-return]


def _permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    """moto would apply a bucket policy's statements without their conditions: see `check_bucket_policy`."""
    return PermissionResult.NEUTRAL


FakeBucket.get_permission = _permission  # type: ignore[method-assign, assignment]

#: Whether an operation of s3:PutObject creates an object, the condition key `s3:ObjectCreationOperation`: S3 User
#: Guide, "Enforce conditional writes on Amazon S3 buckets".
_WRITES: Final[Mapping[str, bool]] = {
    "PutObject": True,
    "CopyObject": True,
    "CompleteMultipartUpload": True,
    "CreateMultipartUpload": False,
    "UploadPart": False,
    "UploadPartCopy": False,
}


def check_bucket_policy(operation: str, params: Params, context: RequestContext) -> None:
    """What a bucket's policy denies everybody, of the writes of objects. The sandbox's own plain HTTP on loopback
    counts as the TLS that AWS has."""
    where = partition(context.region)
    bucket = s3_backends[context.account][where].buckets.get(params["Bucket"])
    if bucket is None or not bucket.policy:
        return
    keys = {"aws:SecureTransport": "true", "s3:ObjectCreationOperation": str(_WRITES[operation]).lower()}
    if given := context.headers.get("if-none-match"):
        keys["s3:if-none-match"] = given
    arn = f"arn:{where}:s3:::{params['Bucket']}/{params['Key']}"
    if evaluate([json.loads(bucket.policy)], "s3:PutObject", arn, keys) is Verdict.DENIED:
        raise AwsError(
            "AccessDenied",
            f"User: arn:{where}:sts::{context.account}:user/moto is not authorized to perform: s3:PutObject on "
            f'resource: "{arn}" with an explicit deny in a resource-based policy',
            403,
        )


#: S3 User Guide, "General purpose bucket naming rules".
_BUCKET_NAME = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def is_bucket_name(name: str) -> bool:
    reserved = name.startswith(_RESERVED_PREFIXES) or name.endswith(_RESERVED_SUFFIXES)
    return bool(_BUCKET_NAME.fullmatch(name)) and not reserved and not _is_ip_address(name)


def _is_ip_address(name: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(name))
    except ValueError:
        return False


def _check_create_bucket(params: Params, context: RequestContext) -> None:
    if not is_bucket_name(params["Bucket"]):
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.")


def _check_put_bucket_policy(params: Params, context: RequestContext) -> None:
    name, where = params["Bucket"], partition(context.region)
    bucket = s3_backends[context.account][where].buckets.get(name)
    if bucket is None:
        return
    text = context.body.decode(errors="replace")
    _check_policy(text, f"arn:{where}:s3:::{name}")
    block = bucket.public_access_block
    if block and block.block_public_policy and bucket_policy_is_public(text):
        raise AwsError(
            "AccessDenied",
            f"User: arn:{where}:sts::{context.account}:user/moto is not authorized to perform: s3:PutBucketPolicy on "
            f'resource: "arn:{where}:s3:::{name}" because public policies are prevented by the BlockPublicPolicy '
            "setting in S3 Block Public Access.",
            403,
        )


def _check_policy(text: str, bucket_arn: str) -> None:
    """Raises MalformedPolicy in S3's words for the first thing wrong."""
    try:
        policy = json.loads(text)
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    for statement in _list(policy.get("Statement")):
        for fields in (
            ("Effect",),
            ("Principal", "NotPrincipal"),
            ("Action", "NotAction"),
            ("Resource", "NotResource"),
        ):
            if not any(field in statement for field in fields):
                raise _malformed(f"Missing required field {fields[0]}")
        if statement["Effect"] not in ("Allow", "Deny"):
            raise _malformed(f"Invalid effect: {statement['Effect']}")
        if not all(re.fullmatch(r"\*|s3:[A-Za-z*?]+", action) for action in _list(statement.get("Action"))):
            raise _malformed("Policy has invalid action")
        resources = _list(statement.get("Resource"))
        if not all(resource == bucket_arn or resource.startswith(f"{bucket_arn}/") for resource in resources):
            raise _malformed("Policy has invalid resource")


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicy", message)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


_CHECKSUMS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "SHA1": lambda body: hashlib.sha1(body).digest(),
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}


def _check_body(params: Params, context: RequestContext) -> None:
    """The body is what its checksum headers say.

    A client that speaks plain HTTP, as all do here, sends them ahead of the body; a checksum behind a chunked body, and
    one by an algorithm that Python does not have, are not verified.
    """
    if context.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return
    for algorithm, checksum in _CHECKSUMS.items():
        given = context.headers.get(f"x-amz-checksum-{algorithm.lower()}")
        if given is not None and given != _base64(checksum(context.body)):
            raise AwsError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    given = context.headers.get("content-md5")
    if given is not None and given != _base64(hashlib.md5(context.body).digest()):
        raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _check_upload(params: Params, context: RequestContext) -> None:
    bucket = s3_backends[context.account][partition(context.region)].buckets.get(params["Bucket"])
    if bucket is not None and params["uploadId"] not in bucket.multiparts:
        raise AwsError(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
            "completed.",
            404,
        )


def _check_part(params: Params, context: RequestContext) -> None:
    _check_upload(params, context)
    _check_body(params, context)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _encrypt_by_default(params: Params, context: RequestContext) -> None:
    """A bucket without a configuration has S3's own (S3 User Guide, "Setting default server-side encryption behavior");
    deleting the configuration brings it back (API_DeleteBucketEncryption)."""
    bucket = s3_backends[context.account][partition(context.region)].buckets.get(params["Bucket"])
    if bucket is not None and not bucket.encryption:
        bucket.encryption = {"Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}}


_CHECKS: Final[Mapping[str, Callable[[Params, RequestContext], None]]] = {
    "CompleteMultipartUpload": _check_upload,
    "CreateBucket": _check_create_bucket,
    "GetBucketEncryption": _encrypt_by_default,
    "PutBucketPolicy": _check_put_bucket_policy,
    "PutObject": _check_body,
    "UploadPart": _check_part,
    "UploadPartCopy": _check_upload,
}
