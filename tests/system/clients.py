"""Clients of the guest's services: HTTP as bytes, streams, datagrams, and what the shell prints."""
import array
import os
import re
import resource
import select
import socket
import sys
import zlib

from skerry import PATIENCE

TIMEOUT = 60 * PATIENCE  # ends a hang, judges nothing
WAVE = 200  # connections begun before any of them has to be there


def pattern(start, size):
    """Byte i is byte i & 3 of the 32-bit product (i >> 2) * 2654435761."""
    first, last = start >> 2, (start + size + 3) >> 2
    words = array.array("I", ((i * 2654435761) & 0xFFFFFFFF for i in range(first, last)))
    assert words.itemsize == 4 and sys.byteorder == "little"
    skipped = start & 3
    return words.tobytes()[skipped : skipped + size]


def connect(address):
    stream = socket.create_connection(address, timeout=TIMEOUT)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


class Crowd:
    """Many connections to one service at once, none of which waits for another."""

    def __init__(self, address, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1000)), hard))
        self.poll = select.epoll()
        self.streams = {}
        for first in range(0, count, WAVE):
            self.open(address, min(WAVE, count - first))

    def open(self, address, count):
        fresh = [socket.socket() for _ in range(count)]
        for stream in fresh:
            stream.setblocking(False)
            stream.connect_ex(address)
            self.streams[stream.fileno()] = stream
            self.poll.register(stream, select.EPOLLOUT)
        self.until({stream.fileno() for stream in fresh}, lambda stream: None)
        for stream in fresh:
            error = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert error == 0, f"connection {len(self.streams)}: {os.strerror(error)}"
            self.poll.modify(stream, select.EPOLLIN)

    def until(self, waiting, act):
        """Once for each of the descriptors `waiting`, when it is ready: act(its socket)."""
        while waiting:
            ready = self.poll.poll(TIMEOUT)
            assert ready, f"{len(waiting)} connections wait for nothing"
            for number, _ in ready:
                if number in waiting:
                    waiting.remove(number)
                    act(self.streams[number])

    def echo(self, data):
        """All say it at once, and each hears it."""
        heard = []
        for stream in self.streams.values():
            assert stream.send(data) == len(data)
        self.until(set(self.streams), lambda stream: heard.append(stream.recv(2 * len(data))))
        assert heard == [data] * len(self.streams), f"{heard.count(data)} of {len(self.streams)}"

    def close(self):
        self.poll.close()
        for stream in self.streams.values():
            stream.close()


def datagrams(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(TIMEOUT)
    sock.connect(address)
    return sock


def read_exactly(stream, size):
    parts, left = [], size
    while left and (part := stream.recv(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_all(stream):
    parts = []
    while part := stream.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def checked_upload(address, size):
    """Sends `size` bytes to port 5001's service; returns its line and what it should say."""
    data = pattern(0, size)
    with connect(address) as stream:
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        return read_all(stream).decode(), f"{size} {zlib.crc32(data):08x}\n"


def http(stream, request):
    """Sends a request and reads one answer: (status, headers, body)."""
    stream.sendall(request)
    return http_answer(stream, head_only=request.startswith(b"HEAD"))


def http_answer(stream, head_only=False):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            raise ConnectionError(f"end of file after {head!r}")
        head += byte
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:] if x)}
    body = b"" if head_only else read_exactly(stream, int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, body


def get(address, path, method="GET"):
    with connect(address) as stream:
        request = f"{method} {path} HTTP/1.1\r\nHost: skerry\r\nConnection: close\r\n\r\n"
        return http(stream, request.encode())


def udp_echo(sock, rounds, size=64):
    """Closed loop, each datagram with its number in it; how many came back unchanged."""
    back = 0
    for i in range(rounds):
        sent = i.to_bytes(4, "little") + pattern(i, size - 4)
        sock.send(sent)
        back += sock.recv(65536) == sent
    return back


def rows(text, *columns):
    """The table whose heading has these columns, as dictionaries by the heading's words.

    Columns stand at least two spaces apart; an empty cell is possible only at the end.
    """
    found, heading = [], None
    for line in text.splitlines():
        words = re.split(r"\s{2,}", line.strip())
        if all(column in words for column in columns):
            heading = words
        elif heading and len(words) > 1 and not line.startswith("["):
            found.append(dict(zip(heading, words)))
    assert heading, f"no table with {columns} in:\n{text}"
    return found


def counters(guest):
    """What the network stack counts: {name: value}, only what is not zero."""
    text = guest.command("netstat counters")
    return {row["counter"]: int(row["value"]) for row in rows(text, "counter", "value")}


def domains(guest):
    """What `ps` lists."""
    return rows(guest.command("ps"), "id", "name", "state")


def running(guest):
    """{name: id} of the domains that run."""
    return {d["name"]: d["id"] for d in domains(guest) if d["state"] == "running"}


def state_of(guest, number):
    return next((d["state"] for d in domains(guest) if d["id"] == number), "gone")


def domain(guest, number):
    """What `ps` lists of one."""
    return next(d for d in domains(guest) if d["id"] == number)


def outcome(guest, number):
    """(state, code)"""
    row = domain(guest, number)
    return row["state"], row["code"]


def spawn(guest, line):
    """Types `spawn LINE`; the number `ps` has for the domain.

    What it says may come before the shell says that it runs: `expect` goes on before the command.
    """
    start = len(guest.text)
    text = guest.command(f"spawn {line}")
    found = re.search(r"^(\d+\.\d+) \S+ runs", text, re.M)
    assert found, text
    guest.position = start
    return found[1]


def page(guest):
    """The status of the guest's first page, over user networking."""
    return get(("127.0.0.1", guest.port("tcp:80")), "/")[0]


def cores(guest):
    """What `cores` lists."""
    return rows(guest.command("cores"), "core", "state", "halts")


def slept_between(before, after):
    """{core: ms} that each core was idle between two looks of `cores`.

    Whoever spins, of any priority, leaves none: time passes as nobody's only while all wait.
    """
    then = {row["core"]: int(row["idle ms"]) for row in before}
    return {row["core"]: int(row["idle ms"]) - then[row["core"]] for row in after}
