"""A delivery stream to a loopback intake, with all that it needs in the account."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from sandbox.intake import Intake
from tests.sandbox.conftest import ACCOUNT, Host, policy_document, unique

KEY = "0123456789abcdef0123456789abcdef"
SITE = "awsmetrics-intake.example.com"
FIREHOSE = "firehose.amazonaws.com"
SPEED = 100.0
"""How much faster AWS's time passes: the interval of the buffer and the pauses between attempts."""


def role(host: Host, service: str, *statements: dict[str, Any], **condition: Any) -> str:
    """A role that a service may assume."""
    iam, name = host.aws.client("iam"), unique("role")
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    trusting = policy_document(trust | ({"Condition": condition} if condition else {}))
    arn = str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusting)["Role"]["Arn"])
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="it", PolicyDocument=policy_document(*statements))
    return arn


def allow(action: str | list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def secret(host: Host, value: Any = None) -> str:
    text = json.dumps({"api_key": KEY} if value is None else value)
    created = host.aws.client("secretsmanager").create_secret(Name=unique("secret"), SecretString=text)
    return str(created["ARN"])


def destination(host: Host, secret_arn: str, role_arn: str | None = None) -> dict[str, Any]:
    """An HttpEndpointDestinationConfiguration whose role may do what is needed and no more."""
    bucket = f"arn:aws:s3:::{host.bucket}"
    role_arn = role_arn or role(
        host,
        FIREHOSE,
        allow("secretsmanager:GetSecretValue", secret_arn),
        allow("s3:PutObject", f"{bucket}/failed/*"),
        StringEquals={"sts:ExternalId": ACCOUNT},
    )
    return {
        "EndpointConfiguration": {"Url": f"https://{SITE}/v1/input?protocol=firehose", "Name": "intake"},
        "SecretsManagerConfiguration": {"Enabled": True, "SecretARN": secret_arn},
        "RequestConfiguration": {
            "ContentEncoding": "GZIP",
            "CommonAttributes": [{"AttributeName": "team", "AttributeValue": "ranking"}],
        },
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 15},
        "RetryOptions": {"DurationInSeconds": 10},
        "RoleARN": role_arn,
        "S3Configuration": {
            "RoleARN": role_arn,
            "BucketARN": bucket,
            "ErrorOutputPrefix": "failed/",
            "CompressionFormat": "GZIP",
        },
    }


def changed(configuration: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one member set; None removes it."""
    copy = deepcopy(configuration)
    *parents, last = path.split(".")
    place = copy
    for part in parents:
        place = place[part]
    place[last] = value
    if value is None:
        del place[last]
    return copy


def create(host: Host, configuration: dict[str, Any], name: str | None = None, **more: Any) -> str:
    """The ARN of a new delivery stream."""
    answer = host.aws.client("firehose").create_delivery_stream(
        DeliveryStreamName=name or unique("stream"), HttpEndpointDestinationConfiguration=configuration, **more
    )
    return str(answer["DeliveryStreamARN"])


@dataclass(frozen=True)
class Delivered:
    """A stream, its intake and its bucket."""

    host: Host
    intake: Intake
    arn: str

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    def put(self, *records: bytes) -> None:
        self.host.aws.client("firehose").put_record_batch(
            DeliveryStreamName=self.name, Records=[{"Data": record} for record in records]
        )

    def failed(self) -> list[dict[str, Any]]:
        """The records that were written to the bucket."""
        s3 = self.host.aws.client("s3")
        found = s3.list_objects_v2(Bucket=self.host.bucket, Prefix="failed/").get("Contents", [])
        texts = (s3.get_object(Bucket=self.host.bucket, Key=each["Key"])["Body"].read() for each in found)
        return [json.loads(line) for text in texts for line in gzip.decompress(text).splitlines()]


@contextmanager
def delivering(host: Host, configuration: dict[str, Any]) -> Iterator[Delivered]:
    """A stream with this destination, in an AWS that is fast and reaches the intake."""
    with Intake(KEY) as intake:
        host.aws.impose(timeFactor=SPEED, httpEndpoints={SITE: intake.url})
        delivered = Delivered(host, intake, create(host, configuration))
        yield delivered
        host.aws.client("firehose").delete_delivery_stream(DeliveryStreamName=delivered.name)
