"""SageMaker's runtime: the endpoint's Triton answers InvokeEndpoint; InvokeEndpointAsync goes into its queue."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from infra.triton.server import unavailable
from sandbox.aws.asynchronous import async_request
from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.endpoint import Endpoint
from sandbox.aws.fleet import Variant
from sandbox.aws.hosting import Hostings
from sandbox.aws.protocol import AwsError, RequestContext, not_in_sandbox
from sandbox.aws.serverless import MAX_PAYLOAD, Execution, check_payload
from sandbox.aws.usage import memory_bytes

#: The request's members that reach the container, by the name of their header.
_FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}

#: What SageMaker's own part of an invocation takes here: there is no network to it, and the figure is made up.
_OVERHEAD_MICROSECONDS = 1000.0


class SageMakerRuntime:
    """The service. A body may have 6,291,456 bytes (botocore's BodyBlob)."""

    def __init__(self, hostings: Hostings) -> None:
        self._hostings = hostings

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        match operation:
            case "InvokeEndpoint":
                return self._invoke_endpoint(params, context)
            case "InvokeEndpointAsync":
                return self._invoke_endpoint_async(params, context)
        raise not_in_sandbox(f"SageMaker Runtime {operation}")

    def _invoke_endpoint(self, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        for member in ("TargetModel", "TargetContainerHostname", "InferenceComponentName", "EnableExplanations"):
            if member in params:
                raise not_in_sandbox(f"InvokeEndpoint with {member}")
        name, target = params["EndpointName"], params.get("TargetVariant")
        endpoint = self._endpoint(name, context)
        if endpoint.is_asynchronous:
            # "The presence of an asynchronous inference configuration … implies that the endpoint can only receive
            # asynchronous invocations" (developer guide, async-inference); the wording is ours.
            message = f"Endpoint {name} is asynchronous and does not accept InvokeEndpoint. Use InvokeEndpointAsync."
            raise AwsError("ValidationError", message)
        with endpoint.request(target) as route:
            if route is None:
                raise _not_found(name, context)
            if route.variant is None:
                raise AwsError("ValidationError", f"Variant {target} not found for Request")
            return _invoke(endpoint, route.fleet.config_name, route.variant, params, context)

    def _invoke_endpoint_async(self, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        endpoint = self._endpoint(params["EndpointName"], context)
        with endpoint.request() as route:
            if route is None:
                raise _not_found(endpoint.name, context)
        request = async_request(endpoint, params, _forwarded(params), context)
        assert endpoint.queue is not None
        endpoint.queue.put(request)
        return {
            "InferenceId": request.inference_id,
            "OutputLocation": str(request.output),
            "FailureLocation": str(request.failure) if request.failure else None,
        }

    def _endpoint(self, name: str, context: RequestContext) -> Endpoint:
        endpoint = self._hostings[context.account, context.region].endpoint(name)
        # "The name is case-insensitive in CreateEndpoint, but the case … must be matched in InvokeEndpoint."
        if endpoint is None or endpoint.name != name:
            raise _not_found(name, context)
        return endpoint


def _not_found(name: str, context: RequestContext) -> AwsError:
    # https://github.com/aws/amazon-sagemaker-examples/issues/293
    return AwsError("ValidationError", f"Endpoint {name} of account {context.account} not found.")


def _forwarded(params: Mapping[str, Any]) -> dict[str, str]:
    """The headers that the container gets."""
    return {header: params[member] for member, header in _FORWARDED.items() if member in params}


def _invoke(
    endpoint: Endpoint, config_name: str, variant: Variant, params: Mapping[str, Any], context: RequestContext
) -> dict[str, Any]:
    if variant.server is None:
        reason = unavailable()
        message = f"No Triton runs here: {reason}. The sandbox has SageMaker's control plane only."
        raise AwsError("InternalDependencyException", message, 530)
    question = params.get("Body", b"")
    if variant.serverless is not None:
        check_payload(question)
    began, execution = time.perf_counter(), None
    try:
        with variant.execution() as execution:
            status, answered, body = execution.server.invoke(question, _forwarded(params))
        _publish(endpoint, config_name, variant, status, time.perf_counter() - began, execution)
    except OSError as error:
        _publish(endpoint, config_name, variant, 0, time.perf_counter() - began, execution)
        # https://github.com/aws/amazon-sagemaker-examples/issues/3089
        message = (
            f'Received server error (0) from primary with message "Amazon SageMaker could not get a response from the '
            f'{endpoint.name} endpoint. ({error})".'
        )
        raise _model_error(endpoint, variant, context, message, 0, str(error)) from None
    if variant.serverless is not None and len(body) > MAX_PAYLOAD:
        # The limit: serverless-endpoints-invoke. What AWS answers is inferred.
        message = f"The response of {len(body)} bytes exceeds the maximum payload of a serverless endpoint."
        raise _model_error(
            endpoint, variant, context, f'Received server error (0) from primary with message "{message}".', 0, message
        )
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


def _publish(
    endpoint: Endpoint, config_name: str, variant: Variant, status: int, seconds: float, execution: Execution | None
) -> None:
    """The invocation as CloudWatch metrics of its variant, and of its variant under its configuration as well.

    Developer guide, monitoring-cloudwatch ("SageMaker AI endpoint invocation metrics") and
    deployment-guardrails-configuration (the dimension EndpointConfigName); latencies in microseconds. Of a serverless
    variant, serverless-endpoints-monitoring has all metrics: "Any metric not listed below is not published for
    serverless endpoints". That it lacks EndpointConfigName, because guardrails do not apply to it, is inferred.
    """
    setup = execution.setup_seconds * 1_000_000 if execution else 0.0
    values = {
        "Invocations": 1.0,
        "Invocation4XXErrors": float(400 <= status < 500),
        "Invocation5XXErrors": float(status >= 500),
        "ModelLatency": seconds * 1_000_000 - setup,
        "OverheadLatency": _OVERHEAD_MICROSECONDS + setup,
        **(execution.metrics if execution else {}),
    }
    if variant.serverless is not None:
        endpoint.publish(None, variant.name, values)
        if execution is not None:
            used = 100 * memory_bytes(execution.server.pid) / (variant.serverless["MemorySizeInMB"] * 1024 * 1024)
            of_variant = {"EndpointName": endpoint.name, "VariantName": variant.name}
            backend = backend_of(endpoint.place.account, endpoint.place.region)
            backend.publish("/aws/sagemaker/Endpoints", of_variant, {"MemoryUtilization": used})
        return
    values["InvocationsPerInstance"] = 1.0 / max(variant.current_count, 1)
    values["InvocationModelErrors"] = float(not 200 <= status < 300)
    endpoint.publish(config_name, variant.name, values)


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
