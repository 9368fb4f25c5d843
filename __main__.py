"""Triton on SageMaker: `pulumi up`."""

from pathlib import Path

import pulumi

from infra import program
from infra.components.context import secret_keys, stack_config
from infra.diagnostics.problem import ConfigurationError
from infra.stack import Stack

try:
    stack = Stack.read(stack_config(), pulumi.get_project(), secret_keys(), Path(__file__).parent, pulumi.get_stack())
except ConfigurationError as error:
    program.log_warnings(error.warnings)
    raise pulumi.RunError(str(error)) from None

for name, value in program.deploy(stack).items():
    pulumi.export(name, value)
