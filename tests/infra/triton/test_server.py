"""A real Triton for one artifact. Where none can run, only the reasons are tested."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.triton import server
from infra.triton.repository import ModelRepository
from infra.triton.serve_script import Serve
from infra.triton.server import ServeError, TritonServer, unavailable

from .triton_container import QUICK, TritonContainer

EXAMPLES = Path(__file__).parents[3] / "examples" / "models"
CONFIG = """
name: "echo"
backend: "python"
max_batch_size: 1
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""


def ask(container: TritonContainer, shape: list[int], data: list[float]) -> tuple[int, dict[str, Any]]:
    """Asks the example model; returns the status and the JSON of the answer."""
    tensor = {"name": "measurements", "shape": shape, "datatype": "FP32", "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    status, _, answer = container.server.invoke(body, {"Content-Type": "application/json"})
    return status, json.loads(answer)


def artifact(directory: Path, model: str, config: str = CONFIG) -> Path:
    """An artifact with the Python model `echo` of this source."""
    (directory / "echo" / "1").mkdir(parents=True)
    (directory / "echo" / "config.pbtxt").write_text(config, encoding="utf-8")
    (directory / "echo" / "1" / "model.py").write_text(model, encoding="utf-8")
    target = directory / "model.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        archive.add(directory / "echo", "echo")
    return target


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonContainer]:
    directory = tmp_path_factory.mktemp("iris")
    ModelRepository.read(EXAMPLES).pack(directory / "iris.tar.gz")
    running = TritonContainer.of(directory / "iris.tar.gz", directory / "container")
    running.server.start()
    assert running.becomes_ready(), running.log
    yield running
    running.server.stop(grace_seconds=0)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("species", "measurements"),
    [
        ("setosa", [5.1, 3.5, 1.4, 0.2]),
        ("versicolor", [7.0, 3.2, 4.7, 1.4]),
        ("virginica", [6.3, 3.3, 6.0, 2.5]),
    ],
)
def test_the_example_model_tells_a_known_flower(iris: TritonContainer, species: str, measurements: list[float]) -> None:
    status, answer = ask(iris, [1, 4], measurements)
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert (status, outputs["species"]) == (200, [species])
    assert sum(outputs["probabilities"]) == pytest.approx(1)
    assert max(outputs["probabilities"]) > 0.8


READS_BESIDE_ITSELF = """
import numpy
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        print("repository", args["model_repository"], flush=True)
        with open("/opt/ml/model/echo/config.pbtxt") as file:
            print("read", len(file.read()) > 0, flush=True)

    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""


@pytest.mark.triton
@pytest.mark.parametrize("mounts", [True, False])
def test_the_model_is_where_sagemaker_has_it_or_the_log_says_that_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: bool
) -> None:
    if not server._has_mounts():
        mounts = False
    monkeypatch.setattr(server, "_has_mounts", lambda: mounts)
    running = TritonContainer.of(artifact(tmp_path, READS_BESIDE_ITSELF), tmp_path / "container")
    running.server.start()
    try:
        ready = running.becomes_ready()
    finally:
        running.server.stop(grace_seconds=0)
    log = "\n".join(running.log)
    assert ready == mounts, log
    assert ("read True" in log, "repository /opt/ml/model" in log) == (mounts, mounts)
    assert ("NOTE: the kernel allows no mounts here" in log) == (not mounts)


@pytest.mark.triton
def test_a_batch_gets_an_answer_for_each_flower(iris: TritonContainer) -> None:
    _, answer = ask(iris, [2, 4], [5.1, 3.5, 1.4, 0.2, 6.3, 3.3, 6.0, 2.5])
    assert answer["outputs"][0]["data"] == ["setosa", "virginica"]


@pytest.mark.triton
def test_a_wrong_shape_is_refused_with_the_right_one_and_the_server_stays_healthy(iris: TritonContainer) -> None:
    status, answer = ask(iris, [1, 3], [5.1, 3.5, 1.4])
    assert status == 400
    assert "Expected [-1,4], got [1,3]" in str(answer["error"])
    assert iris.server.ping()


@pytest.mark.triton
def test_an_impossible_flower_is_refused_in_the_words_of_the_model(iris: TritonContainer) -> None:
    status, answer = ask(iris, [1, 4], [0, 1, 1, 1])
    assert status >= 400
    assert "finite and above zero" in str(answer["error"])


@pytest.mark.triton
def test_requests_and_answers_may_be_binary(iris: TritonContainer) -> None:
    tensor = {"name": "measurements", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    header = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    kind = "application/vnd.sagemaker-triton.binary+json;json-header-size="
    body = header + struct.pack("<4f", 5.1, 3.5, 1.4, 0.2)
    status, headers, answer = iris.server.invoke(body, {"Content-Type": f"{kind}{len(header)}"})
    assert status == 200
    assert headers["Content-Type"].startswith(kind)
    size = int(headers["Content-Type"].removeprefix(kind))
    assert struct.unpack("<3f", answer[size:])[0] > 0.9


@pytest.mark.triton
def test_a_header_size_beyond_the_body_is_refused(iris: TritonContainer) -> None:
    kind = "application/vnd.sagemaker-triton.binary+json;json-header-size=100"
    status, _, answer = iris.server.invoke(b"{}", {"Content-Type": kind})
    assert (status, b"inference header size should be in range" in answer) == (400, True)


@pytest.mark.triton
def test_the_container_has_its_own_environment_and_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-developer")
    model = "import os\nprint('environment', sorted(os.environ), flush=True)\nraise RuntimeError('enough')\n"
    running = TritonContainer.of(artifact(tmp_path, model), tmp_path / "container", GREETING="hello")
    running.server.start()
    assert not running.becomes_ready()
    (line,) = [line for line in running.log if line.startswith("environment ")]
    assert "GREETING" in line
    assert "AWS_SECRET_ACCESS_KEY" not in line


@pytest.mark.triton
def test_a_broken_model_never_becomes_healthy_and_the_log_says_why(tmp_path: Path) -> None:
    running = TritonContainer.of(artifact(tmp_path, "import nonsense\n"), tmp_path / "container")
    running.server.start()
    assert not running.becomes_ready()
    assert running.server.exited == 1
    assert any("No module named 'nonsense'" in line for line in running.log)
    with pytest.raises(OSError, match=r".*"):
        running.server.invoke(b"{}", {})
    running.server.stop()


@pytest.mark.triton
def test_a_server_that_listens_without_its_model_is_not_healthy(tmp_path: Path) -> None:
    arguments = "--disable-auto-complete-config --exit-on-error=false"
    archive = artifact(tmp_path, "import nonsense\n")
    running = TritonContainer.of(archive, tmp_path / "container", SAGEMAKER_TRITON_ADDITIONAL_ARGS=arguments)
    running.server.start()
    status = running.answers(b"{}")
    assert status >= 400
    assert not running.server.ping()
    assert running.server.exited is None
    running.server.stop(grace_seconds=0)


@pytest.mark.triton
def test_the_log_is_complete_once_the_server_has_ended_however_slow_its_reader(tmp_path: Path) -> None:
    log: list[str] = []

    def read_slowly(line: str) -> None:
        time.sleep(0.005)
        log.append(line)

    server = TritonServer(artifact(tmp_path, "import nonsense\n"), QUICK, tmp_path / "container", read_slowly)
    server.start()
    assert not TritonContainer(server, log).becomes_ready()
    assert "error: creating server" in "\n".join(log)


@pytest.mark.triton
def test_lines_of_the_log_arrive_while_the_model_still_loads(tmp_path: Path) -> None:
    # The model waits for the test, which answers only after the line has come.
    model = (
        "import pathlib, time\n"
        "here = pathlib.Path(__file__).parent\n"
        "print('loading now', flush=True)\n"
        "while not (here / 'go').exists(): time.sleep(0.01)\n"
        "raise RuntimeError('as planned')\n"
    )
    loading = threading.Event()
    log: list[str] = []

    def listen(line: str) -> None:
        log.append(line)
        if line == "loading now":
            loading.set()

    server = TritonServer(artifact(tmp_path, model), QUICK, tmp_path / "container", listen)
    server.start()
    assert loading.wait(60)
    (tmp_path / "container" / "model" / "echo" / "1" / "go").touch()
    assert not TritonContainer(server, log).becomes_ready()
    assert "as planned" in "\n".join(log)


@pytest.mark.triton
def test_serves_own_refusal_is_raised_and_logged(tmp_path: Path) -> None:
    running = TritonContainer.of(
        artifact(tmp_path, ""), tmp_path / "container", SAGEMAKER_TRITON_DEFAULT_MODEL_NAME="other"
    )
    with pytest.raises(ServeError, match="other does not exist"):
        running.server.start()
    assert running.log == ["ERROR: Directory with provided SAGEMAKER_TRITON_DEFAULT_MODEL_NAME other does not exist"]
    assert running.server.exited is None
    running.server.stop()


@pytest.mark.triton
def test_stopping_unloads_the_model_and_leaves_nothing(tmp_path: Path) -> None:
    model = (
        "class TritonPythonModel:\n"
        "    def execute(self, requests): return []\n"
        "    def finalize(self): print('finalized', flush=True)\n"
    )
    running = TritonContainer.of(artifact(tmp_path, model), tmp_path / "container")
    running.server.start()
    assert running.becomes_ready(), running.log
    assert shared_memory(running.server) != []
    running.server.stop()
    assert running.server.exited == 0
    assert "finalized" in running.log
    assert shared_memory(running.server) == []
    assert not running.server.ping()
    running.server.stop()


@pytest.mark.triton
def test_two_servers_run_side_by_side(iris: TritonContainer, tmp_path: Path) -> None:
    ModelRepository.read(EXAMPLES).pack(tmp_path / "iris.tar.gz")
    other = TritonContainer.of(tmp_path / "iris.tar.gz", tmp_path / "container")
    other.server.start()
    assert other.becomes_ready(), other.log
    other.server.stop(grace_seconds=0)
    assert other.server.exited == 128 + signal.SIGKILL
    assert ask(iris, [1, 4], [5.1, 3.5, 1.4, 0.2])[0] == 200


PARENT = """
import sys, time
from pathlib import Path
from infra.triton.server import TritonServer

server = TritonServer(Path(sys.argv[1]), {}, Path(sys.argv[2]), lambda line: None)
server.start()
while not server.ping():
    time.sleep(0.02)
print(server._shared_memory, flush=True)
time.sleep(600)
"""


@pytest.mark.triton
def test_triton_dies_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    ModelRepository.read(EXAMPLES).pack(tmp_path / "iris.tar.gz")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "iris.tar.gz"), str(tmp_path / "container")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=EXAMPLES.parents[1],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parents[1])},
    )
    assert parent.stdout is not None
    with parent.stdout:
        prefix = parent.stdout.readline().strip()
    processes = psutil.Process(parent.pid).children(recursive=True)
    assert "tritonserver" in {process.name() for process in processes}
    assert list(Path("/dev/shm").glob(f"{prefix}*")) != []
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert list(Path("/dev/shm").glob(f"{prefix}*")) == []


def shared_memory(server: TritonServer) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{server._shared_memory}*"))


def test_a_server_that_was_not_started_is_not_healthy(tmp_path: Path) -> None:
    server = TritonServer(tmp_path / "none.tar.gz", {}, tmp_path / "container", print)
    assert not server.ping()
    assert server.exited is None
    server.stop()


def test_another_platform_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "Linux x86_64 only; this is" in str(unavailable())
    assert str(unavailable()).endswith("aarch64")


def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_a_missing_wheel_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    on_linux(monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "nvidia-pytriton wheel" in str(unavailable())


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> server.Wheel:
    """An installed wheel with all it takes, so that one thing at a time can be taken away."""
    on_linux(monkeypatch)
    stubs = tmp_path / "stubs"
    (stubs / "3.11").mkdir(parents=True)
    (stubs / "3.10").mkdir()
    (stubs / "3.11" / "stub").touch()
    found = server.Wheel(tmp_path, tmp_path, tmp_path, stubs / "3.11" / "stub", tmp_path)
    monkeypatch.setattr(server, "installed_wheel", lambda: found)
    monkeypatch.setattr(server, "_installed", lambda distribution: "1.26.4")
    monkeypatch.setattr(server, "_has_networks", lambda: True)
    assert unavailable() is None
    return found


def test_a_python_without_a_stub_is_the_reason(wheel: server.Wheel) -> None:
    wheel.stub.unlink()
    assert str(unavailable()).endswith("it has 3.10, 3.11")


@pytest.mark.parametrize(("numpy", "said"), [("2.1.0", "has 2.1.0"), (None, "has none")])
def test_a_wrong_numpy_is_the_reason(
    wheel: server.Wheel, monkeypatch: pytest.MonkeyPatch, numpy: str | None, said: str
) -> None:
    monkeypatch.setattr(server, "_installed", lambda distribution: numpy)
    assert "numpy below 2" in str(unavailable())
    assert said in str(unavailable())


def test_a_missing_libpython_is_the_reason(wheel: server.Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    object.__setattr__(wheel, "libpython", None)
    assert "libpython3." in str(unavailable())


def test_a_missing_tar_is_the_reason(wheel: server.Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "tar command" in str(unavailable())


@pytest.mark.parametrize(("value", "runs"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_triton_is_open_on_every_interface_only_where_a_variable_allows_it(
    wheel: server.Wheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None, runs: bool
) -> None:
    monkeypatch.setattr(server, "_has_networks", lambda: False)
    monkeypatch.delenv("TRITON_EXPOSE", raising=False)
    if value is not None:
        monkeypatch.setenv("TRITON_EXPOSE", value)
    assert (unavailable() is None) == runs
    if not runs:
        assert "TRITON_EXPOSE=1" in str(unavailable())
        with pytest.raises(RuntimeError, match="TRITON_EXPOSE"):
            TritonServer(tmp_path / "a", {}, tmp_path / "b", print)._run(Serve([], {}, []))
