"""The readable parts of a stack file that is not valid YAML."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_KEY = re.compile(r"""\s+["']?(?P<key>[\w.-]+:[\w.-]+)["']?\s*:(\s|$)""")
"""A key of `config`: only these have a namespace."""


def readable(content: str) -> str:
    """A stack file with the keys of `config` whose own lines are valid YAML."""
    blocks = [block for _, block in _blocks(content) if _is_yaml(block)]
    return "config:\n" + "".join(textwrap.indent(block, "  ") for block in blocks)


def names_below(content: str, key: str) -> list[str]:
    """The keys directly below a key of `config`, by their indentation."""
    lines = next((block.splitlines()[1:] for name, block in _blocks(content) if name == key), [])
    keys = [match for line in lines if (match := re.match(r"(\s+)([\w-]+)\s*:(\s|$)", line))]
    return [match[2] for match in keys if match[1] == keys[0][1]]


def _blocks(content: str) -> Iterator[tuple[str, str]]:
    """The keys of `config` with their lines."""
    key, lines = "", list[str]()
    for line in [*content.splitlines(), "end:"]:
        match = _KEY.match(line)
        if match or re.match(r"[^\s#]", line):
            if key:
                yield key, textwrap.dedent("\n".join(lines)) + "\n"
            key, lines = match["key"] if match else "", []
        lines.append(line)


def _is_yaml(text: str) -> bool:
    try:
        YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError):
        return False
    return True
