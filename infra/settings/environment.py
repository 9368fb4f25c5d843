"""The settings of a serving container: its model, and its environment with the options of Triton."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from infra.aws.hardware import Hardware
from infra.diagnostics.suggest import nearest
from infra.settings.model import ModelSettings
from infra.settings.section import Broken, Section, rule, setting, violation, warning
from infra.triton.serve_options import OPTIONS, PREFIX, value_errors, value_warnings

ONE_MODE = "An endpoint has at most one of asynchronous, serverless and batch; without them it answers in real time."
"""The choice between the modes of an endpoint."""

DEFAULT_MODEL_NAME = f"{PREFIX}DEFAULT_MODEL_NAME"
_DISABLE_MODEL_NAMESPACING = f"{PREFIX}DISABLE_MODEL_NAMESPACING"
_MULTI_MODEL = "SAGEMAKER_MULTI_MODEL"
_OVERRIDE_PING_MODE, _PING_MODE = f"{PREFIX}OVERRIDE_PING_MODE", f"{PREFIX}PING_MODE"

CHECKED = frozenset({DEFAULT_MODEL_NAME, _DISABLE_MODEL_NAMESPACING, _MULTI_MODEL, _OVERRIDE_PING_MODE, _PING_MODE})
"""The variables with values that a rule reads."""


def program_environment(default_model_name: str | None) -> dict[str, str]:
    """The variables that the program sets unless the settings do.

    Verbose logging is off: AWS's image logs every request by default, and logs cost money.

    Args:
        default_model_name: the model that answers; None lets Triton serve the only one in the artifact.
    """
    model = {} if default_model_name is None else {DEFAULT_MODEL_NAME: default_model_name}
    return {f"{PREFIX}LOG_VERBOSE": "false"} | model


SET_BY_PROGRAM = len(program_environment("default"))
"""The number of variables that the program sets at most."""

SECRET = "(a secret)"
"""Stands for the value of a secret variable where only the engine can decrypt it."""

MAX_VARIABLES = 100 - SET_BY_PROGRAM
"""SageMaker's 100 variables of a container (API `EnvironmentMap`) without those that the program sets."""

MAX_BYTES = 31_500
"""Names and values together: SageMaker's 32 KB (API `ContainerDefinition`) without what the program sets."""

SET_DEFAULT_MODEL = f"{DEFAULT_MODEL_NAME} is set from model.defaultModelName. Remove it, and set that key."

SECRET_NAME = re.compile(
    "(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|API_?KEY|(?:PRIVATE|ACCESS|LICENSE)_KEY|"
    "(?:^|_)(?:HF|HUB|API|AUTH|ACCESS|BEARER|REFRESH|SESSION)_TOKEN)$",
    re.IGNORECASE,
)
"""Environment variables that usually hold a secret. TOKEN alone may be a token of a language model."""

_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"


def _variable_name(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise violation(
            "variable-name",
            "is not a valid environment variable name: use letters, digits and underscores, not starting with a digit "
            f"(API EnvironmentKey, {_NAME}).",
        )
    if len(name) > 1024:
        raise violation(
            "variable-name-length", f"the name has {len(name)} characters; at most 1024 (API EnvironmentKey)."
        )
    return name


VariableName = Annotated[
    str,
    AfterValidator(_variable_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$", "maxLength": 1024}),
]
VariableValue = Annotated[str, StringConstraints(max_length=1024)]


def size_problem(environment: Mapping[str, str]) -> str | None:
    """Why SageMaker would reject the size of an environment; None if it would not."""
    if len(environment) > MAX_VARIABLES:
        return (
            f"there are {len(environment)} variables; at most {MAX_VARIABLES}, because SageMaker accepts 100 and the "
            f"program sets {SET_BY_PROGRAM}"
        )
    size = sum(len(text.encode()) for variable in environment.items() for text in variable)
    if size > MAX_BYTES:
        return f"names and values have {size} bytes; at most {MAX_BYTES}, because SageMaker accepts 32 KB in all"
    return None


def option_warning(variable: str) -> str | None:
    """The warning about a variable that has the prefix of Triton's options but is not one of them."""
    option = variable.removeprefix(PREFIX)
    if option == variable or option in OPTIONS:
        return None
    near = nearest(option, OPTIONS)
    hint = f"Did you mean {PREFIX}{near}?" if near else f"Known options: {', '.join(OPTIONS)}."
    ignore = "Ignore this if a newer image has it."
    return f"is not a known option of Triton's container (docker/sagemaker/serve). {hint} {ignore}"


class ContainerSettings(Section):
    """The container of a variant (API `ContainerDefinition`)."""

    model: ModelSettings = setting(
        "The Triton model repository to serve: {path: …}, a directory, or {artifact: …}, an upload.",
        source="SageMaker API ContainerDefinition (ModelDataUrl)",
    )
    environment: dict[VariableName, VariableValue] = setting(
        f"Environment variables of the container (API EnvironmentMap), at most {MAX_BYTES} bytes in total. "
        "SAGEMAKER_TRITON_* variables set Triton's options.",
        default_factory=dict,
        example={"SAGEMAKER_TRITON_THREAD_COUNT": "16"},
        source=f"SageMaker API EnvironmentMap; this project: it sets {SET_BY_PROGRAM} of the 100 variables itself",
        secret=True,
        schema={"maxProperties": MAX_VARIABLES},
    )

    @property
    def hardware(self) -> Hardware:
        """What the container runs on."""
        raise NotImplementedError

    @property
    def readable_environment(self) -> dict[str, str]:
        """The variables with known values."""
        return {variable: value for variable, value in self.environment.items() if value != SECRET}

    @rule("environment")
    def default_model_in_environment(self) -> Broken:
        """Triton, docker/sagemaker/serve: it loads the model that this variable names."""
        return {DEFAULT_MODEL_NAME: SET_DEFAULT_MODEL} if DEFAULT_MODEL_NAME in self.environment else None

    @rule("environment")
    def multi_model_mode(self) -> Broken:
        """Triton, docker/sagemaker/serve: with `true` it does not load the artifact."""
        if self.environment.get(_MULTI_MODEL) != "true":
            return None
        return {
            _MULTI_MODEL: "in multi-model mode, Triton does not load the artifact and waits for requests that name "
            "others (docker/sagemaker/serve), which these endpoints do not support. Remove the variable."
        }

    @rule("environment")
    def namespacing_value(self) -> Broken:
        """Triton, docker/sagemaker/serve."""
        if self.readable_environment.get(_DISABLE_MODEL_NAMESPACING) in (None, "false", "0"):
            return None
        return {
            _DISABLE_MODEL_NAMESPACING: "is passed on as --model-namespacing (docker/sagemaker/serve), so only 'false' "
            "disables namespacing. Set 'false', or remove the variable to keep namespacing enabled."
        }

    @rule("environment")
    def ping_mode_missing(self) -> Broken:
        """Triton, docker/sagemaker/serve."""
        if _OVERRIDE_PING_MODE not in self.environment or _PING_MODE in self.environment:
            return None
        return {
            _OVERRIDE_PING_MODE: f"has no effect without {_PING_MODE} (docker/sagemaker/serve). Set both or neither."
        }

    @rule("environment")
    def option_value(self) -> Broken:
        """Triton, docker/sagemaker/serve and command_line_parser.cc."""
        return {(variable,): message for variable, message in value_errors(self.readable_environment).items()}

    @warning("environment")
    def option_value_cut(self) -> Broken:
        """Triton, command_line_parser.cc: a number ends at the first other character."""
        return {(variable,): message for variable, message in value_warnings(self.readable_environment).items()}

    @warning("environment")
    def unknown_option(self) -> Broken:
        problems = {(variable,): option_warning(variable) for variable in self.environment}
        return {path: message for path, message in problems.items() if message}


class InstanceContainer(ContainerSettings):
    """A container on instances."""

    enable_network_isolation: bool = setting(
        "Isolate the containers from all networks, including AWS's services (EnableNetworkIsolation). SageMaker still "
        "downloads the artifact, invokes the container and delivers its logs; code in a model receives no credentials "
        "of the execution role.",
        default=False,
        example=True,
        source="SageMaker API CreateModelInput (EnableNetworkIsolation); SageMaker guide, Run Training and Inference "
        "Containers in Internet-Free Mode",
    )
