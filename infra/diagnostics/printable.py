"""Text of others in what people read on a terminal: from registries, files' names, keys, logs and records."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text in one line, with a backslash escape for every character that is not printed as itself.

    Control characters move the cursor, line breaks forge lines of a log (a workflow command of GitHub Actions), and
    Unicode's directions show a name backwards.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
