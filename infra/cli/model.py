"""`python -m infra model`: check, run, list and pack a model repository, without a stack."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra.cli.options import Environment, not_one_of, validated, variables
from infra.cli.problems import As, Format, Json, print_problems
from infra.diagnostics.printable import printable
from infra.diagnostics.problem import Problem
from infra.diagnostics.size import decimal_size
from infra.errors import UserError
from infra.image.triton_version import TritonVersion
from infra.triton.archive import FileSource, Source
from infra.triton.artifact import ArtifactTarget, check_artifact
from infra.triton.check import REPOSITORY, check_repository
from infra.triton.config import messages
from infra.triton.model import Model
from infra.triton.repository import PARTIAL, ModelRepository, ModelRepositoryError
from infra.triton.serve_options import PREFIX

if TYPE_CHECKING:
    from infra.triton.server import TritonServer

app = typer.Typer(help="Check, run, list and pack model repositories.", add_completion=False, no_args_is_help=True)

SOURCE = "PATH|ARCHIVE|s3://BUCKET/KEY"
READY_SECONDS = 300.0
LOG_LINES = 20

Repository = Annotated[
    Path,
    typer.Argument(metavar="PATH", help="A model repository: a directory of models.", exists=True, file_okay=False),
]
DefaultModel = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The model that answers.", show_default="the only one"),
]


class ModelTestFailed(UserError):
    """Triton does not load the model, or answers the sample request with an error."""


class CannotRun(UserError):
    """The operating system refuses to read the repository or to write the archive, or has no Triton."""

    exit_code = 2


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar=SOURCE, help="A model repository, or a .tar.gz of one.")],
    default_model: DefaultModel = None,
    instance_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Where it is deployed, such as ml.g5.xlarge.")
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="TAG", help="The image's tag, such as 24.09-py3.")] = None,
    env: Environment = None,
    as_json: Json = False,
    as_: As = Format.TEXT,
) -> None:
    """Report what keeps Triton from serving a model repository on SageMaker.

    Exit codes: 0 if there are no errors (warnings are allowed), 1 if there are, and 2 if the source cannot be read.
    """
    if instance_type is not None:
        from infra.settings.variant import InstanceType

        validated(instance_type, InstanceType, "--instance-type")
    if image is not None and TritonVersion.parse(image) is None:
        raise typer.BadParameter(f"{image!r} is not a tag such as 24.09-py3.", param_hint="--image")
    with _files():
        problems = _problems(source, ArtifactTarget(default_model, instance_type, variables(env), image))
    print_problems([_placed(problem, source) for problem in problems], Format.JSON if as_json else as_)
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(1)
    if not as_json and as_ is Format.TEXT:
        print(f"{source}: no errors")


def _problems(source: str, target: ArtifactTarget) -> Sequence[Problem]:
    if source.startswith("s3://") or Path(source).is_file():
        return check_artifact(_archive(source), target, _Progress(source))
    if not Path(source).exists():
        raise typer.BadParameter(f"{source} does not exist.", param_hint=SOURCE)
    try:
        repository = ModelRepository.read(source)
    except ModelRepositoryError as error:
        return error.problems
    return check_repository(
        repository.listing,
        target.default_model or repository.only_model,
        hardware=target.hardware,
        environment=target.environment,
        image=target.image,
    )


@contextlib.contextmanager
def _files() -> Iterator[None]:
    """Reports an error of the operating system without a traceback."""
    try:
        yield
    except OSError as error:
        path = str(error.filename).removesuffix(PARTIAL)
        if path != error.filename:
            raise typer.BadParameter(f"{path} cannot be written: {error.strerror}.", param_hint="--output") from None
        raise CannotRun(f"{path}: {error.strerror}.") from None


@app.command("list")
def list_models(path: Repository) -> None:
    """List the models, and what each accepts and returns."""
    with _files():
        listing = ModelRepository.read(path).listing
    table = Table("model", "backend", "versions", "max batch", "inputs", "outputs")
    for model in (Model.read(listing, name) for name in listing.model_names):
        config = model.config
        table.add_row(
            printable(model.name),
            printable(model.backend_name or "unknown"),
            ", ".join(str(version) for version in model.versions) or "none",
            str(config.max_batch_size or "none"),
            _tensors(config.input),
            _tensors(config.output),
        )
    Console().print(table)


@app.command()
def pack(
    path: Repository,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .tar.gz to write.")],
) -> None:
    """Pack a model repository for `model.artifact`, as `pulumi up` packs a `model.path`."""
    with _files():
        digest = ModelRepository.read(path).pack(output, _Progress(str(path)))
    print(f"{output}: {decimal_size(output.stat().st_size)}, content sha256:{digest}")


@app.command("test")
def run(context: typer.Context, path: Repository, default_model: DefaultModel = None, env: Environment = None) -> None:
    """Run a model repository on a Triton of this machine, send the sample request, and print the response.

    Triton comes from the package nvidia-pytriton, with the Python backend only.

    Exit codes: 0, 1 if Triton does not load the model or the model answers with an error, and 2 if the test cannot run.
    """
    from infra.settings.environment import DEFAULT_MODEL_NAME
    from infra.triton.server import TritonServer, unavailable

    if reason := unavailable():
        raise CannotRun(f"Triton cannot run here: {reason}")
    with _files():
        repository = ModelRepository.read(path)
    model = default_model or repository.only_model or ""
    if (models := repository.listing.model_names) and model not in models:
        if default_model is None:
            context.fail(f"{path} requires --default-model, one of {', '.join(models)}.")
        raise typer.BadParameter(not_one_of(models, model), param_hint="--default-model")
    quiet = {f"{PREFIX}LOG_VERBOSE": "false", f"{PREFIX}LOG_INFO": "false"}
    environment = quiet | variables(env) | {DEFAULT_MODEL_NAME: model}
    log: deque[str] = deque(maxlen=LOG_LINES)
    with tempfile.TemporaryDirectory(prefix="triton-model-") as directory:
        archive = Path(directory, "model.tar.gz")
        with _files():
            repository.pack(archive, _Progress(str(path)))
        server = TritonServer(archive, environment, Path(directory, "container"), log.append)
        try:
            _start(server, log)
            _invoke(server, repository, model)
        finally:
            server.stop(grace_seconds=0)


def _end(log: Sequence[str]) -> Sequence[str]:
    """The last lines of Triton's log, from its final error on if there is one."""
    errors = [number for number, line in enumerate(log) if line.startswith("error:")]
    return list(log)[errors[-1] if errors else 0 :]


def _start(server: TritonServer, log: Sequence[str]) -> None:
    """Start Triton, and wait until it is ready."""
    from infra.triton.serve_script import ServeError

    started = time.monotonic()
    try:
        server.start()
    except ServeError as error:
        raise ModelTestFailed(f"the container would not start: {str(error).removeprefix('ERROR: ')}") from None
    while not server.ping():
        if server.exited is not None or time.monotonic() > started + READY_SECONDS:
            raise ModelTestFailed("\n  ".join(["Triton did not become ready. Its log ends with:", *_end(log)]))
        time.sleep(0.1)
    print(f"ready after {time.monotonic() - started:.1f} s")


def _invoke(server: TritonServer, repository: ModelRepository, model: str) -> None:
    """Print the sample request and the response to it."""
    from infra.triton.model_files import UnsupportedModel
    from infra.triton.sample_request import request_for_repository

    try:
        request = request_for_repository(repository, model)
    except UnsupportedModel as error:
        print(f"no sample request: {error}")
        return
    print(f"request:  {request.text}")
    try:
        status, _, body = server.invoke(request.body, {"Content-Type": request.content_type})
        if status != HTTPStatus.OK:
            raise ModelTestFailed(
                f"the model answered the sample request with status {status}: {body[:1000].decode(errors='replace')}"
            )
        print(f"response: {request.answer(body)}")
    except (OSError, ValueError) as error:
        raise ModelTestFailed(f"the model did not respond: {error}") from None


def _placed(problem: Problem, source: str) -> Problem:
    """The problem with a file relative to the working directory."""
    return replace(problem, file=source if problem.file == REPOSITORY else f"{source}/{problem.file}")


def _archive(source: str) -> Source:
    if not source.startswith("s3://"):
        return FileSource(Path(source))
    from infra.aws.errors import aws_calls
    from infra.aws.s3_object import S3Object
    from infra.aws.session import AwsSession

    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise typer.BadParameter(f"{source} is not s3://BUCKET/KEY", param_hint=SOURCE)
    with aws_calls("credentials"):
        s3 = AwsSession({}).client("s3")
    return S3Object.find(s3, bucket, key)


def _tensors(tensors: Any) -> str:
    """A line for each tensor: `measurements FP32 [4]`."""
    types = messages().DataType
    lines = [
        f"{tensor.name} {types.Name(tensor.data_type).removeprefix('TYPE_')} {list(tensor.dims)}"
        + (" optional" if getattr(tensor, "optional", False) else "")
        for tensor in tensors
    ]
    return "\n".join(map(printable, lines)) or "not declared"


class _Progress:
    """A line on a terminal, which the next one overwrites; nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self._what, self._percent = printable(what), -1

    def __call__(self, done: int, total: int) -> None:
        percent = done * 100 // max(total, 1)
        if percent > self._percent and sys.stderr.isatty():
            self._percent = percent
            end = "\n" if percent == 100 else ""
            print(f"\r{self._what}: {percent} %", end=end, file=sys.stderr, flush=True)
