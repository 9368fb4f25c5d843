"""The program under Pulumi's mock runtime: real stack files in, every registered resource out."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pulumi.runtime import mocks
from ruamel.yaml import YAML

from tests.infra.recorder import Deployment, Registered, record

__all__ = ["ACCOUNT", "ROOT", "Deployment", "Registered", "changed", "changed_endpoint", "run", "stack_file"]

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"


class _Account(mocks.Mocks):
    """AWS's answers, as far as the program reads them."""

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
            case "ResolvedImage":
                source = args.inputs["sources"][0]
                computed |= {"uri": f"{source.partition(':')[0]}@sha256:{'0' * 64}", "source": source}
            case "Stash":
                computed["output"] = args.inputs["input"]
            case "ReleasedArtifact":
                computed["key"] = args.inputs["prefix"] + "model_7/v1.tar.gz"
        return f"{args.name}-id", {**computed, **args.inputs}

    def call(self, args: mocks.MockCallArgs) -> Any:
        match args.token:
            case "aws:index/getCallerIdentity:getCallerIdentity":
                return {"accountId": ACCOUNT}
            case "aws:index/getPartition:getPartition":
                return {"partition": "aws"}
            case "aws:s3/getBucket:getBucket":
                return {"bucketRegion": "ap-northeast-1"}
        raise AssertionError(f"the program calls {args.token}")


def stack_file(stack: str) -> dict[str, Any]:
    """The configuration in a stack file of the project."""
    return dict(YAML(typ="safe").load(ROOT / f"Pulumi.{stack}.yaml")["config"])


def run(stack: str, config: dict[str, Any] | None = None, secret_keys: list[str] | None = None) -> Deployment:
    """Run the program for a stack; `config` replaces that of the stack file, `secret_keys` of it are marked secret."""
    return _of_stack_file(stack) if config is None else registered(_program, stack, config, secret_keys)


def changed(
    stack: str, endpoint: Mapping[str, Any] | None = None, secret_keys: list[str] | None = None, **sections: Any
) -> Deployment:
    """Run the program for a stack file with other sections, and other keys of its only endpoint."""
    config = stack_file(stack) | {f"triton-sagemaker:{section}": value for section, value in sections.items()}
    for settings in config["triton-sagemaker:endpoints"].values() if endpoint else ():
        settings |= endpoint
    return run(stack, config, secret_keys)


def changed_endpoint(stack: str, name: str, **keys: Any) -> Deployment:
    """Run the program for a stack file with other keys of one of its endpoints."""
    config = stack_file(stack)
    config["triton-sagemaker:endpoints"][name] |= keys
    return run(stack, config)


@cache
def _of_stack_file(stack: str) -> Deployment:
    return registered(_program, stack, stack_file(stack))


def _program() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def registered(
    program: Callable[[], object],
    stack: str = "dev",
    config: Mapping[str, Any] | None = None,
    secret_keys: list[str] | None = None,
) -> Deployment:
    """What a program registers and exports."""
    return record(program, "triton-sagemaker", stack, texts(config or {}), secret_keys or [], _Account())


def texts(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as Pulumi hands it over."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
