"""IAM's types."""

from __future__ import annotations

import json
from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls


def _flat_permissions_boundary(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    boundary = found.get("permissionsBoundary")
    return {"permissionsBoundary": boundary["permissionsBoundaryArn"]} if isinstance(boundary, dict) else {}


def _delete_role(work: Work) -> None:
    """`forceDetachPolicies` is the way to delete a role that still has policies; otherwise AWS refuses."""
    if work.state.get("forceDetachPolicies"):
        for policy in work.call("ListAttachedRolePolicies")["AttachedPolicies"]:
            work.call("DetachRolePolicy", PolicyArn=policy["PolicyArn"])
        for name in work.call("ListRolePolicies")["PolicyNames"]:
            work.call("DeleteRolePolicy", PolicyName=name)
    work.call("DeleteRole")


def _read_policy_document(work: Work) -> dict[str, Any] | None:
    version = work.call("GetPolicyVersion", VersionId=work.state["defaultVersionId"])["PolicyVersion"]
    return {"policy": json.dumps(version["Document"])}


def _put_policy_version(work: Work) -> None:
    """AWS keeps five versions (IAM quotas): the oldest makes room."""
    versions = [each for each in work.call("ListPolicyVersions")["Versions"] if not each["IsDefaultVersion"]]
    if len(versions) >= 4:
        oldest = min(versions, key=lambda version: version["CreateDate"])
        work.call("DeletePolicyVersion", VersionId=oldest["VersionId"])
    work.call("CreatePolicyVersion", PolicyDocument=work.given["policy"], SetAsDefault=True)


def _delete_policy(work: Work) -> None:
    for version in work.call("ListPolicyVersions")["Versions"]:
        if not version["IsDefaultVersion"]:
            work.call("DeletePolicyVersion", VersionId=version["VersionId"])
    work.call("DeletePolicy")


def _read_attachment(work: Work) -> dict[str, Any] | None:
    pages = work.pages("ListAttachedRolePolicies")
    attached = {policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]}
    return {name: work.state[name] for name in ("role", "policyArn")} if work.state["policyArn"] in attached else None


TYPES = (
    ResourceType(
        token="aws:iam/role:Role",
        service="iam",
        regional=False,
        inputs="name assumeRolePolicy description forceDetachPolicies maxSessionDuration path permissionsBoundary",
        outputs="arn createDate uniqueId",
        identity="name",
        autoname=AutoName(longest=64),
        names={
            "name": "RoleName",
            "assumeRolePolicy": ("AssumeRolePolicyDocument", "PolicyDocument"),
            "uniqueId": "RoleId",
            "arn": "Arn",
            "tagsAll": "Tags",
        },
        create="CreateRole",
        reads=(Read("GetRole", result="Role"),),
        complete=_flat_permissions_boundary,
        updates=("UpdateAssumeRolePolicy", "UpdateRole", "PutRolePermissionsBoundary"),
        unset={"permissionsBoundary": "DeleteRolePermissionsBoundary"},
        delete=Step("DeleteRole", run=_delete_role),
        replaces="name path",
        defaults={"forceDetachPolicies": False, "maxSessionDuration": 3600, "path": "/"},
        documents="assumeRolePolicy",
        write_only="forceDetachPolicies",
        tags=TagCalls("ListRoleTags", "TagRole", "UntagRole"),
    ),
    ResourceType(
        token="aws:iam/rolePolicy:RolePolicy",
        service="iam",
        regional=False,
        inputs="name policy role",
        identity="role name",
        id="{role}:{name}",
        autoname=AutoName(longest=255),
        names={"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"},
        create="PutRolePolicy",
        reads=(Read("GetRolePolicy"),),
        updates=("PutRolePolicy",),
        delete="DeleteRolePolicy",
        replaces="name role",
        documents="policy",
    ),
    ResourceType(
        token="aws:iam/policy:Policy",
        service="iam",
        regional=False,
        inputs="name policy description path",
        outputs="arn attachmentCount policyId",
        identity="arn",
        id="{arn}",
        autoname=AutoName(longest=255),
        names={"name": "PolicyName", "policy": "PolicyDocument", "arn": ("PolicyArn", "Arn"), "tagsAll": "Tags"},
        create="CreatePolicy",
        reads=(Read("GetPolicy", result="Policy"), Read("GetPolicyVersion", run=_read_policy_document)),
        updates=(Step("CreatePolicyVersion", run=_put_policy_version, on="policy"),),
        delete=Step("DeletePolicy", run=_delete_policy),
        replaces="name description path",
        defaults={"path": "/"},
        documents="policy",
        tags=TagCalls("ListPolicyTags", "TagPolicy", "UntagPolicy"),
    ),
    ResourceType(
        token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        service="iam",
        regional=False,
        inputs="role policyArn",
        identity="role policyArn",
        id="{role}/{policyArn}",
        names={"role": "RoleName"},
        create="AttachRolePolicy",
        reads=(Read("ListAttachedRolePolicies", run=_read_attachment),),
        delete="DetachRolePolicy",
        replaces="role policyArn",
        delete_before_replace=True,
    ),
)
