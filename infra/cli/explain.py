"""`python -m infra explain`: the meaning of a key of stack files, and the effect of a change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import Directory, separate
from infra.cli.project import Project
from infra.diagnostics.suggest import nearest
from infra.settings.document import markdown, only_with
from infra.settings.reference import Key, keys, written
from infra.settings.section import Section
from infra.triton import document as model_check

_PART = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[[^\]]*\]|[^.\[\]]+')
"""A part of a key as Pulumi writes it: a name, one in brackets and quotes, or a position."""

FILE = Path("docs/configuration.md")
"""Relative to the project's directory."""

KeyName = Annotated[str | None, typer.Argument(metavar="KEY", help="Such as endpoints.*.release.bakeSeconds.")]
Write = Annotated[bool, typer.Option("--write", help=f"Write all keys to {FILE}, and the rules of the model check.")]

app = typer.Typer(add_completion=False)


@app.command()
def explain(context: typer.Context, key: KeyName = None, write: Write = False, cwd: Directory = Path()) -> None:
    """Explain a key of stack files.

    Prints its type, default, range, an example, and the effect of a change on a running endpoint. Without KEY, lists
    all keys.

    Exit codes: 0, and 2 if the key does not exist.
    """
    separate(context, "KEY", "--write")
    project = Project.at(cwd.absolute())
    if write:
        project.write(FILE, markdown(project.name))
        project.write(model_check.FILE, model_check.markdown())
        return
    known = keys()
    if key is None:
        print("\n".join(dict.fromkeys(full_name(item, project.name) for item in known)))
    elif matches := matching(known, key.removeprefix(f"{project.name}:")):
        print("\n\n".join(in_words(match, project.name, known) for match in matches))
    else:
        raise typer.BadParameter(f"{key} is not a key of stack files.{suggestion(known, key)}", param_hint="KEY")


def matching(known: Sequence[Key], name: str) -> list[Key]:
    """The keys that a name stands for: a full name, with any name for `*` and position for `[]`, or else the end of
    one. A name that the user chooses in a key, such as that of a tag, stands for the key."""
    parts = tuple(_PART.findall(name.removeprefix("aws:")))
    exact = [key for key in known if any(_fits(path, parts) for path in _paths(key))]
    ends = (key for key in known for path in _paths(key) if _fits(path[-len(parts) :], parts, from_a_key=True))
    matches = exact or list(dict.fromkeys(ends))
    return [match for match in matches if not _is_repeated(match.path, matches)]


def suggestion(known: Sequence[Key], name: str) -> str:
    """A question about the key with the most similar name, if there is one: the first one in the documentation."""
    ends = {key.path[-1]: key.name for key in reversed(known)}
    names = ends | {key.name: key.name for key in known}
    near = nearest(name, names) or nearest(name.rpartition(".")[2], names)
    return f" Did you mean {names[near]}?" if near else ""


def full_name(key: Key, project: str) -> str:
    """The key with its namespace."""
    return key.name if key.name.startswith("aws:") else f"{project}:{key.name}"


def in_words(key: Key, project: str, known: Sequence[Key]) -> str:
    """The description and all facts of a key."""
    lines = [full_name(key, project) + (f" (only with {', '.join(only_with(key))})" if only_with(key) else "")]
    lines += [f"  {key.description}", ""]
    facts = {
        "type": key.type,
        "default": _default(key) or "none",
        "range": key.range,
        "example": f"{key.name.rpartition('.')[2]}: {key.example}" if key.example else "",
        "a change": "" if key.below else f"{key.effect.value}: {key.effect.explanation}",
        "source": key.source,
    }
    lines += [f"  {name + ':':10}{fact}" for name, fact in facts.items() if fact]
    sections = (key.path, (*key.path, "*"), (*key.path, "[]"))
    below = dict.fromkeys(item.path[-1] for item in known if item.path[:-1] in sections)
    if below:
        lines.append(f"  {'keys:':10}{', '.join(below)}")
    return "\n".join(lines)


def _default(key: Key) -> str:
    """The default of a key; of a section, the defaults of its keys."""
    section = key.field.get_default(call_default_factory=True)
    if not isinstance(section, Section):
        return key.default
    defaults = {name: value for name, value in section.model_dump(by_alias=True).items() if value not in (None, [])}
    return written(defaults) if defaults else ""


def _is_repeated(path: tuple[str, ...], matches: Sequence[Key]) -> bool:
    """Whether the key is a variant's, and the same key of the endpoint matches too."""
    of_endpoint = (*path[:2], *path[4:])
    return path[2:4] == ("variants", "*") and any(match.path == of_endpoint for match in matches)


def _paths(key: Key) -> list[tuple[str, ...]]:
    """The path of the key, and those of the names that the user chooses in it."""
    return [key.path + ("*",) * chosen for chosen in range(key.nesting + 1)]


def _fits(path: tuple[str, ...], parts: tuple[str, ...], from_a_key: bool = False) -> bool:
    if len(path) != len(parts) or (from_a_key and path[0] in ("*", "[]")):
        return False
    return all(
        name in ("*", part) or (name == "[]" and part.startswith("[")) for name, part in zip(path, parts, strict=True)
    )
