"""What a live fleet needs is not taken from it: the sandbox refuses what AWS would allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import REGION, Host, policy_document, unique
from tests.sandbox.test_ecr import image_text, put_image

Take = Callable[["Fleet"], Any]


class Fleet:
    """An endpoint with a role, and an image in a repository of its own."""

    def __init__(self, host: Host) -> None:
        self.host, self.iam, self.ecr = host, host.aws.client("iam"), host.aws.client("ecr")
        self.role_arn = host.make_role(actions=("s3:GetObject", "ecr:*", "logs:*", "cloudwatch:DescribeAlarms"))
        self.role = self.role_arn.rpartition("/")[2]
        self.repository = unique("triton")
        self.ecr.create_repository(repositoryName=self.repository)
        self.digest = put_image(self.ecr, self.repository, image_text(self.ecr, self.repository), imageTag="1")
        account = self.role_arn.split(":")[4]
        image = f"{account}.dkr.ecr.{REGION}.amazonaws.com/{self.repository}@{self.digest}"
        container = {"Image": image, "ModelDataUrl": host.upload(b"")}
        model = host.model(ExecutionRoleArn=self.role_arn, PrimaryContainer=container)
        self.endpoint = host.endpoint(host.config({"ModelName": model}))

    def put(self, *actions: str) -> None:
        document = policy_document({"Effect": "Allow", "Action": list(actions), "Resource": "*"})
        self.iam.put_role_policy(RoleName=self.role, PolicyName="pull", PolicyDocument=document)


TAKES: dict[str, Take] = {
    "the execution role": lambda f: f.iam.delete_role(RoleName=f.role),
    "s3:GetObject on": lambda f: f.iam.delete_role_policy(RoleName=f.role, PolicyName="pull"),
    "ecr:BatchGetImage on": lambda f: f.put("s3:*", "logs:*"),
    "logs:CreateLogStream on": lambda f: f.put("s3:*", "ecr:*"),
    "the repository": lambda f: f.ecr.delete_repository(repositoryName=f.repository, force=True),
    "the image": lambda f: f.ecr.batch_delete_image(repositoryName=f.repository, imageIds=[{"imageTag": "1"}]),
}


@pytest.fixture
def fleet(host: Host) -> Fleet:
    return Fleet(host)


@pytest.mark.parametrize("taken", TAKES)
def test_what_a_live_fleet_needs_is_not_taken(fleet: Fleet, taken: str) -> None:
    with pytest.raises(ClientError, match=f"takes {taken}.* from endpoint"):
        TAKES[taken](fleet)


@pytest.mark.parametrize("taken", ["s3:PutObject", "sns:Publish"])
def test_what_an_asynchronous_fleet_needs_for_its_results_is_not_taken(host: Host, taken: str) -> None:
    """Developer guide, async-inference-create-endpoint-prerequisites."""
    actions = ["s3:GetObject", "s3:PutObject", "ecr:*", "logs:*", "sns:Publish"]
    role = host.make_role(actions=tuple(actions))
    topic = f"arn:aws:sns:{REGION}:{role.split(':')[4]}:results"
    output = {"S3OutputPath": f"s3://{host.bucket}/out", "NotificationConfig": {"SuccessTopic": topic}}
    model = host.model(ExecutionRoleArn=role)
    name = host.endpoint(host.config({"ModelName": model}, AsyncInferenceConfig={"OutputConfig": output}))
    left = policy_document(
        {"Effect": "Allow", "Action": [action for action in actions if action != taken], "Resource": "*"}
    )
    put = {"RoleName": role.rpartition("/")[2], "PolicyName": "pull", "PolicyDocument": left}
    with pytest.raises(ClientError, match=f"takes {taken} on .* from endpoint"):
        host.aws.client("iam").put_role_policy(**put)
    host.sagemaker.delete_endpoint(EndpointName=name)
    host.aws.client("iam").put_role_policy(**put)


def test_what_no_live_fleet_needs_may_go(fleet: Fleet, host: Host) -> None:
    more = policy_document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    fleet.iam.put_role_policy(RoleName=fleet.role, PolicyName="more", PolicyDocument=more)
    fleet.put("ecr:*", "logs:*")
    fleet.put("s3:*", "ecr:*", "logs:*")
    fleet.iam.delete_role_policy(RoleName=fleet.role, PolicyName="more")

    host.sagemaker.delete_endpoint(EndpointName=fleet.endpoint)
    fleet.iam.delete_role_policy(RoleName=fleet.role, PolicyName="pull")
    fleet.iam.delete_role(RoleName=fleet.role)
    fleet.ecr.batch_delete_image(repositoryName=fleet.repository, imageIds=[{"imageDigest": fleet.digest}])
    fleet.ecr.delete_repository(repositoryName=fleet.repository, force=True)
