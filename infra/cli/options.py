"""The arguments and options that several commands have, and how commands refuse their values and combinations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.diagnostics.suggest import nearest
from infra.errors import UserError

Stack = Annotated[str, typer.Option("--stack", "-s", metavar="NAME", help="The name of the stack.")]
EndpointName = Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="Needed if the stack has several.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Directory = Annotated[
    Path,
    typer.Option(
        "--cwd",
        metavar="DIRECTORY",
        help="A directory of the project, if it is not the current one.",
        exists=True,
        file_okay=False,
    ),
]
Environment = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="NAME=VALUE", help="A variable of the container. Can be repeated."),
]


def variables(env: list[str] | None) -> dict[str, str]:
    """The variables of `--env`.

    Raises:
        typer.BadParameter: one is not NAME=VALUE.
    """
    values = {}
    for assignment in env or ():
        name, separator, value = assignment.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{name or assignment} is not NAME=VALUE", param_hint="--env")
        values[name] = value
    return values


@contextlib.contextmanager
def named(option: str) -> Iterator[None]:
    """Name an option or argument in the errors about its value."""
    try:
        yield
    except UserError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def validated(value: str, type_: Any, option: str) -> None:
    """Refuse a value that the settings would refuse."""
    from pydantic import TypeAdapter, ValidationError  # commands without settings start without it

    try:
        TypeAdapter(type_).validate_python(value)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint=option) from None


def in_words(error: typer.BadParameter) -> str:
    """Why a value is not a number or a choice of its option; typer has the words of pydantic's error alone."""
    from pydantic import ValidationError

    cause = error.__cause__
    assert error.param and isinstance(cause, ValidationError)
    kind, given = error.param.type_descriptor, cause.errors()[0]["input"]
    if kind.choices:
        near = nearest(given, kind.choices)
        return not_one_of(kind.choices, given) + (f" Did you mean {near}?" if near else "")
    least, most = kind.parameter_info.min, kind.parameter_info.max
    limits = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    return f"must be {'a' if kind.annotation is float else 'a whole'} number{limits}, not {given!r}."


def not_one_of(choices: Iterable[str], given: str) -> str:
    return f"must be one of {', '.join(choices)}, not {given!r}."


def written(context: typer.Context) -> list[str]:
    """The options and arguments on the command line."""
    sources = {one: context.get_parameter_source(one.name) for one in context.command.params}
    return [name_of(one) for one, source in sources.items() if source and source.name == "COMMANDLINE"]


def name_of(parameter: Any) -> str:
    """An option or argument as messages name it; typer would quote it, and add the short form of an option."""
    return str(parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar)


def require(context: typer.Context, option: str, *others: str) -> None:
    """Refuse an option that has an effect only with one of others."""
    if option in (options := written(context)) and not {*options} & {*others}:
        context.fail(f"{option} requires {' or '.join(others)}.")


def separate(context: typer.Context, *options: str) -> None:
    """Refuse options of which one would have no effect."""
    if len(both := [option for option in options if option in written(context)]) > 1:
        context.fail(f"{both[0]} cannot be combined with {both[1]}. Leave out one of them.")
