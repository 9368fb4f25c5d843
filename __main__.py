"""Triton on SageMaker: `pulumi up`."""

from pathlib import Path

import pulumi

from infra import configuration, program
from infra.settings.error import ConfigurationError

try:
    settings, models = configuration.read(
        program.stack_config(),
        pulumi.get_project(),
        program.secret_keys(),
        Path(__file__).parent,
        pulumi.get_stack(),
    )
except ConfigurationError as error:
    raise pulumi.RunError(str(error)) from None

for name, value in program.deploy(settings, models).items():
    pulumi.export(name, value)
