"""Amazon SNS messages on the end of an asynchronous invocation, published as the execution role."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import ServiceException
from moto.sns.models import sns_backends

from sandbox.aws.models import ExecutionRole

#: "The inference response is included only if the response size is less than or equal to 128 KB"
#: (API_AsyncInferenceNotificationConfig).
LARGEST_INCLUDED_RESPONSE = 128 * 1024


@dataclass(frozen=True)
class Result:
    """What became of an asynchronous invocation.

    Attributes:
        failure_reason: None for an invocation that succeeded.
        content: the container's answer, also that of a failure; None where it gave none.
        location: of the object with the answer or the failure; None where there is none.
    """

    failure_reason: str | None
    content: bytes | None
    content_type: str
    location: str | None


def message_of(
    region: str, request: Mapping[str, Any], inference_id: str, received: datetime, result: Result, *, included: bool
) -> str:
    """A message in the form of the developer guide's examples (async-inference-check-predictions).

    `request` has the parameters of InvokeEndpointAsync. The guide's examples show no message with the inference
    response: the form of `responseBody`, and where a failure's location is, are inferred.
    """
    parameters = {
        "contentType": request.get("ContentType"),
        "endpointName": request["EndpointName"],
        "inputLocation": request.get("InputLocation"),
    }
    failed = result.failure_reason is not None
    message: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": _time(datetime.now(UTC)),
        "receivedTime": _time(received),
        "invocationStatus": "Failed" if failed else "Completed",
        "requestParameters": {name: value for name, value in parameters.items() if value is not None},
    }
    if failed:
        message["failureReason"] = result.failure_reason
        if result.location is not None:
            message["failureLocation"] = result.location
    else:
        message["responseParameters"] = {"contentType": result.content_type, "outputLocation": result.location}
    if included and result.content is not None and len(result.content) <= LARGEST_INCLUDED_RESPONSE:
        message["responseBody"] = {"content": base64.b64encode(result.content).decode(), "encoding": "BASE64"}
    return json.dumps(
        {
            **message,
            "inferenceId": inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
    )


def publish(topic: str, message: str, role: ExecutionRole) -> bool:
    """Whether the topic exists and the role may publish to it; the message then is."""
    if not role.allows("sns:Publish", topic):
        return False
    _, _, _, region, account, _ = topic.split(":", 5)
    try:
        sns_backends[account][region].get_topic(topic)
        sns_backends[account][region].publish(message, topic)
    except ServiceException:
        return False
    return True


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
