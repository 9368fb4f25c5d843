"""`python -m infra batch`: batch transform jobs with the Model of a stack's endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from infra.aws.errors import AwsRequestRefused
from infra.cli.batch_job import JobArguments, prepare
from infra.cli.batch_view import follow, print_result, status_line
from infra.cli.options import Directory, EndpointName, Environment, Json, Stack, separate, variables
from infra.cli.release_target import find
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cli.terminal import confirm
from infra.errors import INTERRUPTED
from infra.invocation import transform_job
from infra.invocation.job_reader import JobReader
from infra.invocation.transform_input import InvalidTransform
from infra.invocation.transform_job import TransformJob
from infra.invocation.transform_request import DataProcessing, create
from infra.release.request import OWNER_TAG

IN_PROGRESS = 3
DEFAULT = "run"


class _Commands(TyperGroup):
    """`batch -s STACK …` is `batch run -s STACK …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        explicit = not args or args[0] == "--help" or args[0] in self.commands
        return super().parse_args(ctx, args if explicit else [DEFAULT, *args])


app = typer.Typer(
    cls=_Commands,
    help="Run batch transform jobs with the Model of an endpoint.\n\nThe endpoint serves the Model now, or the "
    "stack has it for transform jobs only. Without a command, `batch` means `batch run`.",
    add_completion=False,
    no_args_is_help=True,
)

Job = Annotated[str, typer.Argument(metavar="JOB", help="The name of the job.")]


@app.command(DEFAULT)
def run(
    stack: Stack,
    input_: Annotated[
        str,
        typer.Option(
            "--input", metavar="s3://…|FILE|DIR", help="The records: an object, a file, or all those of a directory."
        ),
    ],
    endpoint: EndpointName = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="s3://…", help="Where the answers go.", show_default="batch/ENDPOINT/ in the bucket"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="ENDPOINT-…", help="The name of the job.", show_default="ENDPOINT-TIME")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="Whose Model to use.", show_default="the first")
    ] = None,
    whole_files: Annotated[
        bool, typer.Option("--whole-files", help="Each file is one request; else each line is one.")
    ] = False,
    join_input: Annotated[
        bool, typer.Option("--join-input", help="Write each answer into its record, as SageMakerOutput.")
    ] = False,
    input_filter: Annotated[
        str | None, typer.Option(metavar="JSONPATH", help="The request in each record, such as $.request.")
    ] = None,
    output_filter: Annotated[str | None, typer.Option(metavar="JSONPATH", help="What to write of each answer.")] = None,
    instance_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Such as ml.m5.xlarge.", show_default="the endpoint's, or the nearest"),
    ] = None,
    instance_count: Annotated[int | None, typer.Option(metavar="N", help="1 to 100.")] = None,
    max_concurrent_transforms: Annotated[
        int | None, typer.Option(metavar="N", help="Requests at the same time to each instance.")
    ] = None,
    max_payload_mb: Annotated[int | None, typer.Option(metavar="MB", help="The largest request and answer.")] = None,
    invocation_timeout_seconds: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="For the answer to one request.")
    ] = None,
    max_retries: Annotated[int | None, typer.Option(metavar="N", help="Of a failed request, 0 to 3.")] = None,
    env: Environment = None,
    kms_key_arn: Annotated[str | None, typer.Option(metavar="ARN", help="The key that encrypts the answers.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end of the job.")] = False,
    cwd: Directory = Path(),
) -> None:
    """Transform records with the Model of an endpoint, and print where the answers are.

    The input is JSON lines, each one a request of KServe's inference protocol (v2); the output has an answer in each
    line, in the same order. Options that are not given have the values of `batch` in the stack file.

    Exit codes: 0 if the job completed, 1 if it failed or was stopped, 2 if it could not be started, and 130 if
    interrupted; the job then continues.
    """
    target = find(stack, endpoint, cwd, transforms=True)
    settings = {
        "instanceType": instance_type,
        "instanceCount": instance_count,
        "maxConcurrentTransforms": max_concurrent_transforms,
        "maxPayloadMb": max_payload_mb,
        "invocationTimeoutSeconds": invocation_timeout_seconds,
        "maxRetries": max_retries,
        "environment": variables(env) or None,
        "kmsKeyArn": kms_key_arn,
    }
    arguments = JobArguments(
        input=input_,
        output=output,
        name=name,
        variant=variant,
        processing=DataProcessing(not whole_files, join_input, input_filter, output_filter),
        settings={key: value for key, value in settings.items() if value is not None},
    )
    request = prepare(target, stack.rpartition("/")[2], arguments)
    create(target.session.client("sagemaker"), request)
    print(
        f"started transform job {request.name} on {request.settings.instance_count} {request.settings.instance_type}: "
        f"{request.input} → {request.output}",
        flush=True,
    )
    if detach:
        print(f"To follow it: {_command_to_follow(stack, request.name)}")
    else:
        _follow(JobReader(target.session.client, request.name), stack)


@app.command()
def status(
    context: typer.Context,
    job: Job,
    stack: Stack,
    following: Annotated[bool, typer.Option("--follow", help="Wait for the end of the job.")] = False,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Show a job.

    Exit codes: 0 if the job completed, 1 if it failed or was stopped, 3 if it is in progress, and 2 if that cannot be
    determined.
    """
    separate(context, "--follow", "--json")
    reader = JobReader(aws_session(StackFile.find(stack, cwd)).client, job)
    if following:
        _follow(reader, stack)
        return
    current = reader.job()
    if as_json:
        print(json.dumps(reader.facts(current), indent=2))
    else:
        print(status_line(reader, current))
        if not current.in_progress:
            print_result(reader, current)
    raise typer.Exit(_exit_code(current))


@app.command()
def stop(
    job: Job,
    stack: Stack,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cwd: Directory = Path(),
) -> None:
    """Stop a job of this stack. The outputs of the objects that it has transformed remain.

    Exit codes: 0 if the job is stopped, 1 if it ended otherwise, and 2 if it cannot be stopped.
    """
    file = StackFile.find(stack, cwd)
    session = aws_session(file)
    reader = JobReader(session.client, job)
    current = reader.job()
    owner = f"{file.project.name}/{file.stack}"
    if (actual := transform_job.tags(session.client("sagemaker"), current).get(OWNER_TAG)) != owner:
        raise InvalidTransform(
            f"transform job {job} is not a job of {owner}: its tag {OWNER_TAG} is {actual or 'missing'}."
        )
    if not current.in_progress:
        print(f"{job}: nothing to stop, because the job has ended: {current.status}")
        raise typer.Exit(0 if current.status == "Stopped" else 1)
    confirm(f"Stop {job}?", yes)
    transform_job.stop(session.client("sagemaker"), job)
    ended = follow(reader)
    raise typer.Exit(0 if ended.status == "Stopped" else 1)


def _follow(reader: JobReader, stack: str) -> None:
    try:
        job = follow(reader)
    except (KeyboardInterrupt, AwsRequestRefused) as error:
        print(
            f"{reader.name}: stopped following; the job continues. To follow it again: "
            f"{_command_to_follow(stack, reader.name)}"
        )
        if isinstance(error, AwsRequestRefused):
            raise
        raise typer.Exit(INTERRUPTED) from None
    print_result(reader, job)
    raise typer.Exit(_exit_code(job))


def _command_to_follow(stack: str, job: str) -> str:
    return f"python -m infra batch status -s {stack} {job} --follow"


def _exit_code(job: TransformJob) -> int:
    return 0 if job.completed else IN_PROGRESS if job.in_progress else 1
