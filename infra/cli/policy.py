"""`python -m infra policy`: the IAM policies of the principals that work on a stack."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.project import StackFileError
from infra.cli.stack_file import StackFile

if TYPE_CHECKING:
    from infra.policies.document import Policy


class Principal(StrEnum):
    """Whose policies are printed."""

    DEPLOYER = "deployer"
    RELEASE_OPERATOR = "release-operator"
    UPLOADER = "uploader"
    EXECUTION_ROLE = "execution-role"


def policy(
    principal: Annotated[
        Principal,
        typer.Argument(
            help="What runs `pulumi up`, `python -m infra release` alone, or the upload of artifacts; or the role of "
            "the containers."
        ),
    ],
    stack: Annotated[str, typer.Option("--stack", "-s", help="The stack, as in Pulumi.STACK.yaml.")],
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="The stack's account; that of your credentials if not given.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENDPOINT[.VARIANT]",
            help="One that the file does not have any more: removing it needs permissions on it. Can be repeated.",
        ),
    ] = None,
    cwd: Annotated[Path, typer.Option("--cwd", help="A directory in the Pulumi project.")] = Path(),
) -> None:
    """Print the least that lets a principal work on a stack: a JSON array of documents for managed policies."""
    import botocore.session

    from infra.policies import principals

    file = StackFile.find(stack, cwd)
    settings = file.settings()
    partition = botocore.session.get_session().get_partition_for_region(settings.region)
    account = account or file.session().account_id
    _require_names(also or [])
    names = principals.StackNames.of(settings, file.stack, partition, account, also or [])
    match principal:
        case Principal.DEPLOYER:
            documents = principals.deployer(names)
        case Principal.RELEASE_OPERATOR:
            documents = principals.release_operator(names)
        case Principal.UPLOADER:
            documents = principals.uploader(names)
        case Principal.EXECUTION_ROLE:
            documents = principals.execution_role(settings, names)
    print(json.dumps(documents, indent=2))
    _note_quota(documents)


def _require_names(also: list[str]) -> None:
    from pydantic import TypeAdapter, ValidationError

    from infra.settings.endpoint import EndpointName

    for each in also:
        for part in each.split(".", 1):
            try:
                TypeAdapter(EndpointName).validate_python(part)
            except ValidationError as error:
                raise StackFileError(f"--also {each}: {error.errors()[0]['msg']}") from None


def _note_quota(documents: list[Policy]) -> None:
    """On stderr: that IAM does not attach so many managed policies."""
    from infra.policies.document import ATTACHED_AT_MOST, ATTACHED_BY_DEFAULT

    count = len(documents)
    if count <= ATTACHED_BY_DEFAULT:
        return
    way_out = (
        f"ask for a quota of {count} (Service Quotas, L-0DA4ABF3)"
        if count <= ATTACHED_AT_MOST
        else "divide the stack, or attach the documents to several roles and deploy as each (`pulumi up --target`)"
    )
    print(
        f"{count} documents: IAM attaches {ATTACHED_BY_DEFAULT} managed policies to a role by default and "
        f"{ATTACHED_AT_MOST} at most (IAM and AWS STS quotas), because a managed policy has 6,144 characters. "
        f"{way_out[0].upper()}{way_out[1:]}.",
        file=sys.stderr,
    )
