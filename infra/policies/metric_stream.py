"""The policies of the two roles of a metric stream: that of CloudWatch, and that of Firehose."""

from __future__ import annotations

from infra import names
from infra.policies.document import Policy, Statement, allow, policy
from infra.policies.execution import via_s3

CLOUDWATCH = "streams.metrics.cloudwatch.amazonaws.com"
FIREHOSE = "firehose.amazonaws.com"
"""The principals that assume the roles."""


def stream_trust(account_id: str) -> Policy:
    """The trust policy of CloudWatch's role. PutMetricStream accepts roles of the stream's account only; AWS does not
    document whether CloudWatch sends the account, so the condition applies if it does (CloudWatch User Guide, Trust
    between CloudWatch and Firehose)."""
    return _trust(CLOUDWATCH, {"StringEqualsIfExists": {"aws:SourceAccount": account_id}})


def delivery_trust(account_id: str) -> Policy:
    """The trust policy of Firehose's role: Firehose sends the account as the external ID (CloudWatch Logs User Guide,
    Create a Firehose delivery stream)."""
    return _trust(FIREHOSE, {"StringEquals": {"sts:ExternalId": account_id}})


def _trust(service: str, condition: dict[str, dict[str, str]]) -> Policy:
    statement: Statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return policy(statement | {"Condition": condition})


def put_records(delivery_stream_arn: str) -> Policy:
    """Send metrics to this delivery stream (CloudWatch API PutMetricStream, RoleArn)."""
    return policy(allow("PutRecords", "firehose", "PutRecord PutRecordBatch", delivery_stream_arn))


def deliver(bucket_arn: str, secret_arn: str, bucket_key_arn: str | None) -> Policy:
    """Read the API key, and write the metrics that the intake did not accept (Firehose guide, Grant Firehose access to
    an HTTP endpoint destination). The key of the secret is not in the settings: whichever it is, it decrypts this
    secret alone (Secrets Manager guide, Encryption context)."""
    _, partition, _, region, account, *_ = secret_arn.split(":")
    for_secret = {
        "StringEquals": {
            "kms:ViaService": f"secretsmanager.{region}.amazonaws.com",
            "kms:EncryptionContext:SecretARN": secret_arn,
        }
    }
    statements = [
        allow("ReadApiKey", "secretsmanager", "GetSecretValue", secret_arn),
        allow("DecryptApiKey", "kms", "Decrypt", f"arn:{partition}:kms:{region}:{account}:key/*", for_secret),
        allow("FindBucket", "s3", "GetBucketLocation ListBucket ListBucketMultipartUploads", bucket_arn),
        allow(
            "KeepFailedMetrics",
            "s3",
            "AbortMultipartUpload GetObject PutObject",
            f"{bucket_arn}/{names.FAILED_METRICS}*",
        ),
    ]
    if bucket_key_arn:
        statements.append(allow("BucketKey", "kms", "Decrypt GenerateDataKey", bucket_key_arn, via_s3(region)))
    return policy(*statements)
