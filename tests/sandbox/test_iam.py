"""IAM of the sandbox refuses what AWS's refuses; `API` stands for botocore's model of IAM, AWS's API reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import unique

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        }
    ],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/models/*"}],
}


@pytest.fixture
def iam(client: Callable[..., Any]) -> Any:
    return client("iam", parameter_validation=False)


@pytest.fixture
def name() -> str:
    return unique("role")


@pytest.fixture
def role(iam: Any, name: str) -> str:
    create_role(iam, name)
    return name


def create_role(iam: Any, name: str, trust: Any = TRUST, **params: Any) -> Any:
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), **params)


def refused(code: str, call: Callable[..., Any], *args: Any, **params: Any) -> str:
    """Makes a call that AWS refuses with the code, and returns the message."""
    with pytest.raises(ClientError) as refusal:
        call(*args, **params)
    assert refusal.value.response["Error"]["Code"] == code, refusal.value
    return str(refusal.value.response["Error"]["Message"])


def with_statement(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The document with another first statement; a change to None takes the element away."""
    changed = {**document["Statement"][0], **changes}
    return {**document, "Statement": [{key: value for key, value in changed.items() if value is not None}]}


def padded(characters: int) -> str:
    """A valid policy of so many characters, white space not counted."""
    text = json.dumps(POLICY, separators=(",", ":"))
    return text.replace("models", "m" * (characters - len(text) + len("models")))


def test_the_role_of_a_serving_container_is_taken_and_comes_back(iam: Any, name: str) -> None:
    """What this product makes: the strictness must not stand in its way."""
    create_role(iam, name, Description="Serves models", MaxSessionDuration=3600, Tags=[{"Key": "a", "Value": "b"}])
    iam.put_role_policy(RoleName=name, PolicyName="serving", PolicyDocument=json.dumps(POLICY))
    found = iam.get_role(RoleName=name)["Role"]
    assert (found["Arn"], found["Description"]) == (f"arn:aws:iam::123456789012:role/{name}", "Serves models")
    assert found["AssumeRolePolicyDocument"] == TRUST
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    assert iam.get_role_policy(RoleName=name, PolicyName="serving")["PolicyDocument"] == POLICY


@pytest.mark.parametrize(
    ("bad_name", "constraint"),
    [
        ("r" * 65, "Member must have length less than or equal to 64"),
        ("my role", r"Member must satisfy regular expression pattern: [\w+=,.@-]+"),
        ("rôle", r"Member must satisfy regular expression pattern: [\w+=,.@-]+"),
    ],
)
def test_a_role_has_a_name_of_at_most_64_plain_characters(iam: Any, bad_name: str, constraint: str) -> None:
    """API: roleNameType."""
    message = refused("ValidationError", create_role, iam, bad_name)
    assert message.startswith(f"1 validation error detected: Value '{bad_name}' at 'roleName'")
    assert message.endswith(constraint)


def test_a_description_is_of_latin_1(iam: Any, name: str) -> None:
    """API: roleDescriptionType: a long dash, as text editors like to put, is refused."""
    message = refused("ValidationError", create_role, iam, name, Description="Serving — production")
    assert "at 'description' failed to satisfy constraint" in message
    create_role(iam, name, Description="Größe: 1 000 €".replace("€", "EUR"))


def test_constraints_reach_into_lists(iam: Any, role: str) -> None:
    """API: tagKeyType, tagListType."""
    message = refused("ValidationError", iam.tag_role, RoleName=role, Tags=[{"Key": "k" * 129, "Value": "v"}])
    assert "at 'tags.1.member.key'" in message


def test_role_names_are_unique_whatever_their_case(iam: Any, role: str) -> None:
    """API: CreateRole$RoleName, "Names are not distinguished by case"."""
    refused("EntityAlreadyExists", create_role, iam, role)
    refused("EntityAlreadyExists", create_role, iam, role.upper())


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        ("no JSON", "Syntax errors in policy."),
        ({**TRUST, "Version": "2024-01-01"}, "Syntax errors in policy."),
        (with_statement(TRUST, Principal=None), "Missing required field Principal"),
        (
            with_statement(TRUST, Principal={"Service": "sagemaker"}),
            'Invalid principal in policy: "SERVICE":"sagemaker"',
        ),
        (with_statement(TRUST, Principal="sagemaker.amazonaws.com"), "Invalid principal in policy"),
        (with_statement(TRUST, Resource="*"), "Has prohibited field Resource."),
        (with_statement(TRUST, Action="s3:GetObject"), "Trust Policy statement actions can only be sts:AssumeRole"),
    ],
)
def test_a_trust_policy_is_one(iam: Any, name: str, role: str, trust: Any, words: str) -> None:
    """API: MalformedPolicyDocumentException; IAM User Guide, "Creating a role using custom trust policies"."""
    assert words in refused("MalformedPolicyDocument", create_role, iam, f"{name}-2", trust)
    update = {"RoleName": role, "PolicyDocument": json.dumps(trust)}
    assert words in refused("MalformedPolicyDocument", iam.update_assume_role_policy, **update)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("{", "Syntax errors in policy."),
        (json.dumps({**POLICY, "Statement": []}), "Syntax errors in policy."),
        (json.dumps(with_statement(POLICY, Effect="Permit")), "Syntax errors in policy."),
        (json.dumps(with_statement(POLICY, Resource=None)), "Policy statement must contain resources."),
        (json.dumps(with_statement(POLICY, Resource="bucket")), 'Resource bucket must be in ARN format or "*".'),
        (json.dumps(with_statement(POLICY, Principal="*")), "Policy document should not specify a principal."),
    ],
)
def test_an_inline_policy_is_one(iam: Any, role: str, policy: str, words: str) -> None:
    """API: MalformedPolicyDocumentException; IAM User Guide, "Grammar of the IAM JSON policy language"."""
    put = {"RoleName": role, "PolicyName": "serving", "PolicyDocument": policy}
    assert refused("MalformedPolicyDocument", iam.put_role_policy, **put) == words
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == []


def test_the_inline_policies_of_a_role_share_10240_characters(iam: Any, role: str) -> None:
    """IAM User Guide, "IAM and AWS STS quotas": the aggregate size, white space not counted."""

    def put(policy_name: str, document: str) -> Any:
        return iam.put_role_policy(RoleName=role, PolicyName=policy_name, PolicyDocument=document)

    put("one", padded(5120))
    put("two", padded(5120).replace(",", ",\n    "))
    message = refused("LimitExceeded", put, "three", padded(200))
    assert message == f"Maximum policy size of 10240 bytes exceeded for role {role}"
    refused("LimitExceeded", put, "two", padded(5121))
    put("two", padded(5000))


def test_a_trust_policy_has_at_most_2048_characters(iam: Any, name: str) -> None:
    """IAM User Guide, "IAM and AWS STS quotas": role trust policy length."""
    condition = {"StringEquals": {"aws:SourceAccount": ["123456789012"] * 200}}
    message = refused("LimitExceeded", create_role, iam, name, with_statement(TRUST, Condition=condition))
    assert message == "Cannot exceed quota for ACLSizePerRole: 2048"


def test_a_managed_policy_has_at_most_6144_characters(iam: Any, name: str) -> None:
    """IAM User Guide, "IAM and AWS STS quotas": managed policy size."""
    params = {"PolicyName": name, "PolicyDocument": padded(6145)}
    assert refused("LimitExceeded", iam.create_policy, **params) == "Cannot exceed quota for PolicySize: 6144"
    iam.create_policy(PolicyName=name, PolicyDocument=padded(6144))


def test_a_missing_role_takes_no_policy(iam: Any, name: str) -> None:
    """API: NoSuchEntityException."""
    put = {"RoleName": name, "PolicyName": "serving", "PolicyDocument": json.dumps(POLICY)}
    assert refused("NoSuchEntity", iam.put_role_policy, **put) == f"The role with name {name} cannot be found."
    trust = {"RoleName": name, "PolicyDocument": json.dumps(TRUST)}
    refused("NoSuchEntity", iam.update_assume_role_policy, **trust)
    refused("NoSuchEntity", iam.get_role, RoleName=name)


def test_a_role_goes_after_its_policies(iam: Any, role: str) -> None:
    """API: DeleteConflictException."""
    managed = iam.create_policy(PolicyName=role, PolicyDocument=json.dumps(POLICY))["Policy"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="serving", PolicyDocument=json.dumps(POLICY))
    iam.attach_role_policy(RoleName=role, PolicyArn=managed)
    assert "detach all policies" in refused("DeleteConflict", iam.delete_role, RoleName=role)
    iam.detach_role_policy(RoleName=role, PolicyArn=managed)
    assert "delete policies first" in refused("DeleteConflict", iam.delete_role, RoleName=role)
    iam.delete_role_policy(RoleName=role, PolicyName="serving")
    iam.delete_role(RoleName=role)
    refused("NoSuchEntity", iam.get_role, RoleName=role)


def test_a_service_linked_role_is_made(iam: Any) -> None:
    """API: CreateServiceLinkedRole: its name and its trust policy are the service's."""
    service = "sagemaker.application-autoscaling.amazonaws.com"
    made = iam.create_service_linked_role(AWSServiceName=service)["Role"]
    assert made["Path"] == f"/aws-service-role/{service}/"
