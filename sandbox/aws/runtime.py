"""SageMaker's runtime: InvokeEndpoint, answered by the endpoint's Triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.aws import triton
from sandbox.aws.endpoint import Endpoint
from sandbox.aws.fleet import Fleet, Variant
from sandbox.aws.protocol import AwsError, RequestContext, not_in_sandbox
from sandbox.aws.sagemaker import Hostings

#: The request's members that reach the container, by the name of their header.
_FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}


class SageMakerRuntime:
    """The service. A body may have 6,291,456 bytes (botocore's BodyBlob)."""

    def __init__(self, hostings: Hostings) -> None:
        self._hostings = hostings

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        if operation != "InvokeEndpoint":
            raise not_in_sandbox(f"SageMaker Runtime {operation}")
        for member in ("TargetModel", "TargetContainerHostname", "InferenceComponentName", "EnableExplanations"):
            if member in params:
                raise not_in_sandbox(f"InvokeEndpoint with {member}")
        name = params["EndpointName"]
        endpoint = self._hostings[context.account, context.region].endpoint(name)
        # "The name is case-insensitive in CreateEndpoint, but the case … must be matched in InvokeEndpoint."
        if endpoint is None or endpoint.name != name:
            raise _not_found(name, context)
        with endpoint.request() as fleet:
            if fleet is None:
                raise _not_found(name, context)
            return _invoke(endpoint, _variant(fleet, params.get("TargetVariant")), params, context)


def _not_found(name: str, context: RequestContext) -> AwsError:
    # https://github.com/aws/amazon-sagemaker-examples/issues/293
    return AwsError("ValidationError", f"Endpoint {name} of account {context.account} not found.")


def _variant(fleet: Fleet, target: str | None) -> Variant:
    if target is None:
        return fleet.choose()
    variant = fleet.variant(target)
    if variant is None:
        raise AwsError("ValidationError", f"Variant {target} not found for Request")
    return variant


def _invoke(endpoint: Endpoint, variant: Variant, params: Mapping[str, Any], context: RequestContext) -> dict[str, Any]:
    if variant.server is None:
        reason = triton.unavailable()
        message = f"No Triton runs here: {reason}. The sandbox has SageMaker's control plane only."
        raise AwsError("InternalDependencyException", message, 530)
    headers = {header: params[member] for member, header in _FORWARDED.items() if member in params}
    try:
        status, answered, body = variant.server.invoke(params.get("Body", b""), headers)
    except OSError as error:
        # https://github.com/aws/amazon-sagemaker-examples/issues/3089
        message = (
            f'Received server error (0) from primary with message "Amazon SageMaker could not get a response from the '
            f'{endpoint.name} endpoint. ({error})".'
        )
        raise _model_error(endpoint, variant, context, message, 0, str(error)) from None
    if not 200 <= status < 300:
        text = body.decode(errors="replace")
        side = "client" if status < 500 else "server"
        message = f'Received {side} error ({status}) from primary with message "{text}".'
        raise _model_error(endpoint, variant, context, message, status, text)
    lower = {name.lower(): value for name, value in answered.items()}
    return {
        "Body": body,
        "ContentType": lower.get("content-type"),
        "InvokedProductionVariant": variant.name,
        "CustomAttributes": lower.get("x-amzn-sagemaker-custom-attributes"),
    }


def _model_error(
    endpoint: Endpoint, variant: Variant, context: RequestContext, message: str, status: int, text: str
) -> AwsError:
    group, region = endpoint.place.log_group, context.region
    where = (
        f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} "
        f"in account {context.account} for more information."
    )
    return AwsError(
        "ModelError",
        f"{message} {where}",
        424,
        OriginalStatusCode=status,
        OriginalMessage=text,
        LogStreamArn=context.arn("logs", f"log-group:{group}:log-stream:{variant.log_stream}"),
    )
