"""A Triton model repository on disk: a directory of model directories.

What is packed: every file and directory, but not `__pycache__` nor anything hidden (dotfiles, `._*` of macOS). A
symbolic link is packed as what it points to, if that lies in the repository as well. A link that leads out of it, to
nothing or in a circle is refused: a packed link would be broken, and a followed one would pack unexpected files.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from infra.diagnostics.problem import Problem
from infra.errors import UserError
from infra.triton import digest_cache
from infra.triton.listing import Listing
from infra.triton.model import Model
from infra.triton.pack import ChangedWhilePackingError, Progress, write_archive

MAX_ENTRIES = 100_000
"""Files and directories of a repository, those behind a symbolic link counted wherever it leads to them."""

PARTIAL = ".part"
"""The end of the name of an archive that is not complete."""

MAX_DEPTH = 64
"""Directories within each other."""


class ModelRepositoryError(UserError):
    """A directory that cannot be packed as a model repository; the message lists every problem."""

    exit_code = 2

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path, self.problems = path, tuple(problems)
        of_all = " ".join(f"{problem.message}." for problem in problems if problem.file == ".")
        listed = [str(problem) for problem in problems if problem.file != "."]
        super().__init__("\n  ".join([f"model repository {path}{f' {of_all}' if of_all else ':'}", *listed]))


@dataclass(frozen=True)
class ModelRepository:
    """The directories and files that make up a model repository, read once; paths are POSIX and sorted."""

    path: Path
    directories: tuple[str, ...]
    files: Mapping[str, Path]
    """Relative path -> where the content is."""
    added: tuple[str, ...] = ()
    """Of `directories` those that are packed and do not exist on disk: an ensemble's version directory is empty, and
    Git does not keep empty directories."""

    @classmethod
    def read(cls, path: str | Path) -> ModelRepository:
        """Lists the repository; `ModelRepositoryError` names everything that keeps it from being one."""
        root = Path(path)
        if not root.is_dir():
            what = "is not a directory" if root.exists() else "does not exist"
            raise ModelRepositoryError(root, [_error(".", what, "repository")])
        entries = list(islice(_walk(root, root.resolve(), "", (root.resolve(),)), MAX_ENTRIES + 1))
        if len(entries) > MAX_ENTRIES:
            message = (
                f"has more than {MAX_ENTRIES:,} files and directories, those behind symbolic links counted wherever a "
                "link leads to them"
            )
            raise ModelRepositoryError(root, [_error(".", message, "repository")])
        directories = tuple(sorted(entry.path for entry in entries if entry.kind == "directory"))
        files = {
            entry.path: entry.source for entry in sorted(entries, key=lambda entry: entry.path) if entry.kind == "file"
        }
        if problems := [entry.problem for entry in entries if entry.problem]:
            raise ModelRepositoryError(root, problems)
        repository = cls(root, directories, files)
        added = _missing_versions(repository.listing)
        return cls(root, tuple(sorted((*directories, *added))), files, added) if added else repository

    @cached_property
    def listing(self) -> Listing:
        """The repository as `check_repository` reads it."""
        sizes = {path: file.stat().st_size for path, file in self.files.items()}
        return Listing.of(self.directories, sizes, self.head, self.added)

    @property
    def only_model(self) -> str | None:
        """The name of the model if the repository has only one."""
        names = self.listing.model_names
        return names[0] if len(names) == 1 else None

    def head(self, path: str, size: int) -> bytes:
        """The first bytes of a file."""
        with self.files[path].open("rb") as file:
            return file.read(size)

    def digest(self) -> str:
        """SHA-256 (hex) over paths and contents; independent of times, permissions and gzip's bytes."""
        return digest_cache.digest(self.path, self.directories, self.files)

    def pack(
        self, target: Path | BinaryIO, progress: Progress | None = None, *, expected_digest: str | None = None
    ) -> str:
        """Write the `.tar.gz`, the whole of it or nothing if the target is a path. Return the digest of the content.

        Raises:
            ModelRepositoryError: a file changed while it was packed, or the digest is not the expected one.
        """
        if isinstance(target, Path):
            return self._pack_to_path(target, progress, expected_digest)
        try:
            digest = write_archive(self.directories, self.files, target, progress)
        except (ChangedWhilePackingError, FileNotFoundError) as error:
            raise self._changed(str(error)) from error
        if expected_digest not in (None, digest):
            raise self._changed(f"its digest was {expected_digest}, and what was packed has {digest}")
        return digest

    def _pack_to_path(self, target: Path, progress: Progress | None, expected_digest: str | None) -> str:
        partial = target.with_name(f"{target.name}{PARTIAL}")
        try:
            with partial.open("wb") as file:
                digest = self.pack(file, progress, expected_digest=expected_digest)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return digest

    def _changed(self, how: str) -> ModelRepositoryError:
        message = f"changed while it was packed: {how}. Run the command again once nothing writes to it"
        return ModelRepositoryError(self.path, [_error(".", message, "changed")])


@dataclass(frozen=True)
class _Entry:
    path: str
    source: Path
    kind: Literal["directory", "file", "refused"]
    problem: Problem | None = None


def _walk(directory: Path, root: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[_Entry]:
    """Everything below a directory; `above` are the real paths of the directories around it, itself included."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:  # no permission, or more links in the path than Linux follows
        message = f"cannot be read: {error.strerror}"
        yield _Entry(prefix, directory, "refused", _error(prefix.rstrip("/") or ".", message, "unreadable"))
        return
    for name in names:
        if name.startswith(".") or name == "__pycache__":
            continue
        path, source = f"{prefix}{name}", directory / name
        refusal = _refusal(path, source, root, above)
        if refusal:
            yield _Entry(path, source, "refused", refusal)
        elif source.is_dir():
            yield _Entry(path, source, "directory")
            yield from _walk(source, root, f"{path}/", (*above, _real(source)))
        else:
            yield _Entry(path, source, "file")


def _refusal(path: str, source: Path, root: Path, above: tuple[Path, ...]) -> Problem | None:
    """Why an entry cannot be packed, or None."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _error(path.encode(errors="backslashreplace").decode(), "has a name that is not UTF-8", "file-name")
    if source.is_symlink():
        try:
            points_to = f"is a symbolic link to {source.readlink()}"
        except OSError as error:  # Linux follows at most 40 links in a path (path_resolution(7))
            return _error(path, f"cannot be read: {error.strerror}", "symbolic-link")
        if not source.exists():
            return _error(path, f"{points_to}, which does not exist: remove it", "symbolic-link")
        target = _real(source)
        if not target.is_relative_to(root):
            way_out = f"replace it with what it points to (cp -rL {shlex.quote(path)} …)"
            return _error(path, f"{points_to}, outside of the repository: {way_out}", "symbolic-link")
        if target in above:
            return _error(path, f"{points_to}, a directory around it", "symbolic-link")
    if not source.is_dir() and not source.is_file():
        return _error(path, "is neither a file nor a directory", "file-type")
    if len(above) > MAX_DEPTH and source.is_dir():
        return _error(path, f"is within more than {MAX_DEPTH} directories", "depth")
    return None


def _real(path: Path) -> Path:
    """Without links, one after the other: `Path.resolve` asks for the whole path, with at most 40 links."""
    return Path(os.path.realpath(path))


def _missing_versions(listing: Listing) -> tuple[str, ...]:
    """A version directory for each ensemble without one, which Triton would not load."""
    models = (Model.read(listing, name) for name in listing.model_names if not listing.has_version(name))
    return tuple(f"{model.name}/1" for model in models if model.is_ensemble and not model.versions)


def _error(file: str, message: str, rule: str) -> Problem:
    return Problem(rule, message, file=file)
