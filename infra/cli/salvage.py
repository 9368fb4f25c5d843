"""What can be read of a stack file that is not YAML as a whole."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_KEY = re.compile(r"""\s+["']?(?P<key>[\w.-]+:[\w.-]+)["']?\s*:(\s|$)""")
"""A key of `config`: they alone have a namespace."""


def readable(content: str) -> str:
    """A stack file of the keys of `config` whose own lines are YAML."""
    blocks = [block for _, block in _blocks(content) if _is_yaml(block)]
    return "config:\n" + "".join(textwrap.indent(block, "  ") for block in blocks)


def names_below(content: str, key: str) -> list[str]:
    """The keys right below a key of `config`, by their indentation."""
    lines = next((block.splitlines()[1:] for name, block in _blocks(content) if name == key), [])
    keys = [found for line in lines if (found := re.match(r"(\s+)([\w-]+)\s*:(\s|$)", line))]
    return [each[2] for each in keys if each[1] == keys[0][1]]


def _blocks(content: str) -> Iterator[tuple[str, str]]:
    """The keys of `config`, each with its lines."""
    key, lines = "", list[str]()
    for line in [*content.splitlines(), "end:"]:
        found = _KEY.match(line)
        if found or re.match(r"[^\s#]", line):
            if key:
                yield key, textwrap.dedent("\n".join(lines)) + "\n"
            key, lines = found["key"] if found else "", []
        lines.append(line)


def _is_yaml(text: str) -> bool:
    try:
        YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError):
        return False
    return True
