"""`make picture`: run the README's commands on a terminal, and draw what they print as docs/terminal.svg."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 116
PICTURE = Path(__file__).with_name("terminal.svg")
COMMANDS = {
    "make up": re.compile(
        r"(PackedModel|MirroredImage|sagemaker:\w+|infra:Endpoint) \S+ created"
        r"|^Resources|^ +\S+ \d+ created|[│┌├└]|deployed"
    ),
    ".venv/bin/python -m sandbox rollback": re.compile(
        r"rehearsal: (the next|clients|the old)|^ *error: ReleaseFailed|SageMaker says|Alarm \S+ fired|Next: "
    ),
}
"""Each command, and which of its lines are drawn; an ellipsis replaces the others."""


def run(command: str) -> list[str]:
    """The lines that a command prints on a terminal of `COLUMNS` columns, with their colors.

    Raises:
        SystemExit: the command failed.
    """
    ours, its = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, shell=True, stdout=its, stderr=its, env=os.environ | size)
    os.close(its)
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux reports the end of a terminal like that
            break
        if not part:
            break
        output += part
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    if process.wait():
        sys.exit(f"{command} failed: no picture is drawn")
    return output.decode().replace("\r", "").splitlines()


def drawn(lines: list[str], shown: re.Pattern[str]) -> list[Text]:
    """The lines that match, each run of others as one ellipsis."""
    texts: list[Text] = []
    for text in map(Text.from_ansi, lines):
        if shown.search(text.plain):
            texts += [text] if text.plain not in {drawn.plain for drawn in texts} else []
        elif text.plain.strip() and (not texts or texts[-1].plain != "…"):
            texts.append(Text("…", "dim"))
    return texts if shown.search(texts[-1].plain) else texts[:-1]


def main() -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command, shown in COMMANDS.items():
        console.print(Text(f"$ {command}", "bold"))
        for text in drawn(run(command), shown):
            console.print(text)
    console.save_svg(str(PICTURE), title="triton-sagemaker")
    print(f"drawn: {PICTURE}")


if __name__ == "__main__":
    main()
