"""The program under Pulumi's mock runtime: real stack files in, every registered resource out."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.stack import run_in_stack
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Registered:
    """A resource as the program asked the engine for it."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    request: Any
    """The whole request, with the options that mocks do not show."""

    @property
    def parent_type(self) -> str:
        return str(self.request.parent.split("::")[2].split("$")[-1])

    @property
    def depends_on(self) -> set[str]:
        """Names of the resources this one waits for."""
        return {urn.split("::")[-1] for urn in self.request.dependencies}


@dataclass
class Deployment:
    """What one run of the program registered and exported."""

    resources: list[Registered] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def all(self, type_: str) -> list[Registered]:
        return [each for each in self.resources if each.type.endswith(type_)]

    def one(self, type_: str, name: str | None = None) -> Registered:
        (found,) = [each for each in self.all(type_) if name in (None, each.name)]
        return found


class _Account(mocks.Mocks):
    """What AWS would add to each resource, as far as others read it."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name = args.inputs.get("name") or args.inputs.get("bucket") or f"{args.name}-1a2b3c4"
        computed: dict[str, Any] = {"name": name, "arn": f"arn:aws:mock:ap-northeast-1:{ACCOUNT}:{args.name}"}
        match args.typ.split(":")[-1]:
            case "Bucket":
                computed |= {"bucket": name, "arn": f"arn:aws:s3:::{name}"}
            case "Repository":
                computed["repositoryUrl"] = f"{ACCOUNT}.dkr.ecr.ap-northeast-1.amazonaws.com/{name}"
            case "MirroredImage":
                computed["digest"] = "sha256:" + "0" * 64
            case "ReleasedArtifact":
                computed["key"] = args.inputs["prefix"] + "model_7/v1.tar.gz"
        return f"{args.name}-id", {**computed, **args.inputs}

    def call(self, args: mocks.MockCallArgs) -> Any:
        match args.token:
            case "aws:index/getCallerIdentity:getCallerIdentity":
                return {"accountId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:user/ci", "userId": "ci", "id": ACCOUNT}
            case "aws:index/getPartition:getPartition":
                return {
                    "partition": "aws",
                    "dnsSuffix": "amazonaws.com",
                    "id": "aws",
                    "reverseDnsPrefix": "com.amazonaws",
                }
        raise AssertionError(f"the program calls {args.token}, which it did not before")


class _Monitor(mocks.MockMonitor):
    def __init__(self, deployment: Deployment) -> None:
        super().__init__(_Account())
        self._deployment = deployment

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = rpc.deserialize_properties(request.object)
        self._deployment.resources.append(Registered(request.type, request.name, response.urn, inputs, request))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.urn.endswith("pulumi:pulumi:Stack::triton-sagemaker-" + pulumi.get_stack()):
            self._deployment.outputs.update(rpc.deserialize_properties(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def stack_file(stack: str) -> dict[str, Any]:
    """The configuration in a stack file of the project."""
    return dict(YAML(typ="safe").load(ROOT / f"Pulumi.{stack}.yaml")["config"])


def run(stack: str, config: dict[str, Any] | None = None, secret_keys: list[str] | None = None) -> Deployment:
    """Run the program for a stack; `config` replaces that of the stack file, `secret_keys` of it are marked secret."""
    values = stack_file(stack) if config is None else config
    return registered(
        lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"), stack, values, secret_keys
    )


def registered(
    program: Callable[[], object],
    stack: str = "dev",
    config: Mapping[str, Any] | None = None,
    secret_keys: list[str] | None = None,
) -> Deployment:
    """What a program registers and exports."""
    deployment = Deployment()
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(_Account(), project="triton-sagemaker", stack=stack, preview=False, monitor=_Monitor(deployment))
    settings.set_root_resource(None)  # type: ignore[arg-type]  # the program brings its own, as under the engine
    set_all_config(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in (config or {}).items()},
        secret_keys or [],
    )

    def run_program() -> None:
        program()

    asyncio.get_event_loop().run_until_complete(run_in_stack(run_program))
    return deployment
