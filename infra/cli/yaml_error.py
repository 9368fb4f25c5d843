"""What is wrong with a text that is no YAML, in the words of whoever wrote it instead of the parser's."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.tokens import ScalarToken

Mistake = tuple[int, str]
"""Where in the text it is, and what it is."""

_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?=\s)", re.MULTILINE)
_STRANGE_INDENT = re.compile(r"^ *([^\S \r\n])", re.MULTILINE)
"""With a tab, or with a blank as it is copied from pages of the web."""
_NO_SPACE = re.compile(r"[^\s:]+:\S")
_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)

_CLOSING = {"{": "}", "[": "]"}
_KINDS = {
    "*": "an alias",
    "&": "an anchor",
    "!": "a tag",
    "%": "a directive",
    "|": "a block of text",
    ">": "a block of text",
}
"""What a value is in YAML by its first character."""


def mistake(error: YAMLError | ValueError, text: str) -> Mistake:
    """What made the parser stop. Of the text, which may hold secrets, nothing is shown but single punctuation."""
    if conflict := _CONFLICT.search(text):
        return conflict.start(), "a merge conflict was left here"
    if isinstance(error, ReaderError):
        return error.position, f"a control character (U+{error.character:04X}). Take it out"
    if not isinstance(error, MarkedYAMLError) or not (mark := error.problem_mark or error.context_mark):
        return 0, _without_quotes(str(error))
    begin = (error.context_mark or mark).index
    return _of_syntax(text, begin, mark.index, error.context or "", error.problem or "")


def _of_syntax(text: str, begin: int, end: int, context: str, problem: str) -> Mistake:
    """By what the parser was at, from `begin` on, and what it did not expect there, at `end`."""
    if indent := _STRANGE_INDENT.search(text[: end + 1]):
        return indent.start(1), _not_a_space(indent[1])
    before = [each for each in _scalars(text) if each.end_mark.index <= end][-2:]
    if quote := next((each for each in before if not each.plain and _spans_lines(each)), None):
        return quote.start_mark.index, f"the quote opened here is closed in line {quote.end_mark.line + 1} only"
    if "quoted scalar" in context:
        return _of_quotes(begin, end, problem)
    if "flow mapping" in context or "flow sequence" in context:
        return _of_brackets(text, begin, end)
    last = before[-1] if before and not text[before[-1].end_mark.index : end].strip(" ") else None
    if "simple key" in context:
        return _of_a_line_without_colon(text, begin, end)
    if "mapping values" in problem:
        return _of_a_line_without_colon(text, last.start_mark.index if last else end, end)
    if "another document" in problem:
        return end, "a second document begins here, and Pulumi would not read it"
    if "<block end>" in problem or "node content" in problem or "entries are not allowed" in problem:
        return _of_structure(text, end, last)
    return _of_a_character(text, begin if text[begin : begin + 1] in _KINDS else end, f"{context} {problem}")


def _of_brackets(text: str, begin: int, end: int) -> Mistake:
    is_outdented = "\n" in text[begin:end] and _indent(text, end) <= _indent(text, begin)
    if is_outdented or text[end : end + 1] in ("", *_CLOSING.values()):
        return begin, f"the {text[begin]} opened here is not closed"
    return end, f"a comma or {_CLOSING[text[begin]]} is missing before this"


def _of_quotes(begin: int, end: int, problem: str) -> Mistake:
    if "escape" in problem:
        return end, "in double quotes, \\ begins an escape sequence. Write \\\\, or take single quotes"
    return begin, "the quote opened here is not closed"


def _of_a_line_without_colon(text: str, begin: int, end: int) -> Mistake:
    """From a text without a colon on to the colon of another line, or to a second colon in the line."""
    line = text[begin:end].partition("\n")[0]
    if begin == end or line == text[begin:end]:
        return end, 'a second ":" in the line. Put the value in quotes'
    if text[_line_start(text, begin) : begin].strip(" -"):
        message = "this line is indented below one whose key has its value already. Indent both alike"
        return _line_start(text, end) + _indent(text, end), message
    return begin, 'a space is missing after the ":"' if _NO_SPACE.match(line) else 'a ":" is missing in this line'


def _of_structure(text: str, at: int, before: ScalarToken | None) -> Mistake:
    match text[at : at + 1]:
        case "}" | "]" as bracket:
            return at, f"there is nothing that this {bracket} closes"
        case ",":
            return at, "there is nothing before this comma"
        case "-":
            return (
                at,
                "an item of a list cannot stand here. The indentation is wrong, or the list belongs in [brackets]",
            )
    if before and not before.plain:
        return (
            at,
            "the text goes on after the closing quote. Put the whole value in quotes, and write those in it twice",
        )
    return at, "the line continues none of those above: its indentation is wrong, or theirs"


def _of_a_character(text: str, at: int, said: str) -> Mistake:
    character = text[at : at + 1]
    if character.isspace():
        return at, _not_a_space(character)
    if character in _KINDS:
        return at, f"a value that begins with {character} is {_KINDS[character]} in YAML. Put it in quotes"
    if "cannot start" in said:
        return at, f"a value cannot begin with {character}. Put it in quotes"
    return at, _without_quotes(said)


def _scalars(text: str) -> Iterator[ScalarToken]:
    """Keys and values, up to where the text is no YAML."""
    with contextlib.suppress(YAMLError):
        yield from (each for each in YAML(typ="safe", pure=True).scan(text) if isinstance(each, ScalarToken))


def _spans_lines(token: ScalarToken) -> bool:
    return bool(token.start_mark.line < token.end_mark.line)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _indent(text: str, at: int) -> int:
    """The number of spaces that the line begins with."""
    line = text[_line_start(text, at) :]
    return len(line) - len(line.lstrip(" "))


def _not_a_space(character: str) -> str:
    return f"a {unicodedata.name(character, 'tab').lower()}, where only spaces can stand"


def _without_quotes(said: str) -> str:
    """What the parser says, without all that it quotes."""
    return _QUOTED.sub("…", " ".join(said.split()))
