"""`python -m infra mirror`: copy an image to Amazon ECR without docker, as `pulumi up` does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from infra.aws.errors import aws_calls
from infra.aws.session import AwsSession, AwsSessionRefused
from infra.cli.options import named
from infra.errors import INTERRUPTED, UserError
from infra.image.aws_images import aws_triton_images
from infra.image.copy import Progress, carry_out, plan_copy, size
from infra.image.errors import RESUME
from infra.image.manifest import Platform
from infra.image.progress import ProgressLines, copied, planned
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.serving import check_serving
from infra.image.triton_version import TritonVersion
from infra.names import REPOSITORY

app = typer.Typer(add_completion=False)

Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="The image: REGISTRY/REPOSITORY:TAG, or the version of AWS's Triton image, such as 23.10-py3.",
    ),
]
Destination = Annotated[
    str | None,
    typer.Argument(
        metavar="DST",
        help="A tag in Amazon ECR: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG. The repository must exist.",
        show_default=f"the tag of SRC in {REPOSITORY} of your account and region",
    ),
]
OfPlatform = Annotated[
    str, typer.Option("--platform", metavar="OS/ARCHITECTURE", help="Which image of an index to copy.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="First check that the image has Triton's `serve` and SageMaker's labels.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be copied, and copy nothing.")]


class CopyInterrupted(UserError):
    """Ctrl-C, or the signal of a cancelled CI job or a closed terminal."""

    exit_code = INTERRUPTED


@app.command()
def mirror(
    source: Source,
    destination: Destination = None,
    platform: OfPlatform = "linux/amd64",
    verify: Verify = False,
    dry_run: DryRun = False,
) -> None:
    """Copy an image from any registry to Amazon ECR.

    Layers that the destination has are skipped, and an interrupted copy continues when the command runs again. AWS
    credentials and region are those of the environment.

    Exit codes: 0, 1 if the image fails --verify, 2 if it cannot be copied, and 130 if interrupted.
    """
    # a cancelled CI job and a closed terminal; not under nohup, which ignores the latter
    ending = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in ending:
        signal.signal(number, signal.default_int_handler)
    try:
        with named("--platform"):
            wanted = Platform.parse(platform)
        _mirror(source, destination, wanted, verify, dry_run)
    except KeyboardInterrupt:
        raise CopyInterrupted(f"interrupted. {RESUME}") from None
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)


def _mirror(source: str, destination: str | None, platform: Platform, verify: bool, dry_run: bool) -> None:
    with named("DST"):
        target = ImageReference.parse(destination) if destination else None
    given = os.environ.get("AWS_REGION")  # boto3 reads AWS_DEFAULT_REGION and the profile alone
    session = AwsSession({"aws:region": given} if given else {}, patient=False)
    with aws_calls("credentials"):
        region = session.region or (target.ecr.region if target and target.ecr else None)
    registries = Registries(session.client)
    sources = _sources(source, region)
    target = target or _default(sources[0], session, region)
    plan = plan_copy(sources, target, registries, platform)
    print(planned(plan), flush=True)
    if verify:
        check_serving(plan.image, registries.retry)
    if dry_run or plan.is_done:
        return
    with _progress(size(plan.image.manifest.blobs)) as progress:
        image = carry_out(plan, registries, progress)
    print(copied(image))


def _sources(source: str, region: str | None) -> list[ImageReference]:
    version = TritonVersion.parse(source)
    if version is not None and version.is_published_by_aws:
        return aws_triton_images(_required(region), source)
    with named("SRC"):
        return [ImageReference.parse(source)]


def _default(source: ImageReference, session: AwsSession, region: str | None) -> ImageReference:
    return ImageReference.in_ecr(session.account_id, _required(region), REPOSITORY, tag=source.tag_of_copy)


def _required(region: str | None) -> str:
    if region is None:
        raise AwsSessionRefused("no region is known. Set AWS_REGION, or give SRC and DST with their registries.")
    return region


def _progress(total: int) -> AbstractContextManager[Callable[[Progress], None]]:
    """Bars on a terminal, lines elsewhere."""
    if sys.stderr.isatty() and not os.environ.get("CI"):
        from infra.cli.mirror_bars import LayerBars  # a tenth of the time in which the command starts

        return LayerBars(total)
    return nullcontext(ProgressLines(_print_line, _print_line))


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
