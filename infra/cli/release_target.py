"""The endpoint of a `python -m infra release` command, even while the stack file has mistakes.

During an incident the file is being edited. These commands only require the region and the endpoint's name; the other
settings complete what SageMaker returns.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.aws.errors import aws_calls
from infra.aws.session import AwsSession
from infra.cli import salvage
from infra.cli.project import StackFileError, content
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile, stack_path
from infra.release.live import EndpointReader
from infra.release.observer import ReleaseObserver
from infra.release.policy import TIMEOUT_SECONDS
from infra.release.request import OWNER_TAG
from infra.settings.endpoint import EndpointSettings
from infra.settings.stack import Settings


@dataclass(frozen=True)
class ReleaseTarget:
    """One endpoint of a stack."""

    name: str
    owner: str
    """The owner tag that the endpoint must have if a valid file does not list it: `<project>/<stack>`."""
    others: tuple[str, ...]
    """The other endpoints in the file."""
    is_listed: bool
    """Whether a valid file has this endpoint."""
    stack: Settings | None
    """The settings of the stack, if its file is valid."""
    bucket: str | None
    session: AwsSession
    root: Path
    """The directory of the project."""
    tags: Mapping[str, str]
    """Those of the stack's resources, with the owner tag."""

    @property
    def settings(self) -> EndpointSettings | None:
        """Those of the endpoint."""
        return self.stack.endpoints.get(self.name) if self.stack else None

    def observer(self) -> ReleaseObserver:
        return observer(self.session, self.name, self.settings, self.bucket, self.others)

    def require_owned(self) -> None:
        """
        Raises:
            StackFileError: the endpoint of this name does not belong to this stack.
        """
        reader = EndpointReader(self.session.client("sagemaker"))
        with aws_calls(f"endpoint {self.name}"):
            endpoint = reader.endpoint(self.name)
            owner = reader.tags(endpoint).get(OWNER_TAG) if endpoint else self.owner
        if owner != self.owner:
            actual = f"belongs to stack {owner}" if owner else f"has no tag {OWNER_TAG}"
            raise StackFileError(f"endpoint {self.name} {actual}; it is not an endpoint of {self.owner}.{self.listed}")

    def no_endpoint(self) -> StackFileError:
        """The error that the endpoint does not exist."""
        way_out = "; `pulumi up` creates it." if self.is_listed else f".{self.listed}"
        return StackFileError(f"endpoint {self.name} does not exist in the stack's account and region{way_out}")

    def deadline_seconds(self) -> int:
        """How long to wait for a release and its rollback."""
        return self.settings.release_deadline_seconds if self.settings else TIMEOUT_SECONDS[1]

    def caller(self) -> str:
        """The ARN of the caller."""
        with aws_calls("credentials"):
            return str(self.session.client("sts").get_caller_identity()["Arn"])

    @property
    def listed(self) -> str:
        return f" Endpoints in the stack file: {', '.join(self.others)}." if self.others else ""


def observer(
    session: AwsSession, name: str, settings: EndpointSettings | None, bucket: str | None, siblings: Sequence[str]
) -> ReleaseObserver:
    """Reads the status of an endpoint, and warns on stderr of what it cannot read."""
    return ReleaseObserver(
        session.client,
        name,
        bucket=bucket,
        siblings=siblings,
        existing_alarms=settings.alarms.existing if settings else [],
        planned=settings.release.policy if settings else None,
        provisioning=settings.provisioning if settings else None,
        note=_warn,
    )


def find(stack: str, endpoint: str | None, directory: Path, transforms: bool = False) -> ReleaseTarget:
    """The endpoint of a stack; by default its only one. Mistakes in the stack file are warnings on stderr.

    Args:
        transforms: whether it may be a Model for transform jobs alone, which no endpoint serves.

    Raises:
        typer.BadParameter: the stack file does not exist.
        StackFileError: it does not give endpoint or region, or the endpoint does not belong to the stack.
        AwsSessionRefused: see `aws_session`.
    """
    path = stack_path(stack, directory)
    try:
        file = StackFile.find(stack, directory)
        settings = file.settings()
        names = [*settings.endpoints] if transforms else settings.served_endpoints
    except StackFileError as mistakes:
        _warn(f"warning: {mistakes}\nThis command uses only the region and the endpoint names of this file.")
        file, settings = _readable(path), None
        names = _names(file)
    only_jobs = [name for name in (settings.endpoints if settings else ()) if name not in names]
    if endpoint in only_jobs or (only_jobs and not names):
        raise StackFileError(
            f"{endpoint or only_jobs[0]} is a Model for transform jobs only, and no endpoint serves it. Use "
            "`python -m infra batch`."
        )
    if endpoint is None and len(names) != 1:
        problem = f"has several endpoints: {', '.join(names)}" if names else "has no readable endpoint"
        raise StackFileError(f"stack {file.stack} {problem}. Give the argument ENDPOINT.")
    name = endpoint or names[0]
    target = ReleaseTarget(
        name=name,
        owner=f"{file.project.name}/{file.stack}",
        others=tuple(other for other in names if other != name),
        is_listed=settings is not None and name in names,
        stack=settings,
        bucket=_bucket(file, settings),
        session=aws_session(file, tolerant=settings is None),
        root=file.project.root,
        tags={**(settings.tags if settings else {}), OWNER_TAG: f"{file.project.name}/{file.stack}"},
    )
    if not target.is_listed:
        target.require_owned()
    return target


def _readable(path: Path) -> StackFile:
    """The file, or the valid YAML in it."""
    file = StackFile.read(path)
    return file if file.has_config else StackFile.read(path, salvage.readable(content(path)))


def _names(file: StackFile) -> list[str]:
    key = f"{file.project.name}:endpoints"
    endpoints = file.config.get(key)
    if isinstance(endpoints, Mapping):
        return [str(name) for name in endpoints]
    return [] if file.has((key,)) else salvage.names_below(content(file.path), key)


def _bucket(file: StackFile, settings: Settings | None) -> str | None:
    if settings is not None:
        return settings.bucket.name
    bucket = file.config.get(f"{file.project.name}:bucket")
    name = bucket.get("name") if isinstance(bucket, Mapping) else None
    return name if isinstance(name, str) else None


def _warn(line: str) -> None:
    print(line, file=sys.stderr)
