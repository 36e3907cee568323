"""The guest as a router: two cards, each in a network namespace of its own, one boot."""
import hashlib
import os
import re

import pytest
from clients import TIMEOUT
from conftest import wait_until_ready
from namespace import GUEST, HOST, Namespace, missing, read_until
from scapy.layers.inet import ICMP, IP
from skerry import Skerry
from test_tap import Wire

RIGHT, GUEST_RIGHT, BEHIND = "10.78.0.1", "10.78.0.2", "10.99.0.1"
WAIT = str(TIMEOUT)


class Router:
    """`left` and `right` reach each other through the guest only."""

    def __init__(self):
        self.left = Namespace(f"skleft{os.getpid()}")
        self.right = Namespace(f"skright{os.getpid()}", tap="")
        self.guest = None
        try:
            self.left.run("ip", "tuntap", "add", "dev", "tap1", "mode", "tap")
            self.left.run("ip", "link", "set", "dev", "tap1", "up")
            settings = {**self.left.settings(), "NICS": 2, "TAP2": "tap1"}
            self.guest = wait_until_ready(Skerry("router", CORES=4, **settings))
            self.guest.wait_for(r"nic\.1 joins", 60)
            self.join_right()
        except BaseException:
            self.close()
            raise

    def join_right(self):
        self.left.run("ip", "link", "set", "dev", "tap1", "netns", self.right.name)
        self.right.run("ip", "addr", "add", f"{RIGHT}/24", "dev", "tap1")
        self.right.run("ip", "addr", "add", f"{BEHIND}/32", "dev", "lo")
        self.right.run("ip", "link", "set", "dev", "tap1", "up")
        self.right.run("ip", "route", "add", "default", "via", GUEST_RIGHT)
        self.left.run("ip", "route", "add", "10.78.0.0/24", "via", GUEST)
        self.left.run("ip", "route", "add", "10.99.0.0/16", "via", GUEST)

    def ping(self, *words, check=True):
        return self.left.ping(*words, check=check)

    def close(self):
        if self.guest:
            self.guest.stop()
        self.right.close()
        self.left.close()


@pytest.fixture(scope="module")
def router():
    if why := missing():
        pytest.skip(why)
    router = Router()
    yield router
    router.close()


def test_a_ping_goes_through_with_one_hop_less(router):
    assert "ttl=63" in router.ping(RIGHT)
    assert "ttl=63" in router.right.ping(HOST)


def test_a_datagram_in_fragments_goes_through(router):
    assert "1 received" in router.ping("-s", "20000", RIGHT)


def test_curl_fetches_a_file_from_the_other_side(router, tmp_path):
    data = os.urandom(1 << 20)
    (tmp_path / "file").write_bytes(data)
    server = router.right.popen(
        "python3", "-u", "-m", "http.server", "8000", "--bind", RIGHT, "-d", str(tmp_path),
        stdout=-1, stderr=-2,
    )  # fmt: skip
    try:
        read_until(server.stdout, b"Serving HTTP")
        got = tmp_path / "got"
        router.left.run("curl", "-sS", "-m", WAIT, "-o", str(got), f"http://{RIGHT}:8000/file")
        assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(data).digest()
    finally:
        server.kill()
        server.wait()


def test_the_guest_itself_is_reached_by_either_address_from_either_side(router):
    for space in (router.left, router.right):
        for address in (GUEST, GUEST_RIGHT):
            page = space.run("curl", "-sS", "-m", WAIT, f"http://{address}/about.html").stdout
            assert "<html" in page.lower()


def test_the_last_hop_and_a_silent_neighbour_are_told(router):
    text = router.ping("-t", "1", RIGHT, check=False)
    assert re.search(rf"From {GUEST}\b.*Time to live exceeded", text)
    text = router.ping("10.78.0.77", check=False)
    assert re.search(rf"From {GUEST}\b.*Destination Host Unreachable", text)


def test_a_route_by_hand_leads_on_until_it_is_taken_out(router):
    guest = router.guest
    guest.command(f"route add 10.99.0.0/16 via {RIGHT}")
    assert re.search(rf"10\.99\.0\.0/16\s+{RIGHT}\s+nic\.1\s+fixed\s+used", guest.command("route"))
    assert "ttl=63" in router.ping(BEHIND)
    guest.command("route del 10.99.0.0/16")
    assert "10.99.0.0" not in guest.command("route")
    # Now the default route is the longest that matches, back to where it came from.
    wire = Wire(router.left)
    wire.send(wire.ether() / IP(src=HOST, dst=BEHIND) / ICMP())
    redirect = wire.expect(lambda p: ICMP in p and p[ICMP].type == 5)
    assert redirect[ICMP].gw == HOST
    wire.socket.close()


def test_the_stack_goes_on_without_its_routing_service(router):
    router.guest.command("kill routed")
    assert "1 received" in router.ping(RIGHT)
    router.guest.command("restart routed")
    router.guest.wait_for(r"routing table written", 60)
    assert "1 received" in router.ping(RIGHT)
