"""Functions of pulumi-aws that a program may call on the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.loaders import create_loader

from sandbox.provider.lifecycle import Clients


class UnknownFunction(Exception):
    """A program calls a function that is not provided here."""


def invoke(token: str, arguments: Mapping[str, Any], clients: Clients) -> dict[str, Any]:
    """The result of the function.

    Raises:
        UnknownFunction: it is not among those provided here.
    """
    if token not in _FUNCTIONS:
        raise UnknownFunction(
            f"{token} is not among the functions that the sandbox's stand-in for pulumi-aws knows. "
            "Add it to sandbox/provider/invokes.py, or do without: a policy document is a plain dict."
        )
    return _FUNCTIONS[token](clients, arguments)


def _caller_identity(clients: Clients, arguments: Mapping[str, Any]) -> dict[str, Any]:
    caller = clients.get("sts").get_caller_identity()
    return {"accountId": caller["Account"], "id": caller["Account"], "arn": caller["Arn"], "userId": caller["UserId"]}


def _region(clients: Clients, arguments: Mapping[str, Any]) -> dict[str, Any]:
    region = arguments.get("region") or arguments.get("name") or clients.region
    partition = _partition_data(region)
    description = partition["regions"].get(region, {}).get("description", "")
    endpoint = f"ec2.{region}.{partition['dnsSuffix']}"
    return {"region": region, "name": region, "id": region, "description": description, "endpoint": endpoint}


def _bucket(clients: Clients, arguments: Mapping[str, Any]) -> dict[str, Any]:
    name = arguments["bucket"]
    region = clients.get("s3").head_bucket(Bucket=name)["BucketRegion"]
    return {"bucket": name, "id": name, "bucketRegion": region, "region": clients.region}


def _partition(clients: Clients, arguments: Mapping[str, Any]) -> dict[str, Any]:
    data = _partition_data(clients.region)
    reverse = ".".join(reversed(data["dnsSuffix"].split(".")))
    return {
        "id": data["partition"],
        "partition": data["partition"],
        "dnsSuffix": data["dnsSuffix"],
        "reverseDnsPrefix": reverse,
    }


def _partition_data(region: str) -> dict[str, Any]:
    partitions = create_loader().load_data("endpoints")["partitions"]
    found: dict[str, Any] = next((each for each in partitions if region in each["regions"]), partitions[0])
    return found


_FUNCTIONS: Mapping[str, Callable[[Clients, Mapping[str, Any]], dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:s3/getBucket:getBucket": _bucket,
}
