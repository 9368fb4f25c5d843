"""`python -m infra invoke`: one request to an endpoint by hand, or a measurement with many."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.invoke_view import bench_facts, bench_view, tensors_view
from infra.cli.options import Directory, EndpointName, Json, Stack, named, require
from infra.cli.release_target import ReleaseTarget, find
from infra.cli.request_source import model_files
from infra.cli.terminal import console
from infra.errors import INTERRUPTED
from infra.invocation.answer import Answer
from infra.invocation.bench import bench
from infra.invocation.endpoint import LiveEndpoint
from infra.invocation.invoker import Invoker
from infra.invocation.message import InferenceRequest, InvalidRequest, output_tensors, split
from infra.invocation.request_source import sample
from infra.names import ONLY_VARIANT
from infra.triton.model_files import UnsupportedModel

app = typer.Typer(add_completion=False)


@app.command()
def invoke(
    context: typer.Context,
    stack: Stack,
    endpoint: EndpointName = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="A request of KServe's inference protocol (v2), in JSON or in Triton's binary form.",
            show_default="a sample request generated from config.pbtxt",
        ),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="The variant that answers.", show_default="by weight")
    ] = None,
    as_json: Json = False,
    seconds: Annotated[
        float | None,
        typer.Option("--bench", metavar="SECONDS", min=1, help="Send the request repeatedly, and measure."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="The number of clients of --bench.")] = 1,
    cwd: Directory = Path(),
) -> None:
    """Send a request to an endpoint, and print the response.

    Exit codes: 0 if the endpoint answered, 1 if the container answered with an error or did not answer in time, and 2
    if AWS refused the request or could not be reached.
    """
    require(context, "--concurrency", "--bench")
    target = find(stack, endpoint, cwd)
    live = _live(target)
    with named("--variant"):
        invoker = Invoker(target.session.client, live, variant, target.bucket, concurrency)
    request = _read(file) if file else _sample(target, invoker, variant)
    try:
        if seconds is None:
            _show(live, invoker.ask(request, _note), as_json)
            return
        result = bench(lambda: invoker.measured(request), seconds, concurrency)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print(json.dumps(bench_facts(result, concurrency, live.fleet(variant)), indent=2))
    else:
        console().print(bench_view(result, concurrency))
    if result.errors:
        raise typer.Exit(1)


def _live(target: ReleaseTarget) -> LiveEndpoint:
    """
    Raises:
        UserError: the stack has no such endpoint, or it does not answer.
    """
    live = LiveEndpoint.read(target.session.client("sagemaker"), target.name)
    if live is None:
        raise target.no_endpoint()
    return live


@named("--input")
def _read(file: Path) -> InferenceRequest:
    try:
        return InferenceRequest.parse(file.read_bytes(), str(file))
    except OSError as error:
        raise InvalidRequest(f"cannot read {file}: {error.strerror}.") from None


def _sample(target: ReleaseTarget, invoker: Invoker, variant: str | None) -> InferenceRequest:
    try:
        files, source = model_files(target, variant or ONLY_VARIANT, invoker.model)
        request = sample(files)
    except UnsupportedModel as reason:
        raise InvalidRequest(f"no sample request can be generated: {reason}. Give a request with --input.") from None
    _note(f"request: a sample for model {files.model} of {source}")
    return request


def _show(live: LiveEndpoint, answer: Answer, as_json: bool) -> None:
    try:
        tensors = output_tensors(answer.body)
    except ValueError:
        sys.stdout.buffer.write(answer.body)  # a model may answer in a form of its own
        return
    if as_json:
        print(json.dumps(split(answer.body)[0], indent=2, ensure_ascii=False))
        return
    _note(
        f"endpoint {live.name} ({live.mode}){f', variant {answer.variant}' * bool(answer.variant)}, "
        f"{answer.seconds * 1000:.0f} ms"
    )
    console().print(tensors_view(tensors))


def _note(line: str) -> None:
    """What is not the response, so that the output can be piped."""
    print(line, file=sys.stderr, flush=True)
