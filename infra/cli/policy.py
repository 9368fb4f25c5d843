"""`python -m infra policy`: the IAM policies of whoever deploys a stack, and of whoever looks after its releases."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.stack_file import StackFile


class Principal(StrEnum):
    """Whose policies are printed."""

    DEPLOYER = "deployer"
    RELEASE_OPERATOR = "release-operator"


def policy(
    principal: Annotated[
        Principal, typer.Argument(help="Who runs `pulumi up`, or who runs `python -m infra release` alone.")
    ],
    stack: Annotated[str, typer.Option("--stack", "-s", help="The stack, as in Pulumi.STACK.yaml.")],
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="The stack's account; that of your credentials if not given.")
    ] = None,
    cwd: Annotated[Path, typer.Option("--cwd", help="A directory in the Pulumi project.")] = Path(),
) -> None:
    """Print the least that lets a principal work on a stack: a JSON array of documents for managed policies."""
    import botocore.session

    from infra import policies
    from infra.program import deployed

    file = StackFile.find(stack, cwd)
    settings = file.settings()
    partition = botocore.session.get_session().get_partition_for_region(settings.region)
    owned = deployed(settings, file.stack, partition, account or file.session().account_id)
    documents = policies.deployer(owned) if principal is Principal.DEPLOYER else [policies.release_operator(owned)]
    print(json.dumps(documents, indent=2))
