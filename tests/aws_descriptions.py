"""botocore's descriptions of services and endpoints, which every session of boto3 parses from files again."""

from __future__ import annotations

import functools
import os
from typing import Any

from botocore.loaders import JSONFileLoader

_CHANGED = f"{os.sep}s3{os.sep}"
"""A client of S3 changes the paths in its description, which the sandbox reads too."""


def share() -> None:
    """Have each of them parsed once in this process."""
    load = JSONFileLoader.load_file
    parsed_once = functools.cache(functools.partial(load, JSONFileLoader()))

    def load_file(self: JSONFileLoader, path: str) -> Any:
        return load(self, path) if _CHANGED in path else parsed_once(path)

    JSONFileLoader.load_file = load_file
