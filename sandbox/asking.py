"""Invokes an endpoint as any client does, with a sample request, and shows request and answer in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlparse

from botocore.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.errors import UserError
from infra.invocation.answer import InvocationFailed
from infra.invocation.endpoint import LiveEndpoint
from infra.invocation.invoker import Invoker
from infra.invocation.message import InferenceRequest
from infra.invocation.request_source import files_of_artifact
from infra.triton.model_files import UnsupportedModel
from infra.triton.sample_request import request_for_files
from sandbox.home import Sandbox, SandboxError

ANSWER_SECONDS = 120
"""An asynchronous endpoint without instances needs some to answer."""


@dataclass(frozen=True)
class Asked:
    """What an endpoint serves, and what it answered.

    Attributes:
        image: the digest of the image.
        answer: the answer, or why there is none.
        seconds: how long InvokeEndpoint took; None when the endpoint was not asked or did not answer.
        problem: what is wrong with the answer, to follow the endpoint's name; None also where none could be asked for.
    """

    endpoint: str
    status: str
    mode: str
    image: str
    artifact: str
    request: str
    answer: str
    seconds: float | None = None
    problem: str | None = None


def ask(sandbox: Sandbox, arn: str) -> Asked:
    """Send the endpoint a sample request of its model; an unsupported model is not an error."""
    region, name = arn.split(":")[3], arn.rpartition("/")[2]

    def client(service: str, config: Config | None = None) -> Any:
        return sandbox.client(service, region, config)

    live = LiveEndpoint.read(client("sagemaker"), name)
    if live is None:
        raise SandboxError(f"endpoint {name} does not exist in {region}")
    invoker = Invoker(client, live)
    model = invoker.model()
    image = model.container["Image"].rpartition("@")[2]
    asked = partial(Asked, name, live.status, live.mode, image, str(model.artifact))
    try:
        request = request_for_files(files_of_artifact(client("s3"), model))
    except UnsupportedModel as reason:
        return asked("none", f"cannot be asked: {reason}")
    if sandbox.running().triton:
        return asked(request.text, "no Triton runs here")
    try:
        answer = invoker.ask(InferenceRequest.parse(request.body, name), lambda _: None, ANSWER_SECONDS)
    except UserError as error:
        words = error.reason if isinstance(error, InvocationFailed) else str(error)
        return asked(request.text, words, problem=f"did not answer: {words}")
    try:
        missing = ", ".join(request.missing(answer.body))
        problem = f"answered without {missing}, which its config.pbtxt promises" if missing else None
        return asked(request.text, request.answer(answer.body) or "nothing", answer.seconds, problem)
    except ValueError as error:
        return asked(request.text, str(error), answer.seconds, f"did not answer: {error}")


def table(answers: Sequence[Asked], console: Console) -> Table:
    """One row an endpoint; where the console is too narrow for that, one line a fact."""
    rows = [facts(each) for each in answers]
    wide = Table(*rows[0]) if rows else Table()
    for row in rows:
        wide.add_row(*row.values())
    if console.measure(wide, options=console.options.update(max_width=1000)).maximum <= console.width:
        return wide
    narrow = Table(show_header=False)
    for row in rows:
        for heading, fact in row.items():
            narrow.add_row(heading, fact)
        narrow.add_section()
    return narrow


def facts(asked: Asked) -> dict[str, Text]:
    """What is worth a column, as plain text: an answer may look like rich's markup."""
    status = Text(asked.status, "green" if asked.status == "InService" else "red")
    image = asked.image.removeprefix("sha256:")[:12]
    return {
        "endpoint": Text(asked.endpoint),
        "status": status,
        "mode": Text(asked.mode),
        "image": Text(image),
        "artifact": Text(short(asked.artifact)),
        "request": Text(asked.request),
        "answer": Text(asked.answer),
        "time": Text("" if asked.seconds is None else f"{asked.seconds * 1000:.0f} ms"),
    }


def short(artifact: str) -> str:
    """An artifact's address without its bucket, and with digests as short as git shows them."""
    *folders, name = urlparse(artifact).path.lstrip("/").split("/")
    stem, dot, suffix = name.partition(".")
    return "/".join([*folders, stem[:12] + "…" + dot + suffix if len(stem) > 20 else name])
