"""KMS's types."""

from __future__ import annotations

from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls


def _switch_key(work: Work) -> None:
    work.call("EnableKey" if work.given.get("isEnabled", True) else "DisableKey")


def _switch_rotation(work: Work) -> None:
    if not work.given.get("enableKeyRotation"):
        work.call("DisableKeyRotation")
        return
    period = work.given.get("rotationPeriodInDays")
    work.call("EnableKeyRotation", **({"RotationPeriodInDays": period} if period else {}))


def _read_key(work: Work) -> dict[str, Any] | None:
    key = work.call("DescribeKey")["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        return None
    return {
        "arn": key["Arn"],
        "keyId": key["KeyId"],
        "description": key.get("Description"),
        "isEnabled": key["Enabled"],
        "keyUsage": key["KeyUsage"],
        "customerMasterKeySpec": key.get("KeySpec") or key["CustomerMasterKeySpec"],
        "multiRegion": key.get("MultiRegion", False),
    }


TYPES = (
    ResourceType(
        token="aws:kms/key:Key",
        service="kms",
        inputs="bypassPolicyLockoutSafetyCheck customerMasterKeySpec deletionWindowInDays description "
        "enableKeyRotation isEnabled keyUsage multiRegion policy rotationPeriodInDays",
        outputs="arn keyId",
        identity="keyId",
        id="{keyId}",
        names={
            "customerMasterKeySpec": "KeySpec",
            "deletionWindowInDays": "PendingWindowInDays",
            "enableKeyRotation": "KeyRotationEnabled",
            "arn": "Arn",
            "tagsAll": "Tags",
        },
        create="CreateKey",
        reads=(Read("DescribeKey", run=_read_key), Read("GetKeyPolicy"), Read("GetKeyRotationStatus")),
        updates=(
            "UpdateKeyDescription",
            "PutKeyPolicy",
            Step("EnableKeyRotation", run=_switch_rotation, on="enableKeyRotation rotationPeriodInDays"),
            Step("EnableKey", run=_switch_key, on="isEnabled"),
        ),
        delete="ScheduleKeyDeletion",
        replaces="customerMasterKeySpec keyUsage multiRegion",
        defaults={
            "bypassPolicyLockoutSafetyCheck": False,
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "enableKeyRotation": False,
            "isEnabled": True,
            "keyUsage": "ENCRYPT_DECRYPT",
        },
        documents="policy",
        computed="description multiRegion policy rotationPeriodInDays",
        write_only="bypassPolicyLockoutSafetyCheck deletionWindowInDays",
        tags=TagCalls("ListResourceTags", "TagResource", "UntagResource"),
    ),
)
