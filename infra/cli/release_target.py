"""The endpoint that `python -m infra release` is about, also while the stack file has mistakes.

In an incident the file is being edited. All that these commands must have of it are the region and the endpoint's
name; the rest of the settings only completes what SageMaker says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.cli import salvage
from infra.cli.project import StackFileError, content
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile, stack_path

if TYPE_CHECKING:
    from infra.aws.session import AwsSession
    from infra.release.observer import ReleaseObserver
    from infra.settings.endpoint import EndpointSettings
    from infra.settings.stack import Settings


@dataclass(frozen=True)
class ReleaseTarget:
    """One endpoint of a stack."""

    name: str
    owner: str
    """What the endpoint's owner tag has to be where the file does not vouch for the name: `<project>/<stack>`."""
    others: tuple[str, ...]
    """The stack's endpoints by the file, without this one."""
    is_listed: bool
    """Whether a file without mistakes has this endpoint."""
    settings: EndpointSettings | None
    bucket: str | None
    session: AwsSession

    def observer(self) -> ReleaseObserver:
        from infra.release.observer import ReleaseObserver

        settings = self.settings
        return ReleaseObserver(
            self.session.client,
            self.name,
            bucket=self.bucket,
            relatives=self.others,
            existing_alarms=settings.alarms.existing if settings else [],
            planned=settings.release.policy if settings else None,
            provisioning=settings.provisioning if settings else None,
            note=_warn,
        )

    def require_owned(self) -> None:
        """
        Raises:
            StackFileError: the endpoint of this name is not this stack's.
        """
        from infra.aws.errors import aws_calls
        from infra.release.live import EndpointReader
        from infra.release.request import OWNER_TAG

        reader = EndpointReader(self.session.client("sagemaker"))
        with aws_calls(f"endpoint {self.name}"):
            found = reader.endpoint(self.name)
            owner = reader.tags(found).get(OWNER_TAG) if found else self.owner
        if owner != self.owner:
            whose = f"belongs to stack {owner}" if owner else f"carries no tag {OWNER_TAG}"
            raise StackFileError(f"endpoint {self.name} {whose}; it is not an endpoint of {self.owner}.{self._has}")

    def no_endpoint(self) -> StackFileError:
        """That there is none of this name."""
        way_out = "; `pulumi up` creates it." if self.is_listed else f".{self._has}"
        return StackFileError(f"there is no endpoint {self.name} in the stack's account and region{way_out}")

    def deadline_seconds(self) -> int:
        """How long to wait for the end of a release and its rollback."""
        from infra.settings.release import MAX_TIMEOUT_SECONDS

        return self.settings.release_deadline_seconds if self.settings else MAX_TIMEOUT_SECONDS

    def caller(self) -> str:
        """The ARN of the caller."""
        from infra.aws.errors import aws_calls

        with aws_calls("credentials"):
            return str(self.session.client("sts").get_caller_identity()["Arn"])

    @property
    def _has(self) -> str:
        return f" The stack file has: {', '.join(self.others)}." if self.others else ""


def find(stack: str, endpoint: str | None, directory: Path) -> ReleaseTarget:
    """The endpoint of a stack; by default its only one. Mistakes in the stack file are warnings on stderr.

    Raises:
        StackFileError: there is no such file, nothing in it says which endpoint or region, or the endpoint is not the
            stack's.
        AwsSessionRefused: see `aws_session`.
    """
    path = stack_path(stack, directory)
    try:
        file = StackFile.find(stack, directory)
        settings = file.settings()
        names = list(settings.endpoints)
    except StackFileError as mistakes:
        _warn(f"warning: {mistakes}\nOnly the region and the endpoint's name are taken from this file.")
        file, settings = _readable(path), None
        names = _names(file)
    if endpoint is None and len(names) != 1:
        which = "several endpoints; name one of them" if names else "no endpoint that can be read; name one"
        raise StackFileError(f"stack {file.stack} has {which}: {', '.join(names) or 'the argument ENDPOINT'}.")
    name = endpoint or names[0]
    target = ReleaseTarget(
        name=name,
        owner=f"{file.project.name}/{file.stack}",
        others=tuple(each for each in names if each != name),
        is_listed=settings is not None and name in names,
        settings=settings.endpoints.get(name) if settings else None,
        bucket=_bucket(file, settings),
        session=aws_session(file, tolerant=settings is None),
    )
    if not target.is_listed:
        target.require_owned()
    return target


def _readable(path: Path) -> StackFile:
    """The file, or the part of it that is YAML."""
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
