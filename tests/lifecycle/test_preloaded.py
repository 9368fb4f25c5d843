"""Providers start from the process that has imported their modules."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from pathlib import Path

from tests.lifecycle import preloaded


def test_providers_start_however_many_files_are_open(tmp_path: Path) -> None:
    most = min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64)
    with contextlib.ExitStack() as files:
        while files.enter_context(open("/dev/null")).fileno() < most:
            pass
        with preloaded.python(tmp_path) as python:
            command = [str(python), "-u", "-m", "json.tool", "--no-such-option"]
            usage = subprocess.run(command, capture_output=True, text=True).stderr
    assert usage.startswith("usage:") and "--no-such-option" in usage
