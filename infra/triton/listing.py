"""What the model check reads of a model repository: names, sizes and a few small files.

A directory on disk and an archive that is read as a stream both give one, so that the same rules hold for both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from infra.triton.config import CONFIG_FILE, MAX_CONFIG_BYTES

MAX_READ_BYTES = MAX_CONFIG_BYTES + 1
"""The most that the check reads of one file."""

_READ = re.compile(r"[^/]+/(config\.pbtxt|[^/]+/model\.py)", re.DOTALL)


def is_read(path: str) -> bool:
    """Whether the check reads the content of a file, and not only its name and size."""
    return _READ.fullmatch(path) is not None


@dataclass(frozen=True)
class Listing:
    """The content of a model repository by path: POSIX, relative, without `./` and without a slash at the end.

    Attributes:
        directories: every directory, at any depth.
        sizes: every file, with its bytes.
        read: returns the first bytes of a file, at most as many as asked for; called for `is_read` files alone.
        added: the directories that exist in the archive and not on disk.
    """

    directories: frozenset[str]
    sizes: Mapping[str, int]
    read: Callable[[str, int], bytes]
    added: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        directories: Iterable[str],
        sizes: Mapping[str, int],
        read: Callable[[str, int], bytes],
        added: Iterable[str] = (),
    ) -> Listing:
        """The listing with the directories that only the paths of files and directories name."""
        known: set[str] = {*directories, *added}
        for path in [*known, *sizes]:
            while (path := path.rpartition("/")[0]) and path not in known:
                known.add(path)
        return cls(frozenset(known), sizes, read, frozenset(added))

    @cached_property
    def top_directories(self) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.directories if "/" not in path))

    @cached_property
    def model_names(self) -> tuple[str, ...]:
        """The top directories that hold a configuration or a version directory."""
        return tuple(name for name in self.top_directories if self.is_model(name))

    def is_model(self, directory: str) -> bool:
        return f"{directory}/{CONFIG_FILE}" in self.sizes or self.has_version(directory)

    def has_version(self, directory: str) -> bool:
        return directory in self._versioned

    @cached_property
    def files_of(self) -> Mapping[str, Mapping[str, int]]:
        """Of each top directory the files, relative to it, with their bytes."""
        files: dict[str, dict[str, int]] = defaultdict(dict)
        for path, size in self.sizes.items():
            top, _, below = path.partition("/")
            if below:
                files[top][below] = size
        return files

    @cached_property
    def directories_of(self) -> Mapping[str, frozenset[str]]:
        """Of each top directory the directories, relative to it."""
        directories: dict[str, set[str]] = defaultdict(set)
        for path in self.directories:
            top, _, below = path.partition("/")
            if below:
                directories[top].add(below)
        return {top: frozenset(below) for top, below in directories.items()}

    @cached_property
    def _versioned(self) -> frozenset[str]:
        """Directories that have a version directory."""
        return frozenset(
            path.rpartition("/")[0] for path in self.directories if re.fullmatch(r".+/[0-9]+", path, re.DOTALL)
        )
