"""The real bridge, built once from the Go module in this folder, and the questions that it answers.

`python -m tests.bridge.judge` builds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from sandbox.go_program import BuildError, GoProgram, in_go_mod
from sandbox.provider.wire import decode, encode, plain

MODULE = Path(__file__).resolve().parent
SCHEMAS = MODULE / "schemas.json"
VERSION = in_go_mod(MODULE, r"^\s*github\.com/pulumi/pulumi-terraform-bridge/v3 v(\S+)")
PROGRAM = GoProgram(
    name="bridge",
    title=f"pulumi-terraform-bridge {VERSION}",
    module=MODULE,
    package=".",
    label=f"bridge-{VERSION}",
    command="bridge",
)
NOT_BUILT = "the real bridge is not built: `make bridge` builds it once, as `make soak` does"
REGION = "ap-northeast-1"
_NOTES = "__defaults"


@dataclass(frozen=True)
class Checked:
    """What a provider's Check answers.

    Attributes:
        inputs: without the notes of what was filled in.
        filled_in: the names of the top-level inputs that were.
        failures: the properties that it refuses.
    """

    inputs: dict[str, Any]
    filled_in: frozenset[str]
    failures: frozenset[str]


@dataclass(frozen=True)
class Verdict:
    """What the engine makes of a provider's Diff."""

    changes: bool
    properties: frozenset[str]
    replaces: frozenset[str]
    delete_before_replace: bool


class Judge:
    """A provider that is asked as the engine asks it."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        provider.Configure(
            proto.ConfigureRequest(args=encode({"region": REGION}), acceptSecrets=True, acceptResources=True)
        )

    def check(self, type_: str, name: str, given: Mapping[str, Any], before: Mapping[str, Any]) -> proto.CheckResponse:
        """The answer for the inputs of a program; `before` are the checked ones of the last time."""
        answer: proto.CheckResponse = self._provider.Check(
            proto.CheckRequest(
                urn=_urn(type_, name),
                type=type_,
                name=name,
                news=encode(given),
                olds=encode(before),
                randomSeed=b"a seed of 32 characters for names",
            )
        )
        return answer

    def diff(
        self,
        type_: str,
        name: str,
        state: Mapping[str, Any],
        before: Mapping[str, Any],
        inputs: Mapping[str, Any],
        ignored: Iterable[str] = (),
    ) -> proto.DiffResponse:
        """The answer for a state, the checked inputs that led to it, and the checked ones of now."""
        answer: proto.DiffResponse = self._provider.Diff(
            proto.DiffRequest(
                urn=_urn(type_, name),
                type=type_,
                name=name,
                id=str(state.get("id", "id")),
                olds=encode(state),
                old_inputs=encode(before),
                news=encode(inputs),
                ignoreChanges=list(ignored),
            )
        )
        return answer


def checked(answer: proto.CheckResponse) -> Checked:
    inputs = inputs_of(answer)
    failures = frozenset(failure.property.split(".")[0].split("[")[0] for failure in answer.failures)
    return Checked(without_notes(inputs), frozenset(inputs.get(_NOTES, ())), failures)


def inputs_of(answer: proto.CheckResponse) -> dict[str, Any]:
    inputs: dict[str, Any] = plain(decode(answer.inputs))
    return inputs


def verdict(answer: proto.DiffResponse) -> Verdict:
    return Verdict(
        changes=answer.changes == proto.DiffResponse.DIFF_SOME,
        properties=frozenset(answer.diffs),
        replaces=frozenset(answer.replaces),
        delete_before_replace=answer.deleteBeforeReplace,
    )


def read_back(type_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A state after the inputs: they, and what the provider reads from AWS besides (`read` in schemas.json).

    The plugin SDK knows no null in a nested block: what is not set there has its type's zero in the state.
    """
    state = {"id": "id", **deepcopy(dict(inputs))}
    type_data = json.loads(SCHEMAS.read_text())[type_]
    for path, value in type_data.get("read", {}).items():
        _read_into([state], path.split("."), value)
    if not type_data.get("framework"):
        _fill_blocks(type_data["schema"], state)
    return state


_ZEROS = {"string": "", "int": 0, "float": 0, "bool": False}


def _fill_blocks(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    for name, block in schema.items():
        one = _camel_case(name)
        found = properties.get(one, properties.get(f"{one.removesuffix('y')}ies", properties.get(f"{one}s")))
        for part in found if isinstance(found, list) else [found]:
            if isinstance(block, dict) and isinstance(part, dict):
                for key, kind in block.items():
                    if key and isinstance(kind, str) and kind.split()[0] in _ZEROS:
                        part.setdefault(_camel_case(key), _ZEROS[kind.split()[0]])
                _fill_blocks(block, part)


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _read_into(parts: list[Any], path: list[str], value: Any) -> None:
    name, *rest = path
    for part in parts:
        if not rest:
            part.setdefault(name, value)
        elif (inner := part.get(name.removesuffix("[]"))) is not None:
            _read_into(inner if name.endswith("[]") else [inner], rest, value)


def without_notes(value: Any) -> Any:
    """The value without the lists of what was filled in, which the bridge writes into nested objects too."""
    if isinstance(value, dict):
        return {key: without_notes(item) for key, item in value.items() if key != _NOTES}
    return [without_notes(item) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def running(command: Path) -> Iterator[Judge]:
    """The bridge as a process; it ends with its standard input."""
    process = subprocess.Popen([command, SCHEMAS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield Judge(ResourceProviderStub(channel))
    finally:
        process.stdin.close()
        process.wait()


def _urn(type_: str, name: str) -> str:
    return f"urn:pulumi:dev::project::{type_}::{name}"


def main() -> None:
    """Print where the bridge is, building it if need be."""
    try:
        command = PROGRAM.cached(os.environ) or PROGRAM.build(lambda line: print(line, file=sys.stderr), os.environ)
    except BuildError as error:
        sys.exit(f"bridge: {error}")
    print(f"bridge: {PROGRAM.title}, {command}")


if __name__ == "__main__":
    main()
