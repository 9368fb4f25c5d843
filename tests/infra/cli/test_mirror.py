"""`python -m infra mirror`: what it prints, and what it leaves undone."""

from __future__ import annotations

import io
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from infra.__main__ import main
from infra.cli import mirror
from infra.cli.mirror_bars import LayerBars
from infra.image.copy import Progress
from infra.image.manifest import DOCKER_LAYER, Descriptor
from infra.image.parallel import STOP_SECONDS
from infra.image.progress import ProgressLines
from tests.infra.image.blob_server import serve_blobs
from tests.infra.image.conftest import DESTINATION, SOURCE, content, put_image
from tests.infra.image.fake_ecr import MIB, FakeEcr, Repository


@pytest.fixture
def ecr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEcr]:
    """ECR with AWS's image, of which the layer is 24 MiB, and an empty repository `sagemaker-tritonserver`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serve_blobs() as blobs:
        fake = FakeEcr(tmp_path, blobs)
        put_image(source(fake), layers=(content(24 * MIB),))
        destination(fake)

        class Session:
            region = "eu-west-1"
            account_id = "123456789012"
            client = staticmethod(fake.client)

        monkeypatch.setattr(mirror, "AwsSession", lambda *_, **__: Session)
        yield fake


def source(ecr: FakeEcr) -> Repository:
    return ecr.repository("941853720454", "ap-northeast-1", "sagemaker-tritonserver")


def destination(ecr: FakeEcr) -> Repository:
    return ecr.repository("123456789012", "eu-west-1", "sagemaker-tritonserver")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["mirror", *arguments])
    return int(ended.value.code or 0)


def test_an_image_is_copied_to_the_accounts_own_repository(ecr: FakeEcr, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(SOURCE)) == 0
    printed = capsys.readouterr()
    (digest,) = destination(ecr).manifests
    assert destination(ecr).tags == {"23.10-py3": digest}
    assert f"sagemaker-tritonserver@{digest}; 25.2 MB of 25.2 MB copied, 2 layers through HTTP" in printed.out
    assert "image: 100 % of 25.2 MB, " in printed.err

    assert run(str(SOURCE)) == 0
    assert "names the image of" in capsys.readouterr().out


def test_a_dry_run_copies_nothing(ecr: FakeEcr, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(SOURCE), "--dry-run") == 0
    assert "(linux/amd64): copies 2 of 2 layers, 25.2 MB of 25.2 MB" in capsys.readouterr().out
    assert not {"InitiateLayerUpload", "PutImage"} & ecr.operations().keys()


def test_an_image_that_does_not_serve_is_refused_on_request(ecr: FakeEcr, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(SOURCE), "--verify") == 1
    assert "gzip tar" in capsys.readouterr().err
    assert not {"InitiateLayerUpload", "PutImage"} & ecr.operations().keys()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tritonserver",), "'tritonserver' is not a valid image reference"),
        ((str(SOURCE), "nvcr.io/nvidia/tritonserver:1"), "is not in Amazon ECR"),
        ((str(SOURCE), "--platform", "amd64"), "'amd64' is not a valid platform"),
        ((str(SOURCE), "--platform", "linux/arm64"), "is for linux/amd64"),
        (("23.10-py3",), "RepositoryNotFoundException"),
    ],
)
def test_what_cannot_be_copied_is_one_message(
    ecr: FakeEcr, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    assert run(*arguments) == 2
    assert says in capsys.readouterr().err
    assert not {"InitiateLayerUpload", "PutImage"} & ecr.operations().keys()


def test_ctrl_c_ends_soon_and_the_next_run_continues(
    ecr: FakeEcr, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[float] = []

    class Interrupted(ProgressLines):
        def __call__(self, progress: Progress) -> None:
            if progress.layer_bytes > 12 * MIB:
                pressed.append(time.monotonic())
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "ProgressLines", Interrupted)
        assert run(str(SOURCE)) == 130
        assert time.monotonic() - pressed[0] < STOP_SECONDS + 30
    assert "interrupted. Run the command again" in capsys.readouterr().err
    ecr.wait()
    assert run(str(SOURCE), str(DESTINATION).replace("triton/prod", "sagemaker-tritonserver")) == 0
    assert list(destination(ecr).tags) == ["23.10-py3"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_cancelled_job_and_a_closed_terminal_end_it_as_ctrl_c_does(
    ecr: FakeEcr, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # who runs the tests with nohup ignores SIGHUP
    monkeypatch.setattr(mirror, "plan_copy", lambda *_: signal.raise_signal(number))
    assert run(str(SOURCE)) == 130
    assert signal.signal(number, before) == signal.SIG_DFL


def test_nohup_keeps_a_copy_that_outlives_its_terminal(ecr: FakeEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(mirror, "planned", lambda _: signal.raise_signal(signal.SIGHUP))
    assert run(str(SOURCE)) == 0
    assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN


def test_a_terminal_shows_a_bar_for_each_layer_in_progress() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    first, second = (Descriptor(DOCKER_LAYER, f"sha256:{letter * 64}", 4 * MIB) for letter in "ab")
    with LayerBars(8 * MIB, console) as show:
        show(Progress(first, 1 * MIB, 1 * MIB, 8 * MIB, 0, 2))
        show(Progress(second, 2 * MIB, 3 * MIB, 8 * MIB, 0, 2))
    assert all(name in drawn(screen) for name in ("a" * 12, "b" * 12, "0 of 2 layers"))
    screen.truncate(0)
    with LayerBars(8 * MIB, console) as show:
        show(Progress(first, 4 * MIB, 6 * MIB, 8 * MIB, 1, 2))
    _, image, layers = drawn(screen).rpartition("1 of 2 layers")
    assert image and "a" * 12 not in layers, "a layer that is complete has no bar"


def drawn(screen: io.StringIO) -> str:
    """What was drawn, without its colors."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue())
