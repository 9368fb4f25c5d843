"""The resources that the program registers for a configuration, without an engine: under Pulumi's mock runtime."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.stack import run_in_stack

_SECRET_MARK = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi tells special values, secrets among them, in what it sends."""

Inputs = dict[str, Any]


class DuplicateResource(Exception):
    """Two resources have the same URN, which the engine refuses in these words."""


@dataclass(frozen=True)
class Registered:
    """A resource as the program asked the engine for it."""

    type: str
    name: str
    urn: str
    inputs: Inputs
    request: Any
    """The whole request, with the options that mocks do not show."""

    @property
    def parent(self) -> str:
        """The URN of the parent; empty for the stack."""
        return str(self.request.parent)

    @property
    def parent_type(self) -> str:
        return self.parent.split("::")[2].split("$")[-1]

    @property
    def dependencies(self) -> list[str]:
        """The resources this one waits for, as `Bucket:models`."""
        return sorted(
            f"{kind(type_.split('$')[-1])}:{name}" for *_, type_, name in map(_urn, self.request.dependencies)
        )

    @property
    def depends_on(self) -> set[str]:
        """Names of the resources this one waits for."""
        return {urn.split("::")[-1] for urn in self.request.dependencies}

    @property
    def options(self) -> Inputs:
        """The options that are set, by Pulumi's names."""
        request = self.request
        found = {
            "protect": request.protect,
            "retainOnDelete": request.retainOnDelete,
            "deleteBeforeReplace": request.deleteBeforeReplace,
            "ignoreChanges": [*request.ignoreChanges],
            "replaceOnChanges": [*request.replaceOnChanges],
            "aliases": [name for each in request.aliases if (name := each.urn or each.spec.name)],
            "import": request.importId,
        }
        return {name: value for name, value in found.items() if value}

    @property
    def shown_inputs(self) -> Inputs:
        """The inputs as plain values, without what Pulumi adds for itself."""
        sent = MessageToDict(self.request.object)
        return {name: _plain(value) for name, value in sent.items() if not name.startswith("__")}


@dataclass
class Deployment:
    """What one run of the program registered and exported."""

    resources: list[Registered] = field(default_factory=list)
    outputs: Inputs = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """What the program logged: how long a release takes, and warnings."""

    @property
    def shown_outputs(self) -> Inputs:
        """The outputs as plain values."""
        return {name: _plain(value) for name, value in self.outputs.items()}

    def all(self, type_: str) -> list[Registered]:
        return [each for each in self.resources if each.type.endswith(type_)]

    def one(self, type_: str, name: str | None = None) -> Registered:
        (found,) = [each for each in self.all(type_) if name in (None, each.name)]
        return found


class _Log(logging.Handler):
    def __init__(self, deployment: Deployment) -> None:
        super().__init__(logging.INFO)
        self._deployment = deployment

    def emit(self, record: logging.LogRecord) -> None:
        severity = "warning: " if record.levelno == logging.WARNING else ""
        self._deployment.said.append(severity + record.getMessage())


class References(mocks.Mocks):
    """In place of what only AWS knows stands which resource would tell it: `${Repository:image.repositoryUrl}`."""

    _COMPUTED = ("id", "arn", "name", "bucket", "repositoryUrl", "digest", "key", "url")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Inputs]:
        computed: Inputs = {key: f"${{{kind(args.typ)}:{args.name}.{key}}}" for key in self._COMPUTED}
        if kind(args.typ) == "Stash":
            computed["output"] = args.inputs["input"]
        return computed["id"], {**computed, **{key: value for key, value in args.inputs.items() if value is not None}}

    def call(self, args: mocks.MockCallArgs) -> Any:
        match args.token.rpartition(":")[2]:
            case "getCallerIdentity":
                return {"accountId": "${account}", "arn": "${caller}", "userId": "${caller}", "id": "${account}"}
            case "getPartition":
                name = {"partition": "aws", "id": "aws"}
                return {**name, "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
            case "getBucket":
                return {"bucketRegion": pulumi.Config("aws").require("region")}
        raise AssertionError(f"the program calls {args.token}, which a plan does not know")


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


def run(
    root: Path,
    project: str,
    stack: str,
    config: Mapping[str, str],
    secret: Collection[str] = (),
    answers: mocks.Mocks | None = None,
) -> Deployment:
    """Run the program in `root` for a stack.

    Args:
        config: the stack's configuration as Pulumi hands it over. What stands for a secret in it is shown: a plan knows
            which parts of a key are secret, and Pulumi only that some are.
        secret: the keys of it that hold a secret.
        answers: what AWS answers; by default `References`.

    Raises:
        pulumi.RunError: the program refuses the configuration.
        DuplicateResource: it registers two resources under one URN.
    """

    def program() -> None:
        runpy.run_path(str(root / "__main__.py"), run_name="__main__")

    return register(program, project, stack, config, secret, answers or References())


def register(
    program: Callable[[], object],
    project: str,
    stack: str,
    config: Mapping[str, str],
    secret: Collection[str],
    answers: mocks.Mocks,
) -> Deployment:
    """Run any program; what it registers and exports."""
    deployment = Deployment()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    monitor = _Monitor(answers, f"{project}-{stack}", deployment)
    logger = logging.Logger(stack)
    logger.addHandler(_Log(deployment))
    mocks.set_mocks(answers, project=project, stack=stack, preview=False, monitor=monitor, logger=logger)
    settings.set_root_resource(None)  # type: ignore[arg-type]  # the program brings its own, as under the engine
    set_all_config(dict(config), list(secret))
    loop.run_until_complete(run_in_stack(lambda: _returning_nothing(program)))
    _refuse_duplicates(deployment.resources)
    return deployment


def _refuse_duplicates(resources: Collection[Registered]) -> None:
    """After the run: the mock runtime would wait for good if a registration failed."""
    of_program = (each.urn for each in resources if each.type != "pulumi:pulumi:Stack")  # mocks register one of theirs
    if urn := next((urn for urn, count in Counter(of_program).items() if count > 1), None):
        raise DuplicateResource(f"Duplicate resource URN '{urn}'; try giving it a unique name")


def _returning_nothing(program: Callable[[], object]) -> None:
    """What a program returns, Pulumi would wait for."""
    program()


def _urn(urn: str) -> list[str]:
    """Its parts: stack, project, type with those of its parents, name."""
    return urn.split("::")


def kind(type_: str) -> str:
    """`Bucket` of `aws:s3/bucket:Bucket`."""
    return type_.rpartition(":")[2]


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and _SECRET_MARK in value:
        return _plain(value["value"])
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _document(value) if isinstance(value, str) else value


def _document(text: str) -> Any:
    """A policy document as what it holds: a person reads it."""
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
