"""docs/configuration.md, the documentation of all keys."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from infra.settings.endpoint_sections import EndpointSections
from infra.settings.reference import Key, keys
from infra.settings.section import Effect

SECOND_ENDPOINT = """\
  triton-sagemaker:endpoints:
    sagemaker-endpoint:
      # … unchanged
    ranking-v2:
      model: {artifact: artifacts/ranking_v2.tar.gz}
      instanceType: ml.c5.xlarge
      autoscaling: {min: 2, max: 6}
      alarms: {errorRatePercent: 5, p99ModelLatencyMilliseconds: 500}
      release: {strategy: canary, percent: 10, bakeSeconds: 600}
"""

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

_VARIANT = ("endpoints", "*", "variants", "*")


def markdown(project: str) -> str:
    """The documentation of all keys."""
    reference = keys()
    effects = "\n".join(f"| {effect.value} | {effect.explanation} |" for effect in Effect)
    text = f"""\
# Configuration

All settings are in `Pulumi.<stack>.yaml`. This page is generated from the program by `make schema`. In an editor with
the YAML language server, the first line of each stack file enables completion and checks. Before you deploy:

| command | shows |
|---|---|
| `python -m infra validate` | every mistake in all stack files, with its line |
| `python -m infra explain KEY` | one key of this page |
| `pulumi preview -s STACK` | the changes in the account |

## Add a second endpoint with a canary release

Each key of `{project}:endpoints` is an endpoint. Add one; the others do not change:

```yaml
{SECOND_ENDPOINT}```

A release of this endpoint starts a new fleet, shifts 10 % of the traffic to it, watches the alarms for ten minutes,
shifts the rest, and watches again. If an alarm fires, all traffic returns to the old fleet. Run
`python -m infra validate`, upload the artifact, and run `pulumi up`.

## Effects of a change

| a change | what `pulumi up` does to a running endpoint |
|---|---|
{effects}

If several settings change at once, the strongest effect applies: the last one in this table.

## Keys

Keys are below `config:`. Prefix keys without a namespace with `{project}:`. `*` is a name that you choose, and `[]` is
an item of a list. The first line of each key has its type, range, default, and the effect of a change. A key with
`(instances)`, `(batch)` or `(canary)` exists only in variants of this kind, or with this strategy. For an optional key
without a default, the description says what applies instead. The source is the reason for the accepted values: a shape
of an API, such as `ECR API RepositoryName`, with its member in parentheses; a page of a guide; or this project.

"""
    for section in dict.fromkeys(_section(key) for key in reference):
        if section == _VARIANT:
            text += _variants()
        elif section[:4] != _VARIANT:
            text += _keys(section, [key for key in reference if _section(key) == section], reference)
    return text.rstrip("\n") + "\n"


def only_with(key: Key) -> tuple[str, ...]:
    """The members of a union that have the key; none if all have it, or if it is the key that distinguishes them."""
    return () if key.is_tag else key.tags


def _keys(section: tuple[str, ...], rows: Sequence[Key], reference: Sequence[Key]) -> str:
    title = ".".join(section).replace(".[]", "[]")
    parents = {key.path: key for key in reference}
    parent = parents.get(tuple(part for part in section if part != "[]")) or parents.get(section[:-1])
    text = f"### `{title}`\n\n{parent.description}\n\n" if parent and section else "### The stack\n\n"
    return text + "".join(_entry(key, key.name if not section else key.path[-1]) for key in rows)


def _entry(key: Key, name: str) -> str:
    only = f" ({', '.join(only_with(key))})" if only_with(key) else ""
    facts = [
        key.type,
        key.range,
        f"default: {key.default}" if key.default and not key.default.startswith("required") else key.default,
        "keys: see below" if key.below else f"a change: {key.effect.value}",
    ]
    example = f"Example: `{key.example}`. " if key.example else ""
    return f"""\
**`{name}`**{only} · {" · ".join(fact for fact in facts if fact)}

{key.description.replace("<", "&lt;")}
{example}*Source:* {key.source.replace("<", "&lt;")}

"""


def _variants() -> str:
    names = ", ".join(f"`{name}`" for name in EndpointSections.keys_of_variants())
    text = f"Each variant has these keys of the endpoint: {names}. The other keys apply to all variants."
    return f"""\
### `endpoints.*.variants.*`

{textwrap.fill(text, 120)}

Here, `Trial` receives one request in ten:

```yaml
{TWO_VARIANTS}```

"""


def _section(key: Key) -> tuple[str, ...]:
    return () if key.path == ("region",) else key.path[:-1]
