"""The network stack as a process of Linux (tools/tapstack), with the tests' TAP and clients."""
import contextlib
import os
import signal
import subprocess

import pytest
from clients import checked_upload, connect, datagrams, pattern, read_exactly
from namespace import GUEST, read_until
from skerry import BUILD
from test_agent import Agent

TAPSTACK = os.path.join(BUILD, "tapstack/tapstack")


@pytest.fixture
def started(namespace):
    """started(SETTING...) runs it in the namespace until it serves."""
    with contextlib.ExitStack() as ended:

        def start(*settings):
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = namespace.popen(TAPSTACK, namespace.tap, *settings, **pipes)
            ended.callback(process.wait)
            ended.callback(process.kill)
            read_until(process.stderr, b"serving on")
            return process

        yield start


def test_it_serves_a_real_peer_and_says_what_it_dropped(namespace, started):
    process = started(f"ip={GUEST}/24", "seed=7")
    assert "1 received" in namespace.ping(GUEST)
    with namespace.entered():
        with connect((GUEST, 7)) as stream:
            stream.sendall(b"x" * 100_000)
            assert read_exactly(stream, 100_000) == b"x" * 100_000
        with connect((GUEST, 19)) as stream:
            assert read_exactly(stream, 300_000) == pattern(0, 300_000)
        said, wanted = checked_upload((GUEST, 5001), 1 << 20)
        assert said == wanted
        assert Agent((GUEST, 9099)).value("hello") == 1
        with datagrams((GUEST, 4)) as nobody, pytest.raises(ConnectionRefusedError):
            nobody.send(b"is there anybody")
            nobody.recv(1)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert out.startswith(b"frames: ")
    assert b"udp_no_port: 1 (" in out


@pytest.mark.parametrize("words, why", [
    (["tap0", "colour=1"], "no setting is called colour"),
    (["tap0", "ip=10.77"], "not a value of ip: 10.77"),
    (["a-name-that-is-too-long"], "'a-name-that-is-too-long' is no name of a device"),
])  # fmt: skip
def test_what_it_cannot_use_it_names(words, why):
    done = subprocess.run([TAPSTACK, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"tapstack: {why}\n")
