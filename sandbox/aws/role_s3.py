"""Objects in S3 as a service of AWS reads and writes them: with the permissions of a role that it assumes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.s3.models import FakeBucket, FakeKey, S3Backend, s3_backends

from sandbox.aws.protocol import RequestContext, partition
from sandbox.aws.s3 import check_bucket_policy
from sandbox.aws.service_role import ServiceRole


class S3Error(Exception):
    """S3 does not give the role what it asks for."""


class NoSuchObject(S3Error):
    """The bucket or the key does not exist."""


class NotAllowed(S3Error):
    """The role's policies do not allow the action."""


@dataclass(frozen=True)
class RoleS3:
    """S3 for a role. A customer managed key asks for its own permission, `kms:Decrypt` to read an object and
    `kms:GenerateDataKey` to write one (S3 User Guide, "Using server-side encryption with AWS KMS keys")."""

    role: ServiceRole
    context: RequestContext

    def read(self, bucket: str, key: str) -> bytes:
        """
        Raises:
            S3Error: the object does not exist, or the role may not read it.
        """
        self._check("s3:GetObject", self._arn(bucket, key))
        stored = self._bucket(bucket).keys.get(key)
        if not isinstance(stored, FakeKey):
            raise NoSuchObject(f"s3://{bucket}/{key} does not exist")
        self._check_key("kms:Decrypt", stored.kms_key_id)
        return bytes(stored.value)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """All keys that begin with the prefix, in the order of S3: by their UTF-8 bytes.

        Raises:
            S3Error: the bucket does not exist, or the role may not list it.
        """
        self._check("s3:ListBucket", self._arn(bucket))
        stored = self._bucket(bucket).keys.items()
        keys = (key for key, value in stored if key.startswith(prefix) and isinstance(value, FakeKey))
        return sorted(keys, key=str.encode)

    def write(self, bucket: str, key: str, body: bytes, content_type: str = "", kms_key: str | None = None) -> None:
        """
        Args:
            kms_key: key ID or ARN of the encryption; None leaves it to the bucket.

        Raises:
            S3Error: the bucket does not exist, or the role may not write there.
            AwsError: the bucket's policy denies it.
        """
        self._check("s3:PutObject", self._arn(bucket, key))
        to = self._bucket(bucket)
        check_bucket_policy("PutObject", {"Bucket": bucket, "Key": key}, self.context)
        self._check_key("kms:GenerateDataKey", kms_key or _default_key(to))
        stored = self._backend.put_object(
            bucket, key, body, encryption="aws:kms" if kms_key else None, kms_key_id=kms_key
        )
        stored.set_metadata({"Content-Type": content_type} if content_type else {})

    def _check(self, action: str, arn: str, context: Mapping[str, str] | None = None) -> None:
        if not self.role.allows(action, arn, context):
            raise NotAllowed(f"{self.role.arn} is not authorized to perform {action} on {arn}")

    def _check_key(self, action: str, key: str | None) -> None:
        """Nothing is asked for a key by its alias, such as that of S3 itself (`alias/aws/s3`). S3 uses the key for the
        role (KMS guide, condition key `kms:ViaService`)."""
        region, account = self.context.region, self.context.account
        if key and re.fullmatch(r"[0-9a-f-]{36}", key):
            key = f"arn:{partition(region)}:kms:{region}:{account}:key/{key}"
        if key and ":key/" in key:
            self._check(action, key, {"kms:ViaService": f"s3.{region}.amazonaws.com"})

    def _arn(self, bucket: str, key: str | None = None) -> str:
        arn = f"arn:{partition(self.context.region)}:s3:::{bucket}"
        return arn if key is None else f"{arn}/{key}"

    @property
    def _backend(self) -> S3Backend:
        return s3_backends[self.context.account][partition(self.context.region)]

    def _bucket(self, name: str) -> FakeBucket:
        bucket = self._backend.buckets.get(name)
        if bucket is None:
            raise NoSuchObject(f"the bucket {name} does not exist")
        return bucket


def _default_key(bucket: FakeBucket) -> str | None:
    """The key of a bucket's default encryption."""
    encryption: Mapping[str, Any] = bucket.encryption or {}
    rule = encryption.get("Rule", {})
    key = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
    return str(key) if key else None
