"""A network between a client and a server of this machine that is slow, counts bytes, and fails on request.

It forwards TCP. A request begins with the first bytes of a client, and with the first ones after bytes of the server.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

_BLOCK: Final = 256 * 1024
_LOOKS_EVERY_SECONDS: Final = 0.05
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class Side(Enum):
    """Where a fault is: in the request or in the response."""

    REQUEST = "request"
    RESPONSE = "response"


class Kind(Enum):
    """What happens: connections are reset or closed, bytes stop or are changed, or the request is not forwarded."""

    RESET = "reset"
    CLOSE = "close"
    STALL = "stall"
    CORRUPT = "corrupt"
    LENGTH = "length"
    """The response announces one byte more than it has."""
    ANSWER = "answer"


@dataclass(frozen=True)
class Fault:
    """A failure of the next requests that match.

    Attributes:
        request: a pattern of the start of the request, as `PATCH` or `GET .*/blobs/`. One that is too short for `after`
            is spared, and the next one is not.
        after: so many bytes of the request or response are forwarded first.
        times: how many requests fail.
        answer: the whole response, for `ANSWER`.
    """

    kind: Kind
    request: str = ""
    side: Side = Side.REQUEST
    after: int = 0
    times: int = 1
    answer: bytes = b""

    @classmethod
    def status(cls, status: int, request: str = "", times: int = 1, headers: str = "") -> Fault:
        """The answer of an overloaded server or of a gateway in front of it."""
        head = f"HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n"
        return cls(Kind.ANSWER, request, times=times, answer=head.encode())


class Link:
    """Forwards the connections to its own port to a server's.

    Args:
        delay: seconds that each request waits before it is forwarded.
        rate: bytes a second of each connection and direction; None is as many as there are.

    Attributes:
        sent: bytes from clients to the server so far.
        received: bytes from the server to clients so far.
        requests: so far.
    """

    def __init__(self, server: str, delay: float = 0.0, rate: float | None = None) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self.delay = delay
        self.rate = rate
        self.sent = self.received = self.requests = 0
        self.lock = threading.Lock()
        self._faults: list[tuple[Fault, int]] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._accept, daemon=True).start()

    def befall(self, *faults: Fault) -> None:
        """Have these faults befall the next requests that match, besides those that have not happened yet."""
        with self.lock:
            self._faults += [(fault, fault.times) for fault in faults]

    @property
    def outstanding(self) -> int:
        """How many faults have not happened yet."""
        with self.lock:
            return sum(times for _, times in self._faults)

    def fault_of(self, request: bytes) -> Fault | None:
        """The fault that may befall a request, by its first bytes."""
        with self.lock:
            self.requests += 1
            return next((fault for fault, _ in self._faults if re.match(fault.request.encode(), request)), None)

    def happens(self, fault: Fault) -> bool:
        """Whether a fault has still to happen; it then counts as happened."""
        with self.lock:
            for number, (other, times) in enumerate(self._faults):
                if other is fault:
                    self._faults[number : number + 1] = [(fault, times - 1)] if times > 1 else []
                    return True
        return False

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(self, client, server)
        threading.Thread(target=connection.forward_responses, daemon=True).start()
        connection.forward_requests()


class _Broken(Exception):
    """The connection has ended, by a fault or as its ends wanted."""


class _Connection:
    def __init__(self, link: Link, client: socket.socket, server: socket.socket) -> None:
        self._link = link
        self._client = client
        self._server = server
        self._fault: Fault | None = None
        self._answered = True
        self._passed = dict.fromkeys(Side, 0)
        self._broken = False
        self._forwarding = 2
        self._lock = threading.Lock()

    def forward_requests(self) -> None:
        with self._ending(self._server):
            for block in self._blocks(self._client):
                if self._answered:
                    self._begin(bytes(block[:2048]))
                self._forward(Side.REQUEST, block, self._server)

    def forward_responses(self) -> None:
        with self._ending(self._client):
            for block in self._blocks(self._server):
                first, self._answered = not self._answered, True
                if first and self._fault and self._fault.kind is Kind.LENGTH and self._link.happens(self._fault):
                    block = memoryview(_one_more(bytes(block)))
                self._forward(Side.RESPONSE, block, self._client)

    def _begin(self, request: bytes) -> None:
        self._answered = False
        self._passed = dict.fromkeys(Side, 0)
        self._fault = self._link.fault_of(request)
        time.sleep(self._link.delay)
        if self._fault and self._fault.kind is Kind.ANSWER and self._link.happens(self._fault):
            self._client.sendall(self._fault.answer)
            raise _Broken

    def _forward(self, side: Side, block: memoryview, to: socket.socket) -> None:
        started = time.monotonic()
        fault, passed = self._fault, self._passed[side]
        if fault and fault.side is side and passed <= fault.after < passed + len(block):
            self._break(fault, block, to, fault.after - passed)
        to.sendall(block)
        self._passed[side] = passed + len(block)
        with self._link.lock:
            if side is Side.REQUEST:
                self._link.sent += len(block)
            else:
                self._link.received += len(block)
        if self._link.rate:
            time.sleep(max(0.0, len(block) / self._link.rate - (time.monotonic() - started)))

    def _break(self, fault: Fault, block: memoryview, to: socket.socket, after: int) -> None:
        """Do what a fault does to a block of whose bytes the first `after` are still to be forwarded."""
        if fault.kind in (Kind.LENGTH, Kind.ANSWER) or not self._link.happens(fault):
            return
        if fault.kind is Kind.CORRUPT:
            block[after] ^= 1
            return
        to.sendall(block[:after])
        if fault.kind is Kind.RESET:
            for end in (self._client, self._server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        if fault.kind is Kind.STALL:
            for _ in self._blocks(self._client):
                pass  # until the client closes the connection
        raise _Broken

    def _blocks(self, end: socket.socket) -> Iterator[memoryview]:
        # a rate is kept in steps of a twentieth of a second
        size = _BLOCK if self._link.rate is None else max(1, min(_BLOCK, int(self._link.rate / 20)))
        buffer = memoryview(bytearray(size))
        readable = select.poll()  # `select.select` refuses the descriptors from 1024 on
        readable.register(end, select.POLLIN)
        while True:
            while not readable.poll(1000 * _LOOKS_EVERY_SECONDS):
                if self._broken:
                    raise _Broken
            if not (length := end.recv_into(buffer)):
                return
            yield buffer[:length]

    @contextmanager
    def _ending(self, to: socket.socket) -> Iterator[None]:
        """Forward the end of one direction; a fault ends both, and the last one closes the connections."""
        try:
            yield
            to.shutdown(socket.SHUT_WR)
        except (_Broken, OSError):
            self._broken = True
        with self._lock:
            self._forwarding -= 1
            if not self._forwarding:
                self._client.close()
                self._server.close()


def _one_more(response: bytes) -> bytes:
    return re.sub(
        rb"(?im)^(content-length: *)(\d+)", lambda match: match[1] + str(int(match[2]) + 1).encode(), response, count=1
    )
