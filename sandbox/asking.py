"""Invokes an endpoint as any client does, with a sample request, and shows request and answer in a table."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.triton.model_files import UnsupportedModel
from infra.triton.sample_request import SampleRequest, request_for_artifact
from sandbox.home import Sandbox

DEFAULT_MODEL = "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"
ANSWER_SECONDS = 70
"""InvokeEndpoint answers within 60 s, or with an error."""

_OF_MODEL = re.compile(r"^Failed to process the request\(s\) for model '[^']*', message: ")
_FRAME = re.compile(r"([^/\s]+)\((\d+)\): ")
"""How Triton's Python backend reports an exception: these words come before it, and its place after it."""


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
    image: str
    artifact: str
    request: str
    answer: str
    seconds: float | None = None
    problem: str | None = None


def ask(sandbox: Sandbox, arn: str) -> Asked:
    """Send the endpoint a sample request of its model; an unsupported model is not an error."""
    region, name = arn.split(":")[3], arn.rpartition("/")[2]
    endpoint, container = serving(sandbox.client("sagemaker", region), name)

    def asked(request: str, answer: str, seconds: float | None = None, problem: str | None = None) -> Asked:
        image, artifact = container["Image"].rpartition("@")[2], container["ModelDataUrl"]
        return Asked(name, endpoint["EndpointStatus"], image, artifact, request, answer, seconds, problem)

    try:
        request = sample_request(sandbox.client("s3", region), container)
    except UnsupportedModel as reason:
        return asked("none", f"cannot be asked: {reason}")
    if sandbox.running().triton:
        return asked(request.text, "no Triton runs here")
    client = sandbox.client("sagemaker-runtime", region, retries={"total_max_attempts": 1}, read_timeout=ANSWER_SECONDS)
    started = time.perf_counter()
    try:
        response = client.invoke_endpoint(EndpointName=name, ContentType=request.content_type, Body=request.body)
        body = response["Body"].read()
    except (BotoCoreError, ClientError) as error:
        words = why(error)
        return asked(request.text, words, problem=f"did not answer: {words}")
    seconds = time.perf_counter() - started
    try:
        missing = ", ".join(request.missing(body))
        problem = f"answered without {missing}, which its config.pbtxt promises" if missing else None
        return asked(request.text, request.answer(body) or "nothing", seconds, problem)
    except ValueError as error:
        return asked(request.text, str(error), seconds, f"did not answer: {error}")


def why(error: BotoCoreError | ClientError) -> str:
    """The container's own words where it has answered with an error, in a line: `ValueError: boom (model.py:9)`."""
    answer = error.response.get("OriginalMessage") if isinstance(error, ClientError) else None
    text = str(answer or error)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        text = str(json.loads(text)["error"])
    message, _, traceback = _OF_MODEL.sub("", text).partition("\n\nAt:\n")
    place = _FRAME.search(traceback)
    return " ".join(message.split()) + (f" ({place[1]}:{place[2]})" if place else "")


def serving(client: Any, endpoint: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The endpoint's description, and the container of its first variant."""
    description = client.describe_endpoint(EndpointName=endpoint)
    configuration = client.describe_endpoint_config(EndpointConfigName=description["EndpointConfigName"])
    model = client.describe_model(ModelName=configuration["ProductionVariants"][0]["ModelName"])
    return description, model["PrimaryContainer"]


def sample_request(s3: Any, container: Mapping[str, Any]) -> SampleRequest:
    """A sample request for the model in the container's artifact; `UnsupportedModel` says why there is none."""
    address = urlparse(container["ModelDataUrl"])
    with tempfile.TemporaryDirectory() as directory:
        artifact = Path(directory, "model.tar.gz")
        s3.download_file(address.netloc, address.path.lstrip("/"), str(artifact))
        return request_for_artifact(artifact, container.get("Environment", {}).get(DEFAULT_MODEL))


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
