"""`python -m infra explain`: what a key of a stack file means, and what a change of it does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import Directory
from infra.cli.project import Project
from infra.diagnostics.suggest import nearest
from infra.settings.effect import Effect
from infra.settings.reference import Key, keys, written
from infra.settings.section import Section

_PART = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[[^\]]*\]|[^.\[\]]+')
"""Of a key as Pulumi writes it: a name, one in brackets and quotes, or a position."""

FILE = Path("docs/configuration.md")
"""In the project's directory."""

SECOND_ENDPOINT = """\
  triton-sagemaker:endpoints:
    sagemaker-endpoint:
      # … as it is
    ranking-v2:
      model: {artifact: artifacts/ranking_v2.tar.gz}
      instanceType: ml.c5.xlarge
      autoscaling: {min: 2, max: 6}
      alarms: {errorRatePercent: 5, p99ModelLatencyMilliseconds: 500}
      release: {strategy: canary, percent: 10, bakeSeconds: 600}
"""
"""The example of the documentation."""

TWO_VARIANTS = """\
    ranking-v2:
      variants:
        Stable:
          model: {artifact: artifacts/ranking_v2.tar.gz}
          instanceType: ml.c5.xlarge
          initialInstanceCount: 2
          initialVariantWeight: 9
        Trial:
          model: {artifact: artifacts/ranking_v3.tar.gz}
          instanceType: ml.c5.xlarge
          initialInstanceCount: 2
          initialVariantWeight: 1
      alarms: {errorRatePercent: 5}
      release: {bakeSeconds: 600}
"""
"""The example of variants."""

KeyName = Annotated[str | None, typer.Argument(metavar="KEY", help="Such as endpoints.*.release.bakeSeconds.")]
Write = Annotated[bool, typer.Option("--write", help=f"Write {FILE}, with all keys.")]

app = typer.Typer(add_completion=False)


@app.command()
def explain(key: KeyName = None, write: Write = False, cwd: Directory = Path()) -> None:
    """Explain a key of stack files.

    Prints its type, default, range, an example, and what a change does to an endpoint in service. Without KEY, lists
    all keys.

    Exit codes: 0, or 1 if the key does not exist.
    """
    at = Project.at(cwd.absolute())
    project = at.name
    if write:
        file = at.root / FILE
        file.parent.mkdir(exist_ok=True)
        file.write_text(markdown(project), encoding="utf-8")
        print(file)
        return
    known = keys()
    found = matching(known, key.removeprefix(f"{project}:")) if key else []
    if found:
        print("\n\n".join(in_words(each, project, known) for each in found))
    elif key:
        print(f"{key} is not a key of stack files.{question(known, key)}")
        raise typer.Exit(1)
    else:
        print("\n".join(dict.fromkeys(full_name(each, project) for each in known)))


def matching(known: Sequence[Key], name: str) -> list[Key]:
    """The keys that a name may mean: the whole of it, with any name for `*` and position for `[]`, else its end alone.
    What is chosen in a key, such as the name of a tag, is explained with that key."""
    parts = tuple(_PART.findall(name.removeprefix("aws:")))
    exact = [each for each in known if any(_fits(path, parts) for path in _paths(each))]
    ends = (each for each in known for path in _paths(each) if _fits(path[-len(parts) :], parts, from_a_key=True))
    found = exact or list(dict.fromkeys(ends))
    return [each for each in found if not _is_repeated(each.path, found)]


def question(known: Iterable[Key], name: str) -> str:
    """A question after the key that was meant, if one is spelled like it."""
    ends = {each.path[-1]: each.name for each in sorted(known, key=lambda each: -len(each.path))}
    names = ends | {each.name: each.name for each in known}
    found = nearest(name, names) or nearest(name.rpartition(".")[2], names)
    return f" Did you mean {names[found]}?" if found else ""


def full_name(key: Key, project: str) -> str:
    """The key with its namespace."""
    return key.name if key.name.startswith("aws:") else f"{project}:{key.name}"


def in_words(key: Key, project: str, known: Sequence[Key]) -> str:
    """All that is known of a key."""
    lines = [full_name(key, project) + (f" (strategy {', '.join(key.tags)})" if _only_with(key) else "")]
    lines += [f"  {key.description}", ""]
    facts = {
        "type": key.type,
        "default": _default(key) or "none",
        "range": key.range,
        "example": f"{key.path[-1]}: {key.example}" if key.example else "",
        "a change": "" if key.below else f"{key.effect.value}: {key.effect.explanation}",
        "source": key.source,
    }
    lines += [f"  {name + ':':10}{fact}" for name, fact in facts.items() if fact]
    sections = (key.path, (*key.path, "*"), (*key.path, "[]"))
    below = dict.fromkeys(each.path[-1] for each in known if each.path[:-1] in sections)
    if below:
        lines.append(f"  {'keys:':10}{', '.join(below)}")
    return "\n".join(lines)


def _default(key: Key) -> str:
    """What counts where the key is left out; of a section, what counts of its keys."""
    section = key.field.get_default(call_default_factory=True)
    if not isinstance(section, Section):
        return key.default
    counts = {name: value for name, value in section.model_dump(by_alias=True).items() if value not in (None, [])}
    return written(counts) if counts else ""


def markdown(project: str) -> str:
    """The documentation of all keys."""
    known = keys()
    effects = "\n".join(f"| {each.value} | {each.explanation} |" for each in Effect)
    text = f"""\
# Configuration

Everything that one edits is in `Pulumi.<stack>.yaml`. This page is made from the program by `make schema`, and tests
keep it true. An editor with the YAML language server completes keys and values, and underlines mistakes, by the first
line of each stack file. Before anything runs:

| command | shows |
|---|---|
| `python -m infra validate` | every mistake in all stack files with its line |
| `python -m infra explain KEY` | one key of this page |
| `pulumi preview -s STACK` | what would change in the account |

## Add a second endpoint with a canary release

Each key below `{project}:endpoints` is an endpoint. Add one; the others stay as they are:

```yaml
{SECOND_ENDPOINT}```

A release of it then starts a new fleet beside the old one, sends 10 % of the traffic there, watches the alarms for ten
minutes, sends the rest, and watches again; when an alarm fires, the old fleet takes everything back. Run
`python -m infra validate`, upload the artifact, and run `pulumi up`.

## What a change does

| a change | what `pulumi up` does to an endpoint that serves |
|---|---|
{effects}

Several changes at once do the most that one of them does.

## Keys

Keys are in `config:`; those without a namespace of their own are written with `{project}:` before them. `*` is a name
that you choose, `[]` an item of a list. Where no default is shown, the description says what counts without the key.
The source is whose rule the values follow: a shape of an API, such as `ECR API RepositoryName`, with its member in
brackets; a page of a guide; or this project, with its reason.

"""
    for section in dict.fromkeys(_section(each) for each in known):
        if section == ("endpoints", "*", "variants", "*"):
            text += _variants()
        elif section[:4] != ("endpoints", "*", "variants", "*"):
            text += _table(section, [each for each in known if _section(each) == section], known)
    return text.rstrip("\n") + "\n"


def _table(section: tuple[str, ...], rows: Sequence[Key], known: Sequence[Key]) -> str:
    title = ".".join(section).replace(".[]", "[]")
    of = next((each for each in known if each.path == tuple(part for part in section if part not in ("[]",))), None)
    of = of or next((each for each in known if each.path == section[:-1]), None)
    text = f"### `{title}`\n\n{of.description}\n\n" if of and section else "### The stack\n\n"
    text += "| key | type | default | range | example | a change | | source |\n|---|---|---|---|---|---|---|---|\n"
    for each in rows:
        only = f" ({', '.join(each.tags)})" if _only_with(each) else ""
        example = f"`{each.example}`" if each.example else ""
        effect = "see below" if each.below else each.effect.value
        name = each.name if not section else each.path[-1]
        cells = (f"`{name}`{only}", each.type, each.default, each.range, example, effect, each.description, each.source)
        text += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    return text + "\n"


def _variants() -> str:
    return f"""\
### `endpoints.*.variants.*`

Each variant has a `model` and the keys of an endpoint that are about its instances: `instanceType`, `autoscaling`,
`initialInstanceCount`, `allowSingleInstance`, `initialVariantWeight`, `startupHealthCheckSeconds`,
`modelDataDownloadSeconds`, `volumeSizeGb`, `inferenceAmiVersion` and `environment`. `alarms` and `release` are the
endpoint's. One request in ten goes to `Trial` here:

```yaml
{TWO_VARIANTS}```

"""


def _section(key: Key) -> tuple[str, ...]:
    return () if key.path == ("region",) else key.path[:-1]


def _only_with(key: Key) -> bool:
    """Whether it has to be said which variants of a union have the key; where the key tells them apart, it is clear."""
    return bool(key.tags) and key.tags != (key.path[-1],)


def _is_repeated(path: tuple[str, ...], found: Sequence[Key]) -> bool:
    """Whether the key is one of a variant that the endpoint has too, and that is found as well."""
    of_endpoint = (*path[:2], *path[4:])
    return path[2:4] == ("variants", "*") and any(each.path == of_endpoint for each in found)


def _paths(key: Key) -> list[tuple[str, ...]]:
    """Of the key, and of what one chooses in it."""
    return [key.path + ("*",) * chosen for chosen in range(key.nesting + 1)]


def _fits(path: tuple[str, ...], parts: tuple[str, ...], from_a_key: bool = False) -> bool:
    if len(path) != len(parts) or (from_a_key and path[0] in ("*", "[]")):
        return False
    return all(
        one in ("*", other) or (one == "[]" and other.startswith("[")) for one, other in zip(path, parts, strict=True)
    )
