"""Downloads over connections that break."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import NameResolutionError
from urllib3.response import HTTPResponse

from infra.image import download, http
from infra.image.download import BlobReader, from_byte
from infra.image.errors import DigestMismatch, TransferFailed
from infra.image.http import Http, check_status, without_address
from infra.image.retry import Broken, Retry
from tests.infra.image.blob_server import SIGNATURE, BlobServer

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 40


def reader_of(blobs: BlobServer, path: Path, size: int, retry: Retry) -> BlobReader:
    """Reads the file as a blob of the server."""
    blobs.files["/blob"] = path
    http = Http()

    def open_blob(start: int) -> object:
        response = http.get(blobs.address("/blob"), from_byte(start))
        check_status(response, blobs.url)
        return response

    return BlobReader(open_blob, size, "layer sha256:abc", retry)  # type: ignore[arg-type]


def read(reader: BlobReader, first: int, length: int) -> bytes:
    return b"".join(reader.blocks(first, length))


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def retry(pauses: list[float]) -> Retry:
    return Retry(tries=3, sleep=pauses.append)


@given(
    cuts=st.lists(st.integers(min_value=0, max_value=len(CONTENT))),
    lengths=st.lists(st.integers(min_value=1, max_value=4000), min_size=1),
    knows_range=st.booleans(),
)
def test_whatever_breaks_where_the_bytes_arrive_once_and_in_order(
    cuts: list[int], lengths: list[int], knows_range: bool
) -> None:
    left: Iterator[int] = iter(cuts)

    def open_blob(start: int) -> HTTPResponse:
        first = start if knows_range else 0
        extent = {"Content-Range": f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        whole = {"Content-Length": str(len(CONTENT))}
        body = BytesIO(CONTENT[first : first + next(left, len(CONTENT))])
        partial = knows_range and start > 0
        return HTTPResponse(body, extent if partial else whole, 206 if partial else 200, preload_content=False)

    patient = Retry(tries=len(cuts) + 1, sleep=lambda seconds: None)
    reader = BlobReader(open_blob, len(CONTENT), "blob", patient)
    read = b""
    for length in lengths:
        read += b"".join(reader.blocks(len(read), min(length, len(CONTENT) - len(read))))
    assert read == CONTENT[: len(read)]


def test_a_broken_download_resumes_by_range(blobs: BlobServer, blob: Path, retry: Retry, pauses: list[float]) -> None:
    blobs.cut_after = [1000, 500]
    reader = reader_of(blobs, blob, len(CONTENT), retry)
    assert read(reader, 0, len(CONTENT)) == CONTENT
    asked = [wanted for _, wanted in blobs.requests]
    assert asked == [None, "bytes=1000-", "bytes=1500-"]
    assert len(pauses) == 2


def test_a_server_that_knows_no_range_is_read_from_the_beginning_again(
    blobs: BlobServer, blob: Path, retry: Retry
) -> None:
    blobs.cut_after, blobs.knows_range = [1000], False
    assert read(reader_of(blobs, blob, len(CONTENT), retry), 0, len(CONTENT)) == CONTENT
    assert len(blobs.requests) == 2


def test_parts_are_read_over_one_connection(blobs: BlobServer, blob: Path, retry: Retry) -> None:
    reader = reader_of(blobs, blob, len(CONTENT), retry)
    assert read(reader, 0, 6000) + read(reader, 6000, len(CONTENT) - 6000) == CONTENT
    assert len(blobs.requests) == 1


def test_an_earlier_position_is_read_again(blobs: BlobServer, blob: Path, retry: Retry) -> None:
    reader = reader_of(blobs, blob, len(CONTENT), retry)
    read(reader, 0, 6000)
    assert read(reader, 5000, 100) == CONTENT[5000:5100]
    assert [wanted for _, wanted in blobs.requests] == [None, "bytes=5000-"]


def test_tries_have_a_bound_and_the_pauses_grow(blobs: BlobServer, blob: Path, pauses: list[float]) -> None:
    blobs.cut_after = [10] * 9
    reader = reader_of(blobs, blob, len(CONTENT), Retry(tries=9, max_pause=30, sleep=pauses.append))
    with pytest.raises(
        TransferFailed, match=r"layer sha256:abc: the connection broke at byte 90 of 10240: .*Tried 9 times"
    ):
        read(reader, 0, len(CONTENT))
    assert all(0.25 * 2**n <= pause <= 0.5 * 2**n for n, pause in enumerate(pauses[:6]))
    assert all(15 <= pause <= 30 for pause in pauses[6:])
    assert len(pauses) == 8


def test_the_bound_applies_to_each_part(blobs: BlobServer, blob: Path, retry: Retry) -> None:
    blobs.cut_after = [100, 100, 5800, 100, None]
    reader = reader_of(blobs, blob, len(CONTENT), retry)
    assert read(reader, 0, 6000) + read(reader, 6000, len(CONTENT) - 6000) == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(blobs: BlobServer, blob: Path, retry: Retry, status: int) -> None:
    blobs.statuses = [status, status]
    assert read(reader_of(blobs, blob, len(CONTENT), retry), 0, 10) == CONTENT[:10]


def test_a_url_that_stays_refused_fails_soon(blobs: BlobServer, blob: Path, pauses: list[float]) -> None:
    blobs.statuses = [403] * 10
    with pytest.raises(TransferFailed, match=r"127\.0\.0\.1 answered HTTP 403\. Tried 3 times"):
        read(reader_of(blobs, blob, len(CONTENT), Retry(sleep=pauses.append)), 0, 10)


def test_a_missing_blob_is_not_requested_again(blobs: BlobServer, blob: Path, retry: Retry) -> None:
    blobs.statuses = [404] * 10
    with pytest.raises(TransferFailed, match=r"127\.0\.0\.1 answered HTTP 404\. Push the image again"):
        read(reader_of(blobs, blob, len(CONTENT), retry), 0, 10)
    assert len(blobs.requests) == 1


def test_a_blob_of_another_size_than_the_manifest_says_is_refused(blobs: BlobServer, blob: Path, retry: Retry) -> None:
    with pytest.raises(DigestMismatch, match="has 10240 bytes in the registry, but 10239 in the manifest"):
        read(reader_of(blobs, blob, len(CONTENT) - 1, retry), 0, 10)


def test_no_error_shows_the_signed_address(blobs: BlobServer) -> None:
    blobs.redirects = {
        "/endless": blobs.address("/endless"),
        "/nowhere": f"http://[no host?{SIGNATURE}",
        "/no-port": f"http://localhost:99999/?{SIGNATURE}",
        "/no-scheme": f"gopher://localhost/blob?{SIGNATURE}",
    }
    urls = [f"http://127.0.0.1:1/blob?{SIGNATURE}", *map(blobs.address, blobs.redirects)]
    for url in urls:
        with pytest.raises(Broken) as broken:
            Http().get(url, {})
        assert "not-to-be-shown" not in "".join(traceback.format_exception(broken.value))


def test_no_error_shows_the_class_of_a_connection() -> None:
    error = NameResolutionError("registry.test", HTTPSConnection("registry.test"), socket.gaierror("unknown"))
    assert without_address(error) == "NameResolutionError: Failed to resolve 'registry.test' (unknown)"


def test_the_proxy_of_the_environment_is_used(blobs: BlobServer, blob: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs.files["http://layers.example/blob"] = blob
    monkeypatch.setenv("http_proxy", blobs.url)
    assert Http().get(f"http://layers.example/blob?{SIGNATURE}", {}).read() == CONTENT
    monkeypatch.setenv("no_proxy", "layers.example")
    with pytest.raises(Broken, match=r"layers\.example: "):
        Http().get(f"http://layers.example/blob?{SIGNATURE}", {})


def test_the_proxy_is_found_once_for_each_host(blobs: BlobServer, blob: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls: list[str] = []

    def environ_proxies(url: str) -> dict[str, str]:
        urls.append(url)
        return {}

    monkeypatch.setattr("infra.image.http.get_environ_proxies", environ_proxies)
    http = Http()
    for host in ("127.0.0.1", "127.0.0.1", "localhost"):
        url = blobs.address("/blob").replace("127.0.0.1", host)
        http.get(url, {}).close()
    assert len(urls) == 2


def test_a_body_may_be_slower_than_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """As over an uplink that takes longer for a block than a server to answer the connection."""
    monkeypatch.setattr(http, "_TIMEOUT", urllib3.Timeout(connect=0.3, read=20))
    received = 0

    def serve(listener: socket.socket) -> None:
        nonlocal received
        connection, _ = listener.accept()
        with connection:
            while not connection.recv(1).endswith(b"\r") or connection.recv(3) != b"\n\r\n":
                pass
            time.sleep(1)
            while received < 16 * MIB:
                received += len(connection.recv(MIB))
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        response = Http().send("PUT", url, {"Content-Length": str(16 * MIB)}, [bytes(MIB)] * 16)
        server.join(20)
    assert (response.status, received) == (201, 16 * MIB)


def test_a_download_that_crawls_is_replaced(
    blobs: BlobServer, blob: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "BLOCK_SECONDS", 0.0)
    reader = reader_of(blobs, blob, len(CONTENT), Retry(sleep=pauses.append))
    with pytest.raises(TransferFailed, match=r"less than 1 MiB arrived in 0 seconds\. Tried 3 times"):
        read(reader, 0, len(CONTENT))
