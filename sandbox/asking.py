"""A real question to a live endpoint, asked as any client would, and the table that shows the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import ClientError
from rich.table import Table
from rich.text import Text

from sandbox.home import Sandbox
from infra.triton.question import CannotBeAskedError, question_for_artifact

DEFAULT_MODEL = "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"


@dataclass(frozen=True)
class Asked:
    """What an endpoint serves, and what it answered.

    Attributes:
        image: the digest of the image.
        answer: the answer, or why there is none.
        seconds: how long InvokeEndpoint took; None when the endpoint was not asked or did not answer.
    """

    endpoint: str
    status: str
    image: str
    artifact: str
    question: str
    answer: str
    seconds: float | None = None


def ask(sandbox: Sandbox, arn: str) -> Asked:
    """Ask the endpoint a question that fits its model; one that cannot be asked is no error."""
    region, name = arn.split(":")[3], arn.rpartition("/")[2]
    endpoint, container = serving(sandbox.client("sagemaker", region), name)

    def asked(question: str, answer: str, seconds: float | None = None) -> Asked:
        image, artifact = container["Image"].rpartition("@")[2], container["ModelDataUrl"]
        return Asked(name, endpoint["EndpointStatus"], image, artifact, question, answer, seconds)

    try:
        artifact = read(sandbox.client("s3", region), container["ModelDataUrl"])
        question = question_for_artifact(artifact, container.get("Environment", {}).get(DEFAULT_MODEL))
    except CannotBeAskedError as reason:
        return asked("none", f"cannot be asked: {reason}")
    if sandbox.running().triton:
        return asked(question.text, "no Triton runs here")
    started = time.perf_counter()
    try:
        response = sandbox.client("sagemaker-runtime", region).invoke_endpoint(
            EndpointName=name, ContentType=question.content_type, Body=question.body
        )
        body = response["Body"].read()
    except ClientError as error:
        return asked(question.text, str(error))
    seconds = time.perf_counter() - started
    try:
        return asked(question.text, question.answer(body), seconds)
    except ValueError as error:
        return asked(question.text, str(error), seconds)


def serving(client: Any, endpoint: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The endpoint's description, and the container of its first variant."""
    description = client.describe_endpoint(EndpointName=endpoint)
    configuration = client.describe_endpoint_config(EndpointConfigName=description["EndpointConfigName"])
    model = client.describe_model(ModelName=configuration["ProductionVariants"][0]["ModelName"])
    return description, model["PrimaryContainer"]


def read(client: Any, url: str) -> bytes:
    """The bytes at `s3://bucket/key`."""
    address = urlparse(url)
    content: bytes = client.get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))["Body"].read()
    return content


def table(answers: Sequence[Asked]) -> Table:
    """One row an endpoint."""
    rows = Table()
    for heading in ("endpoint", "status", "image", "artifact", "question", "answer"):
        rows.add_column(heading, overflow="fold")
    rows.add_column("time", justify="right", no_wrap=True)
    for each in answers:
        seconds = "" if each.seconds is None else f"{each.seconds * 1000:.0f} ms"
        status = Text(each.status, "green" if each.status == "InService" else "red")
        texts = (each.image[:19], short(each.artifact), each.question, each.answer, seconds)
        rows.add_row(Text(each.endpoint), status, *map(Text, texts))
    return rows


def short(artifact: str) -> str:
    """An artifact's address without its bucket, and with digests as short as git shows them."""
    *folders, name = urlparse(artifact).path.lstrip("/").split("/")
    stem, dot, suffix = name.partition(".")
    return "/".join([*folders, stem[:12] + "…" + dot + suffix if len(stem) > 20 else name])
