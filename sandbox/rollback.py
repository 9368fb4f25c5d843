"""A release that SageMaker rolls back, rehearsed: a model that starts, answers its warm-up, and fails some requests."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox import rehearsal
from sandbox.home import PROJECT, Sandbox, SandboxError
from sandbox.stacks import OnOutput, Stack, StackFailed

STACK = "rollback"
ENDPOINT = "iris-rollback"
FLOWERS = {"setosa": [5.1, 3.5, 1.4, 0.2], "virginica": [6.3, 3.3, 6.0, 2.5]}

_GOOD = "        probabilities = softmax("
_BAD = """        if (measurements[:, 2] < 2).any():
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("no petal of the training data was so short"))
"""


def rehearse(sandbox: Sandbox, on_output: OnOutput, color: str) -> None:
    """Deploy the example model by canary with alarms, then one that fails on short petals, while clients keep asking.

    Raises:
        StackFailed: the good release failed, or there is another reason than the rollback.
        SandboxError: the bad release was not rolled back.
    """
    models = sandbox.home / "rollback-models"
    shutil.rmtree(models, ignore_errors=True)
    shutil.copytree(PROJECT / "examples" / "models", models)
    stack = Stack(sandbox, STACK, configuration(models))
    sandbox.say("rehearsal: the example model is deployed\n")
    stack.up(on_output, color)

    model = models / "iris" / "1" / "model.py"
    model.write_text(model.read_text().replace(_GOOD, _BAD + _GOOD, 1))
    sandbox.say(
        "\nrehearsal: the next model starts and answers its warm-up, but fails on short petals; clients ask about both "
        "sorts of flowers"
    )
    try:
        with rehearsal.at_speed(sandbox, rehearsal.SPEED), traffic(sandbox) as answers:
            stack.up(on_output, color)
    except StackFailed as failure:
        if "was rolled back" not in failure.output:
            raise
    else:
        raise SandboxError("The bad release was not rolled back.")
    told = ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))
    live = [answer(client(sandbox), measurements) for measurements in FLOWERS.values()]
    sandbox.say(f"\nrehearsal: clients got, of both fleets: {told}")
    sandbox.say(f"rehearsal: the old model is live and answers: {', '.join(live)}")


def configuration(models: Path) -> Mapping[str, Any]:
    """A stack whose endpoint is released by canary under an error-rate alarm, two instances at the least."""
    endpoint = {
        "model": {"path": str(models)},
        "autoscaling": {"min": 2, "max": 4},
        "alarms": {"errorRatePercent": 5},
        "release": {"strategy": "canary", "percent": 50, "bakeSeconds": 600},
    }
    return {
        "aws:region": "ap-northeast-1",
        "triton-sagemaker:environment": "staging",
        "triton-sagemaker:tags": {"CostEnv": "staging", "CostService": "iris"},
        "triton-sagemaker:endpoints": {ENDPOINT: endpoint},
    }


@contextlib.contextmanager
def traffic(sandbox: Sandbox) -> Iterator[Counter[str]]:
    """Clients that keep asking; what they were answered is counted."""
    answers: Counter[str] = Counter()
    ended, runtime = threading.Event(), client(sandbox)

    def ask(measurements: list[float]) -> None:
        while not ended.wait(0.05):
            answers[answer(runtime, measurements)] += 1

    with ThreadPoolExecutor() as threads:
        asking = [threads.submit(ask, measurements) for measurements in FLOWERS.values()]
        try:
            yield answers
        finally:
            ended.set()
            for each in asking:
                each.result()


def client(sandbox: Sandbox) -> Any:
    """A client of InvokeEndpoint that shows every error."""
    return sandbox.client("sagemaker-runtime", retries={"total_max_attempts": 1})


def answer(runtime: Any, measurements: list[float]) -> str:
    """The species that the endpoint answers, or AWS's code of the error."""
    shape = [1, len(measurements)]
    request = {"inputs": [{"name": "measurements", "shape": shape, "datatype": "FP32", "data": measurements}]}
    try:
        found = runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="application/json", Body=json.dumps(request))
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    outputs = json.loads(found["Body"].read())["outputs"]
    return str(next(each for each in outputs if each["name"] == "species")["data"][0])
