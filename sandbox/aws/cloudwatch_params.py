"""Parameters and errors of the operations of CloudWatch that moto lacks."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.exceptions import CloudWatchException, ValidationError

from sandbox.aws.protocol import AwsError, check, service_model


class ResourceNotFound(CloudWatchException):
    code = "ResourceNotFoundException"


def params_of(responses: Any, operation: str, refusal: type[CloudWatchException] = ValidationError) -> dict[str, Any]:
    """Those of the request that moto's responses answer, checked by the operation's input shape.

    Raises:
        CloudWatchException: one that violates a constraint, as `refusal`.
    """
    model = service_model("cloudwatch").operation_model(operation)
    given = {name: responses._get_param(name) for name in model.input_shape.members}
    params = {name: value for name, value in given.items() if value is not None}
    try:
        check(model, params)
    except AwsError as error:
        raise refusal(error.message) from None
    return params
