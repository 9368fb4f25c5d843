"""What SageMaker has of an endpoint, read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra.release import failure
from infra.release.description import EndpointDescription


class EndpointReader:
    """Reads endpoints.

    Args:
        sagemaker: boto3's `sagemaker` client.
    """

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def endpoint(self, name: str) -> EndpointDescription | None:
        """The endpoint as it is now; None if there is none."""
        found = _unless_gone(lambda: self._sagemaker.describe_endpoint(EndpointName=name))
        return EndpointDescription.of(found) if found is not None else None

    def tags(self, endpoint: EndpointDescription) -> dict[str, str]:
        """The endpoint's tags."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint.arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        """An endpoint configuration; None if somebody deleted it, which must not keep the endpoint from its next
        release."""
        return _unless_gone(lambda: self._sagemaker.describe_endpoint_config(EndpointConfigName=name))

    def models(self, prefix: str) -> list[str]:
        """The names of all models that begin like this, whatever the case: AWS's own is not always the one given."""
        pages = self._sagemaker.get_paginator("list_models").paginate(NameContains=prefix)
        names = [each["ModelName"] for page in pages for each in page["Models"]]
        return [name for name in names if name.lower().startswith(prefix.lower())]

    def model(self, name: str) -> Mapping[str, Any] | None:
        """A model; None if somebody deleted it."""
        return _unless_gone(lambda: self._sagemaker.describe_model(ModelName=name))


def _unless_gone(describe: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return describe()
    except ClientError as error:
        if failure.not_found(error):
            return None
        raise
