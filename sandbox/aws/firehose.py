"""Amazon Data Firehose with HTTP endpoints as destinations: streams, the rules of their API, and records put into them.

Sources: Firehose API CreateDeliveryStream, UpdateDestination, HttpEndpointDestinationConfiguration,
SecretsManagerConfiguration, PutRecordBatch; Developer Guide, httpdeliveryrequestresponse (port 443 only).
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.aws.delivery import Destination, Records, Sender
from sandbox.aws.protocol import AwsError, RequestContext, not_in_sandbox
from sandbox.aws.service_role import ServiceRole

PRINCIPAL: Final = "firehose.amazonaws.com"
LARGEST_BATCH_BYTES: Final = 4 * 1024 * 1024
LARGEST_TAGS: Final = 50

_CONFIGURATION, _UPDATE = "HttpEndpointDestinationConfiguration", "HttpEndpointDestinationUpdate"
_HINTS = {"SizeInMBs": 5, "IntervalInSeconds": 300}
_OFF = {"Enabled": False}
_DEFAULTS: Mapping[str, Any] = {
    "BufferingHints": _HINTS,
    "CloudWatchLoggingOptions": _OFF,
    "ProcessingConfiguration": _OFF,
    "RequestConfiguration": {"ContentEncoding": "NONE", "CommonAttributes": []},
    "RetryOptions": {"DurationInSeconds": 300},
    "S3BackupMode": "FailedDataOnly",
    "SecretsManagerConfiguration": _OFF,
}
_S3_DEFAULTS: Mapping[str, Any] = {
    "BufferingHints": _HINTS,
    "CloudWatchLoggingOptions": _OFF,
    "CompressionFormat": "UNCOMPRESSED",
    "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
}

Answer = dict[str, Any]


@dataclass
class DeliveryStream:
    """A stream; its records go to `records`, from which a thread of `Sender` delivers them."""

    name: str
    arn: str
    destination: Mapping[str, Any]
    tags: dict[str, str]
    records: Records
    version: int = 1
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime | None = None

    def describe(self) -> Answer:
        """DescribeDeliveryStream's answer, without the access key."""
        described = {name: value for name, value in self.destination.items() if name != "S3Configuration"}
        endpoint = {name: value for name, value in described["EndpointConfiguration"].items() if name != "AccessKey"}
        described |= {
            "EndpointConfiguration": endpoint,
            "S3DestinationDescription": self.destination["S3Configuration"],
        }
        destination = {"DestinationId": "destinationId-000000000001", "HttpEndpointDestinationDescription": described}
        return {
            "DeliveryStreamName": self.name,
            "DeliveryStreamARN": self.arn,
            "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamType": "DirectPut",
            "VersionId": str(self.version),
            "CreateTimestamp": self.created,
            "LastUpdateTimestamp": self.updated,
            "Destinations": [destination],
            "HasMoreDestinations": False,
        }


_STREAMS: Final[Mapping[tuple[str, str], dict[str, DeliveryStream]]] = defaultdict(dict)
"""By account and region, and then by name."""


def find(arn: str) -> DeliveryStream | None:
    """The stream with this ARN."""
    streams = (stream for of_place in list(_STREAMS.values()) for stream in list(of_place.values()))
    return next((stream for stream in streams if stream.arn == arn), None)


class Firehose:
    """The service. Each stream delivers by itself until it is deleted or the server ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> Answer:
        streams = _STREAMS[context.account, context.region]
        if operation == "CreateDeliveryStream":
            return self._create(streams, params, context)
        if operation == "ListDeliveryStreams":
            return {"DeliveryStreamNames": sorted(streams), "HasMoreDeliveryStreams": False}
        name = params.get("DeliveryStreamName", "")
        if (stream := streams.get(name)) is None:
            raise AwsError("ResourceNotFoundException", f"Firehose {name} under account {context.account} not found.")
        match operation:
            case "DescribeDeliveryStream":
                return {"DeliveryStreamDescription": stream.describe()}
            case "UpdateDestination":
                self._update(stream, params, context)
            case "DeleteDeliveryStream":
                del streams[name]
                stream.records.close()
            case "TagDeliveryStream":
                stream.tags |= {tag["Key"]: tag.get("Value", "") for tag in params["Tags"]}
                _check_tags(stream.tags)
            case "UntagDeliveryStream":
                stream.tags = {key: value for key, value in stream.tags.items() if key not in params["TagKeys"]}
            case "ListTagsForDeliveryStream":
                listed = [{"Key": key, "Value": value} for key, value in stream.tags.items()]
                return {"Tags": listed, "HasMoreTags": False}
            case "PutRecord":
                return {"RecordId": next(_put(stream, [params["Record"]["Data"]])), "Encrypted": False}
            case "PutRecordBatch":
                ids = _put(stream, [record["Data"] for record in params["Records"]])
                return {"FailedPutCount": 0, "RequestResponses": [{"RecordId": each} for each in ids]}
            case _:
                raise not_in_sandbox(f"firehose {operation}")
        return {}

    def close(self) -> None:
        for streams in _STREAMS.values():
            for stream in streams.values():
                stream.records.close()

    def _create(self, streams: dict[str, DeliveryStream], params: Mapping[str, Any], context: RequestContext) -> Answer:
        name = params["DeliveryStreamName"]
        given = [key for key in params if key.endswith("DestinationConfiguration")]
        if len(given) != 1:
            raise _invalid("Exactly one destination configuration is supported for a Firehose")
        if given != [_CONFIGURATION] or params.get("DeliveryStreamType", "DirectPut") != "DirectPut":
            raise not_in_sandbox(f"a stream with {given[0]} of type {params.get('DeliveryStreamType')}")
        destination = _complete(params[_CONFIGURATION])
        _check(destination, context)
        tags = {tag["Key"]: tag.get("Value", "") for tag in params.get("Tags", ())}
        _check_tags(tags)
        with self._lock:
            if name in streams:
                message = f"Firehose {name} under accountId {context.account} already exists"
                raise AwsError("ResourceInUseException", message)
            arn = context.arn("firehose", f"deliverystream/{name}")
            stream = DeliveryStream(name, arn, destination, tags, Records(context.conditions))
            streams[name] = stream
        Sender(stream.records, lambda: _destination(stream), context).start()
        return {"DeliveryStreamARN": arn}

    def _update(self, stream: DeliveryStream, params: Mapping[str, Any], context: RequestContext) -> None:
        """ "If the destination type is the same, Firehose merges the configuration parameters" (UpdateDestination)."""
        if _UPDATE not in params:
            raise not_in_sandbox("an update of a destination that is not an HTTP endpoint")
        if params["CurrentDeliveryStreamVersionId"] != str(stream.version):
            message = f"The current version of {stream.name} is not {params['CurrentDeliveryStreamVersionId']}."
            raise AwsError("ConcurrentModificationException", message)
        update = dict(params[_UPDATE])
        if s3 := update.pop("S3Update", None):
            update["S3Configuration"] = {**stream.destination["S3Configuration"], **s3}
        destination = _complete({**stream.destination, **update})
        _check(destination, context)
        stream.destination, stream.version, stream.updated = destination, stream.version + 1, datetime.now(UTC)


def _complete(given: Mapping[str, Any]) -> dict[str, Any]:
    return {**_DEFAULTS, **given, "S3Configuration": {**_S3_DEFAULTS, **given["S3Configuration"]}}


def _destination(stream: DeliveryStream) -> Destination:
    return Destination(stream.name, stream.arn, stream.version, stream.destination)


def _put(stream: DeliveryStream, records: Sequence[bytes]) -> Iterator[str]:
    if sum(map(len, records)) > LARGEST_BATCH_BYTES:
        raise _invalid("Records size exceeds 4 MB limit")
    stream.records.add(records)
    return (str(uuid.uuid4()) for _ in records)


def _check(destination: Mapping[str, Any], context: RequestContext) -> None:
    s3, secret = destination["S3Configuration"], destination["SecretsManagerConfiguration"]
    for configured in (destination, s3):
        if configured["BufferingHints"].keys() != _HINTS.keys():
            raise _invalid("BufferingHints: SizeInMBs and IntervalInSeconds must be specified together")
        if configured["CloudWatchLoggingOptions"]["Enabled"]:
            raise not_in_sandbox("CloudWatchLoggingOptions")
    if destination["S3BackupMode"] != "FailedDataOnly" or destination["ProcessingConfiguration"]["Enabled"]:
        raise not_in_sandbox("S3BackupMode AllData or a processing configuration")
    if urlsplit(destination["EndpointConfiguration"]["Url"]).port not in (None, 443):
        raise _invalid("Url: only port 443 is supported for HTTP endpoint data delivery")
    if secret["Enabled"]:
        _check_secret(secret.get("SecretARN"), destination["EndpointConfiguration"], context)
    roles = (configured.get("RoleARN") for configured in (destination, s3, secret))
    for arn in dict.fromkeys(role for role in roles if role):
        # the message that terraform-provider-aws waits out (internal/service/firehose, retryDeliveryStreamOp)
        if not ServiceRole(arn).trusts(PRINCIPAL, {"sts:ExternalId": context.account}):
            raise _invalid(f"Firehose is unable to assume role {arn}. Please check the role provided.")


def _check_secret(arn: str | None, endpoint: Mapping[str, Any], context: RequestContext) -> None:
    if arn is None:
        raise _invalid("SecretARN is required when Secrets Manager is enabled")
    if arn.split(":")[3] != context.region:
        raise _invalid(f"The secret {arn} must be in the same region as the Firehose stream")
    if "AccessKey" in endpoint:  # AWS lets the secret win; a key as well is a mistake, which the state would contain
        raise not_in_sandbox("an AccessKey as well as a secret")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > LARGEST_TAGS:
        raise _invalid(f"A Firehose stream can have up to {LARGEST_TAGS} tags")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidArgumentException", message)


def put_records(arn: str, records: Sequence[bytes]) -> None:
    """What a service of AWS puts into a stream; a stream that does not exist loses it."""
    if stream := find(arn):
        stream.records.add(records)
