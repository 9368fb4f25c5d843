"""The policies of the people and services that invoke a stack's endpoints and run its transform jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infra import names
from infra.aws.mode import Mode
from infra.aws.s3_location import S3Location
from infra.policies.document import Policy, Statement, allow, managed_policies
from infra.policies.execution import via_s3
from infra.policies.principals import read_configurations
from infra.policies.stack_names import StackNames


def invoker(stack: StackNames) -> list[Policy]:
    """To invoke the endpoints, each in its mode, with `python -m infra invoke` or an SDK.

    Models show the environment of the containers. They can be read only of an asynchronous endpoint whose Model alone
    names the stack's bucket, for requests to upload. A sample request of `invoke` therefore requires the model
    repository that the stack file names.
    """
    return managed_policies(_invoke(stack))


def batch_operator(stack: StackNames) -> list[Policy]:
    """To run transform jobs with the stack's Models, and with no others, by `python -m infra batch`."""
    return managed_policies(_transform(stack))


def _invoke(stack: StackNames) -> Iterator[Statement]:
    modes = {name: endpoint.mode for name, endpoint in stack.settings.endpoints.items()}
    at_once = [name for name, mode in modes.items() if mode in (Mode.REAL_TIME, Mode.SERVERLESS)]
    queued = [name for name, mode in modes.items() if mode is Mode.ASYNCHRONOUS]
    if at_once:
        yield allow("Invoke", "sagemaker", "InvokeEndpoint", stack.sagemaker_arns("endpoint", at_once))
    if queued:
        yield allow("InvokeAsync", "sagemaker", "InvokeEndpointAsync", stack.sagemaker_arns("endpoint", queued))
        yield from _async_objects(stack, queued)
    if at_once or queued:
        yield from _describe(stack, [*at_once, *queued])


def _async_objects(stack: StackNames, endpoints: Iterable[str]) -> Iterator[Statement]:
    """Requests and answers in S3. Without ListBucket, an answer that does not exist yet looks like a forbidden one."""
    bucket = stack.bucket_arn.rpartition(":")[2]
    own = S3Location(bucket, names.ASYNC)
    requests, answers, keys, models = [], [], set(), []
    for name in endpoints:
        settings = stack.settings.endpoints[name].asynchronous
        if settings and settings.output_location and settings.failure_location and not stack.settings.bucket.name:
            models += _models(stack, name)
        requests.append(S3Location(bucket, names.async_input(name)))
        answers += [
            S3Location.parse(location).directory if location else S3Location(bucket, default)
            for location, default in (
                (settings and settings.output_location, names.async_output(name)),
                (settings and settings.failure_location, names.async_failure(name)),
            )
        ]
        keys |= {settings.kms_key_arn} if settings and settings.kms_key_arn else set()
    yield allow("Requests", "s3", "PutObject", _objects(stack, requests))
    yield allow("Answers", "s3", "GetObject", _objects(stack, answers))
    yield from _list(stack, [own, *(place for place in answers if not place.within(str(own)))])
    yield from _keys(stack, keys)
    if models:
        yield allow("FindBucket", "sagemaker", "DescribeModel", models)


def _transform(stack: StackNames) -> Iterator[Statement]:
    settings = stack.settings.endpoints
    bucket = stack.bucket_arn.rpartition(":")[2]
    for number, name in enumerate(settings, 1):
        models = {"ArnLike": {"sagemaker:ModelArn": _models(stack, name)}}
        yield allow(f"StartJobs{number}", "sagemaker", "CreateTransformJob", _jobs(stack, [name]), models)
    manage = "DescribeTransformJob StopTransformJob AddTags ListTags"
    yield allow("Jobs", "sagemaker", manage, _jobs(stack, settings))
    yield allow("Models", "sagemaker", "DescribeModel", stack.model_arns)
    batches = [variant.batch for endpoint in settings.values() for variant in endpoint.batch_variants.values()]
    if batches:
        yield allow("FindModels", "sagemaker", "ListModels", "*")  # accepts no resource
    if live := [name for name, endpoint in settings.items() if endpoint.mode is not Mode.BATCH]:
        yield from _describe(stack, live)
    own = [S3Location(bucket, names.batch_data(name)) for name in settings]
    released = [S3Location(bucket, names.released(name)) for name in settings]
    inputs = [S3Location.parse(location).directory for batch in batches for location in batch.input_locations]
    outputs = [S3Location.parse(location).directory for batch in batches for location in batch.output_locations]
    yield allow("Artifacts", "s3", "GetObject", _objects(stack, released))  # the first record is checked against them
    yield allow("Records", "s3", "GetObject", _objects(stack, [*own, *inputs, *outputs]))
    yield allow("WriteRecords", "s3", "PutObject AbortMultipartUpload", _objects(stack, [*own, *outputs]))
    yield from _list(stack, [S3Location(bucket, names.BATCH), *inputs, *outputs])
    yield from _keys(stack, {batch.kms_key_arn for batch in batches if batch.kms_key_arn})
    group = f"log-group:{names.TRANSFORM_JOBS}"
    yield allow("FindLogs", "logs", "DescribeLogStreams", stack.arn("logs", f"{group}:*"))
    streams = [stack.arn("logs", f"{group}:log-stream:{name}-*") for name in settings]
    yield allow("ReadLogs", "logs", "GetLogEvents", streams)


def _models(stack: StackNames, endpoint: str) -> list[str]:
    variants = stack.settings.endpoints[endpoint].variants
    resources = [names.variant_resource(endpoint, variant) + names.AUTONAMED for variant in variants]
    return stack.sagemaker_arns("model", resources)


def _jobs(stack: StackNames, endpoints: Iterable[str]) -> list[str]:
    """The names of jobs begin with that of their endpoint."""
    return stack.sagemaker_arns("transform-job", [f"{name}-*" for name in endpoints])


def _describe(stack: StackNames, endpoints: Iterable[str]) -> Iterator[Statement]:
    """What serves an endpoint."""
    yield allow("Endpoints", "sagemaker", "DescribeEndpoint", stack.sagemaker_arns("endpoint", endpoints))
    yield read_configurations(stack)


def _objects(stack: StackNames, places: Iterable[S3Location]) -> list[str]:
    return sorted({place.objects_arn(stack.partition) for place in places})


def _list(stack: StackNames, places: Iterable[S3Location]) -> Iterator[Statement]:
    """A statement for each bucket, because a condition applies to all resources of its statement. The address of a
    directory is accepted without the slash at its end."""
    by_bucket: dict[str, set[str]] = {}
    for place in places:
        by_bucket.setdefault(place.bucket, set()).update({place.key.rstrip("/"), f"{place.key}*"})
    for number, (bucket, prefixes) in enumerate(sorted(by_bucket.items()), 1):
        below = {"StringLike": {"s3:prefix": sorted(prefixes)}}
        yield allow(f"List{number}", "s3", "ListBucket", f"arn:{stack.partition}:s3:::{bucket}", below)


def _keys(stack: StackNames, keys: set[str]) -> Iterator[Statement]:
    """The keys of the answers, and that of the bucket, through S3 alone."""
    if bucket_key := stack.settings.bucket.kms_key_arn:
        keys = keys | {bucket_key}
    if keys:
        yield allow("Keys", "kms", "Decrypt GenerateDataKey", sorted(keys), via_s3(stack.settings.region))
