"""The Model of a stack that only transforms: Pulumi chooses its name, and no endpoint refers to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from infra import names
from infra.aws.errors import aws_calls
from infra.errors import UserError
from infra.invocation.endpoint import EndpointUnavailable, ServedModel
from infra.release.live import EndpointReader


class ModelNotDeployed(UserError):
    """The stack has not created the Model yet."""

    exit_code = 2


def batch_model(sagemaker: Any, endpoint: str, variant: str, stack: str, bucket: str | None) -> ServedModel:
    """The newest Model of a stack's batch endpoint; during an update it has two.

    Stacks of the same account can have the same keys, so the artifact must be in this stack's bucket.

    Args:
        endpoint: the key in the settings.
        bucket: the stack's bucket, if the settings name it.

    Raises:
        ModelNotDeployed: there is none.
        AwsRequestRefused: the caller may not list or read the models.
    """
    resource = names.variant_resource(endpoint, variant)
    name = re.compile(re.escape(resource) + names.AUTONAMED_REGEX, re.IGNORECASE)
    of_stack = re.compile(re.escape(bucket) if bucket else re.escape(names.bucket(stack)) + names.AUTONAMED_REGEX)
    with aws_calls(f"models {resource}-*"):
        candidates = [model for model in EndpointReader(sagemaker).models(f"{resource}-") if name.fullmatch(model)]
    models = [model for model in _served(sagemaker, candidates) if of_stack.fullmatch(model.artifact.bucket)]
    if not models:
        raise ModelNotDeployed(f"stack {stack} has no Model {resource}-*; `pulumi up` creates it.")
    return max(models, key=lambda model: model.created)


def _served(sagemaker: Any, names_of_models: Iterable[str]) -> Iterator[ServedModel]:
    """The Models, without those that this program did not make."""
    for name in names_of_models:
        with contextlib.suppress(EndpointUnavailable):
            yield ServedModel.read(sagemaker, name)
