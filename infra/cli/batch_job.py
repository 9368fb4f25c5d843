"""A transform job from the arguments of `python -m infra batch`: completed by the settings, and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from infra import names
from infra.aws import gpus, instance_types
from infra.aws.mode import Mode
from infra.aws.s3_location import S3Location
from infra.cli.options import named, not_one_of
from infra.cli.release_target import ReleaseTarget
from infra.cli.request_source import model_files
from infra.diagnostics.size import decimal_size
from infra.invocation import transform_request
from infra.invocation.batch_model import batch_model
from infra.invocation.endpoint import LiveEndpoint, ServedModel
from infra.invocation.message import JSON
from infra.invocation.request_source import require_accepted
from infra.invocation.transform_check import first_request, require_one_content_type
from infra.invocation.transform_input import InvalidTransform, TransformInput, local_input, source, stored_input, upload
from infra.invocation.transform_request import DataProcessing, TransformRequest
from infra.settings.batch import BatchSettings, BatchVariant
from infra.settings.partial import PartialValidation
from infra.triton.model_files import UnsupportedModel


@dataclass(frozen=True)
class JobArguments:
    """What the command line has.

    Attributes:
        settings: values for keys of `batch` in place of those of the stack file.
    """

    input: str
    output: str | None
    name: str | None
    variant: str | None
    processing: DataProcessing
    settings: Mapping[str, Any]


def prepare(target: ReleaseTarget, stack: str, arguments: JobArguments) -> TransformRequest:
    """The job, once nothing is known that would fail it. A local input is uploaded last.

    Raises:
        UserError, typer.BadParameter: the job would fail; nothing has been created or uploaded.
    """
    session = target.session
    for option, path in arguments.processing.filters.items():
        with named(option):
            transform_request.require_filter(path)
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    model, variant, hosting_type = _model(target, stack, arguments.variant)
    settings = _settings(target, variant, hosting_type, arguments.settings)
    _require_key_of_region(settings.kms_key_arn, session.region)
    name = _name(target.name, arguments.name)
    transform_request.require_free(sagemaker, name)
    bucket = target.bucket or model.artifact.bucket
    data = S3Location(bucket, f"{names.batch_data(target.name)}{name}/")
    with named("--input"):
        place = source(arguments.input)
    if isinstance(place, Path):
        with named("--input"):
            records, location = local_input(place), S3Location(data.bucket, f"{data.key}input/")
    else:
        records, location = stored_input(s3, place)
    content_type = _checked_content_type(target, variant, model, records, settings, arguments.processing)
    if isinstance(place, Path) and not arguments.processing.by_line:
        require_one_content_type(records, content_type)
    with named("--output"):
        output = S3Location.parse(arguments.output or f"{data}output/")
    transform_request.require_writable(s3, output)
    own = str(S3Location(bucket, names.BATCH))
    _note_permission(location, [own, *settings.input_locations], "read")
    _note_permission(output, [own, *settings.output_locations], "write to")
    if (key := settings.kms_key_arn) and target.stack and key not in target.stack.answer_key_arns:
        print(f"note: {key} is not a key of the stack: the execution role must be allowed to use it")
    _check_gpus(target, settings.instance_type)
    if settings.instance_count > len(records.objects):
        print(
            f"note: {settings.instance_count} instances for {len(records.objects)} objects: SageMaker gives each "
            "object to one instance, so the others stay idle."
        )
    if isinstance(place, Path):
        print(f"uploading {decimal_size(records.size)} to {location}")
        upload(s3, place, records, location)
    return TransformRequest(
        name, model.name, location, output, content_type, settings, arguments.processing, target.tags
    )


def _model(target: ReleaseTarget, stack: str, variant: str | None) -> tuple[ServedModel, str, str | None]:
    """The Model, its variant, and the instance type that serves it."""
    sagemaker = target.session.client("sagemaker")
    if target.settings and target.settings.mode is Mode.BATCH:
        known = [*target.settings.variants]
        if (variant := variant or known[0]) not in known:
            raise typer.BadParameter(not_one_of(known, variant), param_hint="--variant")
        model = batch_model(sagemaker, target.name, variant, stack, target.bucket)
        print(f"model {model.name}, of the stack for batch transform")
        return model, variant, None
    live = LiveEndpoint.read(sagemaker, target.name)
    if live is None:
        raise target.no_endpoint()
    with named("--variant"):
        served = live.variant(variant)
    name = live.model_name(variant)
    print(f"model {name}, live behind endpoint {live.name} (configuration {live.config_name})")
    return ServedModel.read(sagemaker, name), served["VariantName"], served.get("InstanceType")


def _settings(
    target: ReleaseTarget, variant: str, hosting_type: str | None, overrides: Mapping[str, Any]
) -> BatchSettings:
    """The settings of `batch` in the stack file, or the defaults, with the values of the command line."""
    values: dict[str, Any] = {}
    of_variant = target.settings.variants.get(variant) if target.settings else None
    if isinstance(of_variant, BatchVariant):
        values = of_variant.batch.model_dump(by_alias=True, exclude_unset=True)
    elif hosting_type and "instanceType" not in overrides:
        values["instanceType"] = instance_types.transform_alternative(hosting_type)
        if values["instanceType"] != hosting_type:
            print(
                f"batch transform has no {hosting_type}, so the job uses {values['instanceType']}; --instance-type "
                "sets another one"
            )
    validation = PartialValidation(lambda path: path)
    environment = {**values.get("environment", {}), **overrides.get("environment", {})}
    settings = validation.validate(BatchSettings, {**values, **overrides, "environment": environment})
    if validation.errors:
        mistakes = [typer.BadParameter(each.message, param_hint=_option(each.key)) for each in validation.errors]
        raise InvalidTransform("\n".join(mistake.format_message() for mistake in mistakes))
    return settings


def _option(key: str) -> str:
    """The option that sets a key of `batch`."""
    if key.startswith("environment"):
        return "--env"
    return "--" + re.sub("[A-Z]", lambda upper: f"-{upper[0].lower()}", key)


def _require_key_of_region(key: str | None, region: str | None) -> None:
    if key and (of_key := key.split(":")[3]) != region:
        raise typer.BadParameter(
            f"{key} is in {of_key}, but the stack is in {region}. Use one in the stack's region.",
            param_hint="--kms-key-arn",
        )


def _check_gpus(target: ReleaseTarget, instance_type: str) -> None:
    """What `validate` checks of the type in the settings."""
    triton = target.stack.image.triton if target.stack else None
    if triton is None or not instance_types.has_gpu(instance_type):
        return
    if problem := gpus.release_problem(triton.release, instance_types.family(instance_type)):
        raise InvalidTransform(f"instance type {instance_type}: {problem} Set it with --instance-type.")
    if message := gpus.transform_driver_warning(triton.release):
        print(f"warning: {message}")


def _note_permission(place: S3Location, allowed: Sequence[str], verb: str) -> None:
    """A note if only `role.statements`, or a role outside of the stack, can allow the job to use a place."""
    if not any(place.within(directory) for directory in allowed):
        print(f"note: {place} is outside of {', '.join(allowed)}: the execution role must be allowed to {verb} it")


def _name(endpoint: str, name: str | None) -> str:
    if name is None:
        return transform_request.job_name(endpoint)
    if not name.startswith(f"{endpoint}-"):
        raise typer.BadParameter(
            f"must begin with {endpoint}-, because IAM policies allow jobs by their names, not {name!r}.",
            param_hint="--name",
        )
    if len(name) > transform_request.MAX_NAME:
        raise typer.BadParameter(
            f"must have at most {transform_request.MAX_NAME} characters, and {name!r} has {len(name)}.",
            param_hint="--name",
        )
    return name


def _checked_content_type(
    target: ReleaseTarget,
    variant: str,
    model: ServedModel,
    records: TransformInput,
    settings: BatchSettings,
    processing: DataProcessing,
) -> str:
    """The content type of all records, which is that of the first one."""
    request, place = first_request(records, processing, settings.max_payload_mb)
    if request is None:
        print(f"{place} is not checked: only SageMaker evaluates {processing.input_filter}")
        return JSON
    try:
        files, _ = model_files(target, variant, lambda: model)
        require_accepted(files, request, place)
    except UnsupportedModel as reason:
        print(f"{place} is not checked: {reason}")
    return request.content_type
