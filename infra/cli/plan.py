"""`python -m infra plan`: the resources that the program registers for a stack, without engine and account."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from infra.cli.stack_text import StackText
    from infra.plan import Deployment, Registered

NOTE = (
    "This is not `pulumi preview`: nothing was compared with what exists; no engine, provider or account was asked. "
    "${…} is what only AWS can tell."
)

Stack = Annotated[str, typer.Option("--stack", "-s", help="The stack, as in Pulumi.STACK.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Directory = Annotated[Path, typer.Option("--cwd", help="A directory in the Pulumi project.")]


def plan(stack: Stack, as_json: AsJson = False, cwd: Directory = Path()) -> None:
    """List the resources that the program would register: inputs, options and dependencies. Not `pulumi preview`.

    Exits with 1 when the stack file has a mistake, and shows it as `validate` does.
    """
    from infra.cli.stack_file import stack_path
    from infra.cli.stack_text import StackText
    from infra.cli.validate import findings, relative

    name = stack.rpartition("/")[2]
    file = relative(stack_path(stack, cwd))
    if wrong := [each for each in findings(file) if each.severity == "error"]:
        print("\n".join(map(str, wrong)), file=sys.stderr)
        raise typer.Exit(1)
    text = StackText.read(file)
    for _, warning in text.not_checked:
        print(warning, file=sys.stderr)
    deployment = _deployment(text, name)
    if as_json:
        print(json.dumps(facts(deployment, text.project, name), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(deployment, name)))


def facts(deployment: Deployment, project: str, stack: str) -> dict[str, Any]:
    """Everything, for machines; in an order that does not depend on when a resource was registered."""
    resources = sorted(_resources(deployment), key=lambda each: each.urn)
    return {
        "project": project,
        "stack": stack,
        "note": NOTE,
        "said": deployment.said,
        "resources": [
            {
                "type": each.type,
                "name": each.name,
                "urn": each.urn,
                "parent": each.parent,
                "inputs": _sorted(each.shown_inputs),
                "options": each.options,
                "dependencies": each.dependencies,
            }
            for each in resources
        ],
        "outputs": _sorted(deployment.shown_outputs),
    }


def lines(deployment: Deployment, stack: str) -> Iterator[str]:
    """The same for people: components, and below each what it is made of."""
    resources = _resources(deployment)
    yield f"{stack}: the program registers {len(resources)} resources."
    yield NOTE
    yield from deployment.said
    yield ""
    for each in sorted(resources, key=_order):
        if "pulumi:pulumi:Stack" in each.parent.split("::")[2:3]:
            yield from _tree(each, resources, 0)
    yield "outputs:"
    yield from _indented(_yaml(_sorted(deployment.shown_outputs)), 2)


def _tree(resource: Registered, resources: list[Registered], depth: int) -> Iterator[str]:
    from infra.plan import kind

    options = [f"{name} {written}".strip() for name, value in resource.options.items() for written in [_option(value)]]
    yield " " * depth + f"{kind(resource.type)} {resource.name}" + (f"  ({', '.join(options)})" if options else "")
    if inputs := _sorted(resource.shown_inputs):
        yield from _indented(_yaml(inputs), depth + 4)
    if resource.dependencies:
        yield " " * (depth + 4) + f"# after {', '.join(resource.dependencies)}"
    for each in sorted(resources, key=_order):
        if each.parent == resource.urn:
            yield from _tree(each, resources, depth + 2)


def _deployment(text: StackText, stack: str) -> Deployment:
    from infra.plan import run

    for key in text.secret_as_a_whole:
        print(f"{key} is secret as a whole, and left out here.", file=sys.stderr)
    return run(text.root, text.project, stack, text.pulumis_config, text.secret)


def _resources(deployment: Deployment) -> list[Registered]:
    return [each for each in deployment.resources if each.type != "pulumi:pulumi:Stack"]


def _order(resource: Registered) -> tuple[bool, str, str]:
    """Components after resources."""
    return ":infra:" in resource.type, resource.type, resource.name


def _option(value: Any) -> str:
    return "" if value is True else ", ".join(value) if isinstance(value, list) else str(value)


def _sorted(value: Any) -> Any:
    """Mappings by their keys: what the SDK sends is in no order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 10_000
    yaml.dump(value, text)
    return text.getvalue()


def _indented(text: str, depth: int) -> Iterator[str]:
    return (" " * depth + line for line in text.splitlines())
