"""`python -m infra policy`: the IAM policies of the principals that work on a stack."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from botocore.loaders import create_loader
from botocore.regions import EndpointResolver

from infra.cli.options import Directory, Stack, validated
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.policies import callers, principals, viewers
from infra.policies.document import ATTACHED_AT_MOST, ATTACHED_BY_DEFAULT, MAX_MANAGED_POLICY
from infra.policies.stack_names import StackNames
from infra.settings.endpoint_sections import EndpointName

app = typer.Typer(add_completion=False)


class Principal(StrEnum):
    """Whose policies are printed."""

    DEPLOYER = "deployer"
    RELEASE_OPERATOR = "release-operator"
    UPLOADER = "uploader"
    INVOKER = "invoker"
    BATCH_OPERATOR = "batch-operator"
    COST_VIEWER = "cost-viewer"
    EXECUTION_ROLE = "execution-role"


Of = Annotated[
    Principal,
    typer.Argument(
        metavar="PRINCIPAL",
        help="deployer runs pulumi up, refresh and destroy. release-operator runs `python -m infra status`, release, "
        "logs and dashboard. uploader uploads model artifacts. invoker sends requests to the endpoints. batch-operator "
        "runs transform jobs. cost-viewer runs `python -m infra cost`. execution-role is the role of the containers.",
    ),
]
Account = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The account of the stack.", show_default="the account of your credentials"),
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ENDPOINT[.VARIANT]",
        help="An endpoint or variant that the stack file no longer has: deleting it requires permissions too. Can be "
        "repeated.",
    ),
]


@app.command()
def policy(principal: Of, stack: Stack, account: Account = None, also: Also = None, cwd: Directory = Path()) -> None:
    """Print the IAM policies that a principal of a stack requires.

    The output is a JSON array of least-privilege policy documents, each within the size limit of a managed policy.
    """
    _check(account, also or [])
    file = StackFile.find(stack, cwd)
    settings = file.settings()
    regions = EndpointResolver(create_loader().load_data("endpoints"))  # a session reads profiles, which may not exist
    partition = regions.get_partition_for_region(settings.region)
    account = account or aws_session(file).account_id
    names = StackNames(settings, file.stack, partition, account, also or [])
    match principal:
        case Principal.DEPLOYER:
            documents = principals.deployer(names)
        case Principal.RELEASE_OPERATOR:
            documents = principals.release_operator(names)
        case Principal.UPLOADER:
            documents = principals.uploader(names)
        case Principal.INVOKER:
            documents = callers.invoker(names)
        case Principal.BATCH_OPERATOR:
            documents = callers.batch_operator(names)
        case Principal.COST_VIEWER:
            documents = viewers.cost_viewer(names)
        case Principal.EXECUTION_ROLE:
            documents = principals.execution_role(names)
    print(json.dumps(documents, indent=2))
    if note := _quota_note(len(documents)):
        print(note, file=sys.stderr)


def _check(account: str | None, also: Sequence[str]) -> None:
    """
    Raises:
        typer.BadParameter: an option is not a valid account ID or name.
    """
    if account is not None and not re.fullmatch(r"\d{12}", account):
        raise typer.BadParameter(f"{account!r}: an AWS account ID has 12 digits.", param_hint="--account")
    for name in also:
        for part in name.split(".", 1):
            validated(part, EndpointName, "--also")


def _quota_note(count: int) -> str | None:
    """A note if IAM does not attach that many managed policies to a role without a change."""
    if count <= ATTACHED_BY_DEFAULT:
        return None
    way_out = (
        f"Request a quota of {count} (Service Quotas, L-0DA4ABF3)."
        if count <= ATTACHED_AT_MOST
        else "Split the stack, or attach the documents to several roles and deploy as each (`pulumi up --target`)."
    )
    return (
        f"{count} documents: IAM attaches {ATTACHED_BY_DEFAULT} managed policies to a role by default and at most "
        f"{ATTACHED_AT_MOST} (IAM and AWS STS quotas), and a managed policy has at most {MAX_MANAGED_POLICY:,} "
        f"characters. {way_out}"
    )
