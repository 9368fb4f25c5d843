"""Pulumi's mock runtime, which also records what a program registers, logs and exports."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto.source_pb2 import StackTrace
from pulumi.runtime.stack import run_in_stack

Inputs = dict[str, Any]


class DuplicateResourceError(Exception):
    """Two resources have the same URN, which the engine refuses in these words."""


@dataclass(frozen=True)
class Registered:
    """A resource as the program registered it.

    Attributes:
        request: the whole request, with the options that mocks do not show.
    """

    type: str
    name: str
    urn: str
    inputs: Inputs
    request: Any

    @property
    def parent(self) -> str:
        """The URN of the parent; empty for the stack."""
        return str(self.request.parent)

    @property
    def parent_type(self) -> str:
        return self.parent.split("::")[2].split("$")[-1]

    @property
    def depends_on(self) -> set[str]:
        """Names of the resources that this one depends on."""
        return {urn.split("::")[-1] for urn in self.request.dependencies}

    @property
    def aliases(self) -> list[str]:
        """The names, or else the URNs, that this one had."""
        return [name for alias in self.request.aliases if (name := alias.urn or alias.spec.name)]


@dataclass
class Deployment:
    """What one run of a program registered, exported and logged."""

    resources: list[Registered] = field(default_factory=list)
    outputs: Inputs = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def all(self, type_: str) -> list[Registered]:
        return [resource for resource in self.resources if resource.type.endswith(type_)]

    def one(self, type_: str, name: str | None = None) -> Registered:
        (resource,) = [resource for resource in self.all(type_) if name in (None, resource.name)]
        return resource


class _Log(logging.Handler):
    def __init__(self, deployment: Deployment) -> None:
        super().__init__(logging.INFO)
        self._deployment = deployment

    def emit(self, record: logging.LogRecord) -> None:
        severity = "warning: " if record.levelno == logging.WARNING else ""
        self._deployment.log.append(severity + record.getMessage())


class _Monitor(mocks.MockMonitor):
    def __init__(self, answers: mocks.Mocks, stack: str, deployment: Deployment) -> None:
        super().__init__(answers)
        self._stack, self._deployment = stack, deployment

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = rpc.deserialize_properties(request.object)
        self._deployment.resources.append(Registered(request.type, request.name, response.urn, inputs, request))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.urn.endswith(f"pulumi:pulumi:Stack::{self._stack}"):
            self._deployment.outputs.update(rpc.deserialize_properties(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def record(
    program: Callable[[], object],
    project: str,
    stack: str,
    config: Mapping[str, str],
    secret: Collection[str],
    answers: mocks.Mocks,
) -> Deployment:
    """Run a program for a stack.

    Args:
        config: the stack's configuration as Pulumi passes it to the program.
        secret: the keys of it that hold a secret.
        answers: what AWS answers.

    Raises:
        pulumi.RunError: the program refuses the configuration.
        DuplicateResourceError: it registers two resources under one URN.
    """
    deployment = Deployment()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    monitor = _Monitor(answers, f"{project}-{stack}", deployment)
    logger = logging.Logger(stack)
    logger.addHandler(_Log(deployment))
    mocks.set_mocks(answers, project=project, stack=stack, preview=False, monitor=monitor, logger=logger)
    settings.set_root_resource(None)  # type: ignore[arg-type]  # the program brings its own, as under the engine
    set_all_config(dict(config), list(secret))
    with patch("pulumi.runtime.resource._get_stack_trace", StackTrace):  # which takes a fifth of the time
        loop.run_until_complete(run_in_stack(lambda: _without_result(program)))
    _refuse_duplicates(deployment.resources)
    return deployment


def _refuse_duplicates(resources: Collection[Registered]) -> None:
    """After the run: the mock runtime would wait forever if a registration failed."""
    urns = Counter(resource.urn for resource in resources if resource.type != "pulumi:pulumi:Stack")
    if urn := next((urn for urn, count in urns.items() if count > 1), None):
        raise DuplicateResourceError(f"Duplicate resource URN '{urn}'; try giving it a unique name")


def _without_result(program: Callable[[], object]) -> None:
    """Pulumi would wait for what a program returns."""
    program()
