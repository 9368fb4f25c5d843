"""Firehose's type, with an HTTP endpoint as destination.

Terraform has flat arguments where AWS has structures (terraform-provider-aws, internal/service/firehose,
`expandHTTPEndpointDestinationConfiguration` and `flattenHTTPEndpointDestinationDescription`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls

_HTTP = "httpEndpointConfiguration"
_HINTS = {"bufferingSize": "sizeInMbs", "bufferingInterval": "intervalInSeconds"}
_STRUCTURES: Mapping[str, Mapping[str, str]] = {
    "endpointConfiguration": {"url": "url", "name": "name", "accessKey": "accessKey"},
    "bufferingHints": _HINTS,
    "retryOptions": {"retryDuration": "durationInSeconds"},
}
"""AWS's members by Terraform's arguments, by the structure that they are in."""
_ATTRIBUTE = {"name": "attributeName", "value": "attributeValue"}


def _structured(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    endpoint = properties.get(_HTTP)
    if not isinstance(endpoint, dict):
        return properties
    given = dict(endpoint)
    for structure, names in _STRUCTURES.items():
        given = _into(given, structure, names)
    if isinstance(s3 := given.get("s3Configuration"), dict):
        s3 = _into(s3, "bufferingHints", _HINTS)
        if key := s3.pop("kmsKeyArn", None):
            s3["encryptionConfiguration"] = {"kmsEncryptionConfig": {"awsKmsKeyArn": key}}
        given["s3Configuration"] = s3
    if isinstance(request := given.get("requestConfiguration"), dict) and "commonAttributes" in request:
        attributes = [{_ATTRIBUTE[key]: value for key, value in each.items()} for each in request["commonAttributes"]]
        given["requestConfiguration"] = {**request, "commonAttributes": attributes}
    return {**properties, _HTTP: given}


def _into(flat: Mapping[str, Any], structure: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The arguments with those of `names` in a structure."""
    inside = {names[key]: value for key, value in flat.items() if key in names}
    rest = {key: value for key, value in flat.items() if key not in names}
    return {**rest, structure: inside} if inside else rest


def _out_of(described: dict[str, Any], structure: str, names: Mapping[str, str]) -> dict[str, Any]:
    inside = described.pop(structure, {})
    return {key: inside[name] for key, name in names.items() if name in inside}


def _flat(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    (destination,) = found["destinations"]
    described = _without_what_is_off(destination["httpEndpointDestinationDescription"])
    s3 = _without_what_is_off(described.pop("s3DestinationDescription"))
    s3 |= _out_of(s3, "bufferingHints", _HINTS)
    if key := s3.pop("encryptionConfiguration", {}).get("kmsEncryptionConfig"):
        s3["kmsKeyArn"] = key["awsKmsKeyArn"]
    described["s3Configuration"] = s3
    request = dict(described.pop("requestConfiguration", {}))
    if attributes := request.pop("commonAttributes", None):
        names = {name: key for key, name in _ATTRIBUTE.items()}
        request["commonAttributes"] = [{names[key]: value for key, value in each.items()} for each in attributes]
    described["requestConfiguration"] = request
    for structure, flat in _STRUCTURES.items():
        described |= _out_of(described, structure, flat)
    if access_key := (work.given.get(_HTTP) or {}).get("accessKey"):  # AWS does not give it back
        described["accessKey"] = access_key
    return {"destination": "http_endpoint", "destinationId": destination["destinationId"], _HTTP: described}


def _without_what_is_off(described: Mapping[str, Any]) -> dict[str, Any]:
    """AWS describes options that were not given as `{"Enabled": false}`."""
    return {name: value for name, value in described.items() if value != {"enabled": False}}


def _update(work: Work) -> None:
    place = {"CurrentDeliveryStreamVersionId": work.state["versionId"], "DestinationId": work.state["destinationId"]}
    work.send("UpdateDestination", **place)


TYPES = (
    ResourceType(
        token="aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream",
        service="firehose",
        inputs="name destination httpEndpointConfiguration",
        outputs="arn destinationId versionId",
        identity="name",
        id="{arn}",
        import_id=r"(?P<arn>arn:[^:]+:firehose:[^:]+:\d+:deliverystream/(?P<name>.+))",
        autoname=AutoName(longest=64),
        names={
            "name": "DeliveryStreamName",
            "arn": "DeliveryStreamARN",
            _HTTP: ("HttpEndpointDestinationConfiguration", "HttpEndpointDestinationUpdate"),
            "tagsAll": "Tags",
        },
        nested_names={"s3Configuration": ("S3Configuration", "S3Update"), "awsKmsKeyArn": "AWSKMSKeyARN"},
        prepare=_structured,
        create="CreateDeliveryStream",
        reads=(Read("DescribeDeliveryStream", result="DeliveryStreamDescription"),),
        complete=_flat,
        updates=(Step("UpdateDestination", run=_update, on=_HTTP),),
        delete="DeleteDeliveryStream",
        replaces="name destination",
        defaults={
            f"{_HTTP}.bufferingInterval": 300,
            f"{_HTTP}.bufferingSize": 5,
            f"{_HTTP}.cloudwatchLoggingOptions.enabled": False,
            f"{_HTTP}.requestConfiguration.contentEncoding": "NONE",
            f"{_HTTP}.retryDuration": 300,
            f"{_HTTP}.s3BackupMode": "FailedDataOnly",
            f"{_HTTP}.s3Configuration.bufferingInterval": 300,
            f"{_HTTP}.s3Configuration.bufferingSize": 5,
            f"{_HTTP}.s3Configuration.cloudwatchLoggingOptions.enabled": False,
            f"{_HTTP}.s3Configuration.compressionFormat": "UNCOMPRESSED",
        },
        computed="cloudwatchLoggingOptions processingConfiguration requestConfiguration secretsManagerConfiguration",
        renewed="versionId",
        tags=TagCalls("ListTagsForDeliveryStream", "TagDeliveryStream", "UntagDeliveryStream"),
    ),
)
