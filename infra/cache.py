"""What a machine remembers between commands: one line of text for each key, in `$XDG_CACHE_HOME/triton-sagemaker`.

The directory is `~/.cache` where the variable is not set. Where it cannot be read or written, nothing is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


def recall(kind: str, key: str) -> str:
    """The line of a key; empty if there is none."""
    with contextlib.suppress(OSError, RuntimeError, UnicodeDecodeError):
        return _file(kind, key).read_text(encoding="utf-8")
    return ""


def remember(kind: str, key: str, line: str) -> None:
    """Write the whole line or nothing, even if two commands write at once."""
    with contextlib.suppress(OSError, RuntimeError):
        file = _file(kind, key)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as partial:
            partial.write(line)
        Path(partial.name).replace(file)


def forget(kind: str, key: str) -> None:
    """Remove the line of a key."""
    with contextlib.suppress(OSError, RuntimeError):
        _file(kind, key).unlink(missing_ok=True)


def _file(kind: str, key: str) -> Path:
    """Raises `RuntimeError` if the user has no home directory."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "triton-sagemaker" / kind / hashlib.sha256(os.fsencode(key)).hexdigest()
