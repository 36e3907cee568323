"""Sockets of the guest, driven by the socket agent (UDP 9099, TEST=1), with Linux as the peer."""
import contextlib
import itertools
import select
import socket
import struct
import time
import zlib

import pytest
from clients import TIMEOUT, datagrams, pattern, read_all, read_exactly
from namespace import GUEST, HOST

IP_RECVTTL = 12  # linux/in.h; Python has no name for it


class Error(Exception):
    pass


class Agent:
    """One verb a call; a request is sent again until its answer comes."""

    def __init__(self, address):
        self.socket = datagrams(address)
        self.socket.settimeout(2)
        self.ids = itertools.count(1)

    def raw(self, text):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            self.socket.send(text.encode())
            with contextlib.suppress(TimeoutError):
                answer = self.socket.recv(4096).decode()
                if answer.split()[0] == text.split()[0]:
                    return answer
        raise AssertionError(f"no answer to {text}")

    def ask(self, *words):
        """(value, text)"""
        answer = self.raw(" ".join(map(str, (next(self.ids), *words)))).split(" ", 3)
        if answer[2] != "OK":
            raise Error(answer[2])
        return int(answer[1]), answer[3] if len(answer) > 3 else ""

    def value(self, *words):
        return self.ask(*words)[0]

    def refused(self, *words):
        with pytest.raises(Error) as caught:
            self.ask(*words)
        return str(caught.value)

    def wait(self, handle, letters):
        """Until one of the letters shows; returns all that do."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            ready = self.ask("poll", handle)[1]
            if set(letters) & set(ready):
                return ready
        raise AssertionError(f"{handle} never became {letters}")


@pytest.fixture
def agent(tapped):
    with tapped.space.entered():
        agent = Agent((GUEST, 9099))
    assert agent.ask("hello") == (1, "netsvc-agent 1")
    agent.ask("reset")
    yield agent
    if tapped.process.poll() is None:  # after a failure the guest is gone
        agent.ask("reset")
    agent.socket.close()


@pytest.fixture
def peer(tapped):
    """A listening socket of Linux."""
    with tapped.space.entered():
        listener = socket.create_server((HOST, 0))
    listener.settimeout(TIMEOUT)
    yield listener
    listener.close()


def connected(agent, peer):
    handle = agent.value("socket", "tcp")
    assert agent.refused("connect", handle, HOST, peer.getsockname()[1]) == "EINPROGRESS"
    assert agent.wait(handle, "oe") == "o"
    stream, _ = peer.accept()
    stream.settimeout(TIMEOUT)
    return handle, stream


def listening(agent, port, *options):
    handle = agent.value("socket", "tcp")
    for name, value in options:
        agent.ask("setopt", handle, name, value)
    agent.ask("bind", handle, "0.0.0.0", port)
    agent.ask("listen", handle, 5)
    return handle


def shown(data):
    return f"{zlib.crc32(data):08x} {data[:512].hex()}".strip()


def test_a_request_that_comes_again_has_the_same_answer(agent):
    first = agent.raw("again-1 socket tcp")
    assert first.split()[2] == "OK"
    assert agent.raw("again-1 socket tcp") == first
    assert agent.raw("again-2 socket tcp") != first.replace("again-1", "again-2")


def test_a_stream_to_linux_and_back_with_half_close(agent, peer):
    handle, stream = connected(agent, peer)
    agent.ask("connect", handle, HOST, 1)  # says that the first one was carried out
    assert agent.refused("connect", handle, HOST, 1) == "EISCONN"
    assert agent.ask("peer", handle) == (0, f"{HOST} {peer.getsockname()[1]}")
    assert agent.value("send", handle, 3000) == 3000
    assert read_exactly(stream, 3000) == pattern(0, 3000)
    stream.sendall(pattern(5, 700))
    agent.wait(handle, "i")
    assert agent.ask("recv", handle, 1000) == (700, shown(pattern(5, 700)))
    stream.shutdown(socket.SHUT_WR)
    agent.wait(handle, "i")
    assert agent.value("recv", handle, 1000) == 0
    assert agent.value("send", handle, 10, 3000) == 10
    agent.ask("close", handle)
    assert read_all(stream) == pattern(3000, 10)
    stream.close()


def test_connections_are_accepted_and_resets_are_told(agent, tapped):
    listener = listening(agent, 8000)
    assert agent.refused("accept", listener) == "EAGAIN"
    with tapped.space.entered():
        stream = socket.create_connection((GUEST, 8000), timeout=TIMEOUT)
    assert agent.wait(listener, "i") == "i"
    handle, text = agent.ask("accept", listener)
    assert text == f"{HOST} {stream.getsockname()[1]}"
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()
    assert agent.wait(handle, "e") == "ioeh"
    assert agent.value("getopt", handle, "error") == 104
    assert agent.value("recv", handle, 1) == 0
    assert agent.refused("send", handle, 1) == "EPIPE"


def test_lingering_for_no_time_resets_the_peer(agent, peer):
    handle, stream = connected(agent, peer)
    agent.ask("linger", handle, 0)
    agent.ask("close", handle)
    with pytest.raises(ConnectionResetError):
        stream.recv(1)


def test_refusals_come_back_as_errors_of_the_socket(agent, peer):
    port = peer.getsockname()[1]
    peer.close()
    stream = agent.value("socket", "tcp")
    with contextlib.suppress(Error):
        agent.ask("connect", stream, HOST, port)
    assert agent.wait(stream, "e") == "ioeh"
    assert agent.value("getopt", stream, "error") == 111
    sender = agent.value("socket", "udp")
    agent.ask("connect", sender, HOST, port)
    assert agent.value("send", sender, 9) == 9
    assert agent.wait(sender, "e") == "oe"
    assert agent.refused("recv", sender, 9) == "ECONNREFUSED"


def test_urgent_data_go_both_ways(agent, peer):
    handle, stream = connected(agent, peer)
    stream.send(b"abcU", socket.MSG_OOB)
    assert "p" in agent.wait(handle, "p")
    assert agent.ask("recv", handle, 1, "oob") == (1, shown(b"U"))
    assert agent.ask("recv", handle, 9) == (3, shown(b"abc"))
    assert agent.value("send", handle, 4, 0, "oob") == 4
    assert read_exactly(stream, 3) == pattern(0, 3)
    assert select.select([], [], [stream], TIMEOUT)[2]  # recv would wait for what is in line
    stream.setblocking(False)
    assert stream.recv(1, socket.MSG_OOB) == pattern(3, 1)


def test_a_window_closes_and_opens(agent, peer):
    handle, stream = connected(agent, peer)
    stream.setblocking(False)
    sent = 0
    while agent.value("inq", handle) < 60000:
        with contextlib.suppress(BlockingIOError):
            sent += stream.send(pattern(sent, 4096))
    stream.settimeout(TIMEOUT)
    got = 0
    while got < sent:
        agent.wait(handle, "i")
        value, text = agent.ask("recv", handle, 65536)
        assert text == shown(pattern(got, value))
        got += value


def test_type_of_service_and_time_to_live_are_sent(agent, tapped):
    with tapped.space.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((HOST, 0))
        receiver.settimeout(TIMEOUT)
        receiver.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sender = agent.value("socket", "udp")
        agent.ask("setopt", sender, "ttl", 7)
        agent.ask("setopt", sender, "tos", 0x28)
        agent.ask("sendto", sender, HOST, receiver.getsockname()[1], 100)
        data, about, _, _ = receiver.recvmsg(2000, 200)
        assert data == pattern(0, 100)
        fields = {kind: value[0] for _, kind, value in about}
        assert fields == {socket.IP_TTL: 7, socket.IP_TOS: 0x28}


def test_a_segment_is_as_small_as_asked(agent, tapped):
    listening(agent, 8001, ("mss", 600))
    with tapped.space.entered():
        stream = socket.create_connection((GUEST, 8001), timeout=TIMEOUT)
    # Linux takes its timestamps off.
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 600
    stream.close()
