"""Triton on SageMaker: `pulumi up`."""

from pathlib import Path

import pulumi

from infra import models, program
from infra.settings.error import ConfigurationError
from infra.settings.load import load

try:
    settings = load(program.stack_config(), pulumi.get_project(), program.secret_keys())
    repositories = models.read(settings, Path(__file__).parent, pulumi.get_project())
except ConfigurationError as error:
    raise pulumi.RunError(str(error)) from None

for name, value in program.deploy(settings, repositories).items():
    pulumi.export(name, value)
