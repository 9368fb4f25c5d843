"""The environment of a serving container: names, limits, and Triton's options in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from infra.diagnostics.suggest import nearest
from infra.settings.section import violation

MAX_ENVIRONMENT = 100
"""Environment variables of a container (API ``EnvironmentMap``)."""

MAX_ENVIRONMENT_BYTES = 31_500
"""Names and values together: SageMaker's 32 KB (API ``ContainerDefinition``) less what the program sets."""


DEFAULT_MODEL_NAME = "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"
DISABLE_MODEL_NAMESPACING = "SAGEMAKER_TRITON_DISABLE_MODEL_NAMESPACING"
MULTI_MODEL = "SAGEMAKER_MULTI_MODEL"
OVERRIDE_PING_MODE, PING_MODE = "SAGEMAKER_TRITON_OVERRIDE_PING_MODE", "SAGEMAKER_TRITON_PING_MODE"
LOOKED_AT = frozenset({DEFAULT_MODEL_NAME, DISABLE_MODEL_NAMESPACING, MULTI_MODEL, OVERRIDE_PING_MODE, PING_MODE})
"""The variables that a rule is about."""


def program_environment(default_model_name: str | None) -> dict[str, str]:
    """The variables that the program sets unless the settings do.

    Verbose logging is off: AWS's image logs every request by default, and logs cost money.

    Args:
        default_model_name: the model that answers; None lets Triton serve the only one in the artifact.
    """
    chosen = {} if default_model_name is None else {DEFAULT_MODEL_NAME: default_model_name}
    return {"SAGEMAKER_TRITON_LOG_VERBOSE": "false"} | chosen


SET_BY_THE_PROGRAM = len(program_environment("default"))
"""Variables of a container that the program sets at most."""

NAMED_BESIDE_THE_MODEL = f"{DEFAULT_MODEL_NAME} is set from model.defaultModelName; give the name there."

_TRITONS_PREFIX = "SAGEMAKER_TRITON_"
_TRITONS_OPTIONS = (
    "ADDITIONAL_ARGS",
    "ALLOW_GRPC",
    "ALLOW_METRICS",
    "BUFFER_MANAGER_THREAD_COUNT",
    "DEFAULT_MODEL_NAME",
    "DISABLE_MODEL_NAMESPACING",
    "GRPC_PORT",
    "INFERENCE_TYPE",
    "LOG_ERROR",
    "LOG_INFO",
    "LOG_VERBOSE",
    "LOG_WARNING",
    "METRICS_PORT",
    "MODEL_LOAD_GPU_LIMIT",
    "OVERRIDE_PING_MODE",
    "PING_MODE",
    "SHM_DEFAULT_BYTE_SIZE",
    "SHM_GROWTH_BYTE_SIZE",
    "TENSORFLOW_VERSION",
    "THREAD_COUNT",
)
"""What Triton's container reads of its environment with that prefix (Triton, docker/sagemaker/serve)."""

_ENVIRONMENT_KEY = r"[a-zA-Z_][a-zA-Z0-9_]*"


def _environment_key(name: str) -> str:
    if not re.fullmatch(_ENVIRONMENT_KEY, name):
        raise violation(
            "variable-name",
            "is no name of an environment variable: it has letters, digits and underscores, and begins with no digit "
            f"(API EnvironmentKey, {_ENVIRONMENT_KEY}).",
        )
    if len(name) > 1024:
        raise violation(
            "variable-name-length",
            f"the variable's name has {len(name)} characters; at most 1024 (API EnvironmentKey).",
        )
    return name


EnvironmentKey = Annotated[
    str,
    AfterValidator(_environment_key),
    WithJsonSchema({"type": "string", "pattern": f"^{_ENVIRONMENT_KEY}$", "maxLength": 1024}),
]
EnvironmentValue = Annotated[str, StringConstraints(max_length=1024)]


def environment_problem(environment: Mapping[str, str]) -> str | None:
    """What is wrong with the size of an environment, if anything is."""
    size = sum(len(text.encode()) for variable in environment.items() for text in variable)
    if size <= MAX_ENVIRONMENT_BYTES:
        return None
    return f"names and values have {size} bytes together; at most {MAX_ENVIRONMENT_BYTES} (API ContainerDefinition)."


def option_warning(variable: str) -> str | None:
    """What is to be said of a variable that is called like an option of Triton's container, and is none."""
    option = variable.removeprefix(_TRITONS_PREFIX)
    if option == variable or option in _TRITONS_OPTIONS:
        return None
    near = nearest(option, _TRITONS_OPTIONS)
    meant = f"Did you mean {_TRITONS_PREFIX}{near}?" if near else f"Known are {', '.join(_TRITONS_OPTIONS)}."
    return f"is no option of Triton's container (docker/sagemaker/serve), unless it came out later. {meant}"
