"""The queue of an asynchronous endpoint: where its answers go, and the topics that receive messages about them."""

from __future__ import annotations

import pulumi
from pulumi_aws import sagemaker, sns

from infra import names
from infra.components.context import StackContext
from infra.settings.asynchronous import AsynchronousSettings


def async_inference_config(
    endpoint: str,
    settings: AsynchronousSettings,
    bucket: pulumi.Input[str],
    context: StackContext,
    opts: pulumi.ResourceOptions,
) -> sagemaker.EndpointConfigurationAsyncInferenceConfigArgsDict:
    """The `AsyncInferenceConfig`, with the topics that the settings have created.

    Args:
        bucket: the name of the stack's bucket.
        opts: the options of the topics.
    """

    def location(given: str | None, default: str) -> pulumi.Input[str]:
        return given or pulumi.Output.concat("s3://", bucket, "/", default.rstrip("/"))

    def topic(given: str | None, name: str) -> pulumi.Input[str] | None:
        if given or not settings.notify:
            return given
        arn: pulumi.Output[str] = sns.Topic(name, tags=context.tags, opts=opts).arn
        return arn

    success = topic(settings.success_topic_arn, names.success_topic(endpoint))
    error = topic(settings.error_topic_arn, names.error_topic(endpoint))
    output: sagemaker.EndpointConfigurationAsyncInferenceConfigOutputConfigArgsDict = {
        "s3_output_path": location(settings.output_location, names.async_output(endpoint)),
        "s3_failure_path": location(settings.failure_location, names.async_failure(endpoint)),
        "kms_key_id": settings.kms_key_arn,
    }
    if success or error:
        included = [f"{message.upper()}_NOTIFICATION_TOPIC" for message in settings.include_response_in]
        output["notification_config"] = {
            "success_topic": success,
            "error_topic": error,
            "include_inference_response_ins": included or None,
        }
    concurrency = settings.max_concurrent_invocations_per_instance
    client = {"max_concurrent_invocations_per_instance": concurrency} if concurrency else None
    return {"output_config": output, "client_config": client}
