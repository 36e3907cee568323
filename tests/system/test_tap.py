"""The stack over a TAP in a namespace of the tests' own: ping, and packets that no client sends.

A raw socket sends what scapy wrote and reads what the guest answers. Bad input must be counted
under its own reason, answered or not as the RFCs say, and never disturb what follows.
"""
import contextlib
import random
import re
import socket
import struct
import subprocess
import time

import pytest
from clients import (
    TIMEOUT,
    Crowd,
    checked_upload,
    connect,
    counters,
    datagrams,
    get,
    http,
    pattern,
    read_all,
    udp_echo,
)
from conftest import wait_until_ready
from namespace import GUEST, HOST, read_until
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from skerry import LONG, PATIENCE, seed
from test_network import wrk

GUEST_MAC = "52:54:00:77:00:02"
MIB = 1 << 20


class Wire:
    """Frames to and from the guest, past the host's own stack."""

    def __init__(self, space):
        with space.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((space.tap, 0))
        self.mac = self.socket.getsockname()[4].hex(":")

    def send(self, packet):
        self.socket.send(bytes(packet))

    def ether(self, **fields):
        return Ether(**{"src": self.mac, "dst": GUEST_MAC, **fields})

    def ip(self, **fields):
        return self.ether() / IP(**{"src": HOST, "dst": GUEST, **fields})

    def expect(self, wanted, timeout=60):
        """The first frame from the guest for which `wanted` holds."""
        end = time.monotonic() + timeout * PATIENCE
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                packet = Ether(self.socket.recv(65536))
                if packet.src == GUEST_MAC and wanted(packet):
                    return packet
        raise AssertionError("the guest did not answer")

    def echo_works(self, number=0):
        """A ping of ours comes back: everything sent before it has been looked at."""
        number = number or random.getrandbits(16)
        self.send(self.ip() / ICMP(id=number, seq=7) / b"are you there")
        self.expect(lambda p: ICMP in p and p[ICMP].type == 0 and p[ICMP].id == number)


@pytest.fixture
def wire(tapped):
    wire = Wire(tapped.space)
    yield wire
    wire.socket.close()


@pytest.fixture
def udp(tapped):
    with tapped.space.entered():
        sock = datagrams((GUEST, 7))
    yield sock
    sock.close()


def test_ping_of_the_host_finds_every_answer(tapped):
    rounds = 100 if LONG else 10
    text = tapped.space.ping("-c", str(rounds), "-i", "0.05", GUEST)
    assert f"{rounds} packets transmitted, {rounds} received, 0% packet loss" in text


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 9000, 65507])
def test_ping_of_any_size(tapped, size):
    text = tapped.space.ping("-s", str(size), GUEST)
    assert "1 received" in text


def test_the_guest_pings_the_host(tapped):
    assert "3 sent, 3 answered" in tapped.command(f"ping {HOST} 3")


def test_the_host_learns_the_hardware_address(tapped):
    tapped.space.run("ip", "neigh", "flush", "dev", tapped.space.tap)
    tapped.space.ping(GUEST)
    assert GUEST_MAC in tapped.space.run("ip", "neigh", "show", GUEST).stdout


def test_the_given_address_is_used(tapped):
    text = tapped.command("ifconfig")
    assert f"{GUEST}/24" in text and "given" in text and f"gateway {HOST}" in text


SIZES = [0, 1, 17, 18, 19, 1471, 1472, 1473, 2952, 2953, 8192, 32767, 65506, 65507]


@pytest.mark.parametrize("size", SIZES)
def test_datagrams_up_to_the_largest_come_back(udp, size):
    udp.send(pattern(0, size))
    assert udp.recv(65536) == pattern(0, size)


def test_datagrams_in_a_closed_loop_are_never_lost(udp):
    rounds = 10000 if LONG else 1000
    assert udp_echo(udp, rounds) == rounds


def test_every_size_around_the_fragment_limit(udp):
    for size in range(1440, 1500) if LONG else range(1465, 1480):
        udp.send(pattern(size, size))
        assert udp.recv(65536) == pattern(size, size)


def test_a_page_and_a_transfer_each_way(tapped):
    size = 64 * MIB if LONG else 2 * MIB
    with tapped.space.entered():
        assert get((GUEST, 80), "/")[0] == 200
        assert get((GUEST, 80), f"/bytes/{size}")[2] == pattern(0, size)
        said, expected = checked_upload((GUEST, 5001), size)
    assert said == expected


def leave_by_reset(stream):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


# User networking accepts one connection at a time and lets the next ones wait for a second.
def test_a_hundred_connections_at_once_are_all_served(tapped):
    request = b"GET /bytes/10 HTTP/1.1\r\nHost: skerry\r\n\r\n"
    with tapped.space.entered():
        streams = [connect((GUEST, 80)) for _ in range(100)]
    for stream in streams[:50]:
        stream.close()
    for stream in streams[50:]:
        assert http(stream, request)[2] == pattern(0, 10)
        stream.close()


def test_hundreds_of_silent_connections_keep_nobody_waiting(tapped):
    """More of each service than it has memory to serve at once; all are there to the end."""
    request = b"GET /bytes/10 HTTP/1.1\r\nHost: skerry\r\n\r\n"
    count = 1000 if LONG else 250
    with contextlib.ExitStack() as all_open, tapped.space.entered():
        echoes = [all_open.enter_context(connect((GUEST, 7))) for _ in range(count)]
        pages = [all_open.enter_context(connect((GUEST, 80))) for _ in range(count)]
        for turn in (b"one", b"two"):
            for stream in reversed(echoes):
                stream.sendall(turn)
                assert stream.recv(100) == turn
            for stream in pages:
                assert http(stream, request)[2] == pattern(0, 10)
        assert get((GUEST, 80), "/bytes/3")[2] == pattern(0, 3)


def left_of(guest):
    """What the stack still has for connections, blocks and bytes; not those in TIME-WAIT."""
    found = counters(guest)
    return found.get("tcp_blocks_held", 0), found.get("tcp_bytes_held", 0)


def wait_for_memory(guest, held):
    """Until the last of what was closed has come to its end."""
    end = time.monotonic() + TIMEOUT
    while (now := left_of(guest)) > held:
        assert time.monotonic() < end, f"{now} are held, {held} at the start"


def test_thousands_of_connections_at_once_are_all_heard(tapped):
    count = 10000 if LONG else 500
    before = left_of(tapped)
    with tapped.space.entered(), contextlib.closing(Crowd((GUEST, 7), count)) as crowd:
        for turn in (b"one", b"two"):
            crowd.echo(turn)
        assert left_of(tapped)[0] >= count
    wait_for_memory(tapped, before)


def test_connections_one_after_another_leave_nothing_behind(tapped):
    """Half of them end in TIME-WAIT on the guest, more than it has room for, half on the host."""
    count = 50000 if LONG else 500
    tapped.space.run("sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1")
    before = left_of(tapped)
    with tapped.space.entered():
        for _ in range(count):
            with connect((GUEST, 13)) as stream:
                assert read_all(stream).startswith(b"Skerry")
            with connect((GUEST, 7)) as stream:
                stream.sendall(b"hello")
                assert stream.recv(100) == b"hello"
    wait_for_memory(tapped, before)
    with tapped.space.entered():
        assert get((GUEST, 80), "/bytes/10")[2] == pattern(0, 10)


def test_resets_in_the_middle_free_the_service_for_the_next(tapped):
    with tapped.space.entered():
        for _ in range(100):
            stream = connect((GUEST, 5001))
            stream.sendall(pattern(0, 1000))
            leave_by_reset(stream)
        said, expected = checked_upload((GUEST, 5001), 1000)
    assert said == expected


def test_sixteen_clients_at_once_see_no_error(tapped):
    wrk(f"http://{GUEST}/bytes/100", "ip", "netns", "exec", tapped.space.name)


# -- answers that the RFCs ask for --


def test_arp_requests_are_answered_to_the_asker(wire):
    wire.send(wire.ether(dst="ff:ff:ff:ff:ff:ff")
              / ARP(op=1, hwsrc=wire.mac, psrc=HOST, pdst=GUEST))  # fmt: skip
    answer = wire.expect(lambda p: ARP in p and p[ARP].op == 2)
    assert (answer.dst, answer[ARP].hwsrc, answer[ARP].psrc) == (wire.mac, GUEST_MAC, GUEST)


def test_udp_to_a_closed_port_is_unreachable(wire):
    wire.send(wire.ip(id=4711) / UDP(sport=5000, dport=6) / b"anybody")
    answer = wire.expect(lambda p: ICMP in p and p[ICMP].type == 3)
    quoted = IP(bytes(answer[ICMP].payload))
    assert answer[ICMP].code == 3
    assert (quoted.id, quoted[UDP].sport, quoted[UDP].dport) == (4711, 5000, 6)


def test_tcp_to_a_closed_port_is_reset(wire):
    wire.send(wire.ip() / TCP(sport=5001, dport=6, seq=1000, flags="S"))
    answer = wire.expect(lambda p: TCP in p and p[TCP].dport == 5001)
    assert answer[TCP].flags == "RA" and answer[TCP].ack == 1001  # RFC 9293 3.10.7.1


def test_a_segment_out_of_nowhere_is_reset(wire):
    wire.send(wire.ip() / TCP(sport=5002, dport=80, seq=5, ack=777, flags="A"))
    answer = wire.expect(lambda p: TCP in p and p[TCP].dport == 5002)
    assert answer[TCP].flags == "R" and answer[TCP].seq == 777


def test_a_reset_out_of_nowhere_is_not_answered(wire):
    wire.send(wire.ip() / TCP(sport=5003, dport=80, seq=5, flags="R"))
    wire.send(wire.ip() / TCP(sport=5004, dport=6, seq=5, flags="S"))
    first = wire.expect(lambda p: TCP in p and p[TCP].dport in (5003, 5004))
    assert first[TCP].dport == 5004


def test_an_unknown_protocol_is_unreachable(wire):
    wire.send(wire.ip(proto=200) / Raw(b"?" * 16))
    answer = wire.expect(lambda p: ICMP in p and p[ICMP].type == 3)
    assert answer[ICMP].code == 2


def test_ip_options_are_stepped_over(wire):
    number = random.getrandbits(16)
    with_options = IP(src=HOST, dst=GUEST, options=[b"\x01"] * 8)
    wire.send(wire.ether() / with_options / ICMP(id=number) / b"with options")
    answer = wire.expect(lambda p: ICMP in p and p[ICMP].type == 0 and p[ICMP].id == number)
    assert bytes(answer[ICMP].payload)[:12] == b"with options"


@pytest.mark.parametrize("order", ["forwards", "backwards", "twice"])
def test_fragments_in_any_order_make_a_datagram(wire, order):
    data = pattern(3, 4000)
    pieces = fragment(IP(src=HOST, dst=GUEST, id=random.getrandbits(16))
                      / UDP(sport=5005, dport=7) / data, fragsize=800)  # fmt: skip
    pieces = {"forwards": pieces, "backwards": pieces[::-1], "twice": pieces[:2] + pieces}[order]
    for piece in pieces:
        wire.send(wire.ether() / piece)
    answers = {}
    while sum(len(bytes(p[IP].payload)) for p in answers.values()) < 4008:
        piece = wire.expect(lambda p: IP in p and p[IP].proto == 17)
        answers[piece[IP].frag] = piece
    joined = b"".join(bytes(answers[at][IP].payload)[: answers[at][IP].len - 20]
                      for at in sorted(answers))  # fmt: skip
    assert joined[8:] == data


# -- bad input: each is counted under its reason --


def tcp(dport=80, **fields):
    return TCP(sport=5006, dport=dport, seq=1, **fields)


BAD = {
    "ethernet_unknown_type": lambda w: w.ether(type=0x88B5) / (b"x" * 50),
    "ethernet_bad_source": lambda w: w.ether(src=GUEST_MAC) / IP(src=HOST, dst=GUEST) / ICMP(),
    "arp_bad_format": lambda w: w.ether() / ARP(hwtype=6, hwsrc=w.mac, psrc=HOST, pdst=GUEST),
    "arp_bad_operation": lambda w: w.ether() / ARP(op=9, hwsrc=w.mac, psrc=HOST, pdst=GUEST),
    "arp_not_for_us": lambda w: w.ether() / ARP(op=1, hwsrc=w.mac, psrc=HOST, pdst="10.77.0.9"),
    "ip_bad_version": lambda w: w.ip(version=5) / ICMP(),
    "ip_bad_header_length": lambda w: w.ip(ihl=3, len=60) / ICMP(),
    "ip_bad_total_length": lambda w: w.ip(len=10) / ICMP(),
    "ip_bad_checksum": lambda w: w.ip(chksum=0x1234) / ICMP(),
    "ip_truncated": lambda w: w.ip(len=1400) / ICMP(),
    "ip_martian_source": lambda w: w.ip(src="127.0.0.1") / ICMP(),
    "ip_not_for_us": lambda w: w.ip(dst="10.77.0.99") / ICMP(),
    "ip_source_route": lambda w: w.ip(options=[b"\x83\x07\x04\x0a\x4d\x00\x09", b"\x00"]) / ICMP(),
    "ip_bad_option": lambda w: w.ip(options=[b"\x44\x01\x05\x00"]) / ICMP(),
    "fragment_bad": lambda w: w.ip(proto=17, frag=8191) / Raw(b"x" * 1000),
    "icmp_bad_checksum": lambda w: w.ip() / ICMP(chksum=1) / b"x",
    "icmp_unknown_type": lambda w: w.ip() / ICMP(type=99) / b"x",
    "icmp_unmatched_reply": lambda w: w.ip() / ICMP(type=0, id=9) / b"x",
    "icmp_bad_quote": lambda w: w.ip() / ICMP(type=3, code=3) / b"short",
    "icmp_truncated": lambda w: w.ip(proto=1, len=24) / Raw(b"\x08\x00\x00\x00"),
    "udp_truncated": lambda w: w.ip(proto=17, len=24) / Raw(b"\x00\x07\x00\x07"),
    "udp_bad_length": lambda w: w.ip() / UDP(dport=7, len=4000) / b"x",
    "udp_bad_checksum": lambda w: w.ip() / UDP(dport=7, chksum=0x1111) / b"x",
    "udp_no_port": lambda w: w.ip() / UDP(dport=6) / b"x",
    "tcp_truncated": lambda w: w.ip(proto=6, len=30) / Raw(b"\x00" * 10),
    "tcp_bad_offset": lambda w: w.ip() / tcp(flags="S", dataofs=2),
    "tcp_bad_checksum": lambda w: w.ip() / tcp(flags="S", chksum=0x2222),
    "tcp_bad_flags": lambda w: w.ip() / tcp(flags="SF"),
    "tcp_bad_option": lambda w: w.ip() / tcp(flags="S", dataofs=6) / b"\x02\x01\x00\x00",
    "tcp_no_connection": lambda w: w.ip() / tcp(dport=6, flags="A"),
}


def test_bad_packets_are_counted_by_reason_and_disturb_nobody(tapped, wire):
    before = counters(tapped)
    for make in BAD.values():
        wire.send(make(wire))
    wire.echo_works()
    after = counters(tapped)
    missing = [name for name in BAD if after.get(name, 0) <= before.get(name, 0)]
    assert not missing, (missing, {k: after[k] - before.get(k, 0) for k in after})
    with tapped.space.entered():
        assert get((GUEST, 80), "/bytes/100")[2] == pattern(0, 100)


def mutations(wire, seed, count):
    """Packets of every kind with some bytes changed, checksums mostly left wrong or mended."""
    chance = random.Random(seed)
    kinds = [lambda: wire.ip() / ICMP() / b"data", lambda: wire.ip() / UDP(dport=7) / b"data",
             lambda: wire.ip() / tcp(flags=chance.randrange(256)) / b"data",
             lambda: wire.ether() / ARP(hwsrc=wire.mac, psrc="10.77.0.200", pdst=GUEST),
             lambda: wire.ip(flags=1, frag=chance.randrange(99), proto=17) / (b"piece" * 20)]
    for _ in range(count):
        data = bytearray(bytes(chance.choice(kinds)()))
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(12, len(data))] = chance.randrange(256)
        yield bytes(data[: chance.randrange(14, len(data) + 1)] if chance.random() < 0.2 else data)


def test_random_damage_never_stops_the_stack(tapped, wire):
    for number, data in enumerate(mutations(wire, seed(), 20000 if LONG else 1000)):
        wire.send(data)
        if number % 50 == 49:
            wire.echo_works()
    with tapped.space.entered():
        assert get((GUEST, 80), "/")[0] == 200
    tapped.says_nothing_like(r"netd on core \d+ faulted|domain netd says")


def test_a_hundred_half_open_connections_leave_room_for_a_real_one(tapped, wire):
    for i in range(100):
        wire.send(wire.ip(src=f"10.77.0.{10 + i % 50}") / TCP(sport=1024 + i, dport=80, flags="S"))
    wire.echo_works()
    half_open = r"^tcp\s+10\.77\.0\.2:80\s+10\.77\.0\.10:1024\s+SYN"
    assert re.search(half_open, tapped.command("netstat"), re.M)
    with tapped.space.entered():
        assert get((GUEST, 80), "/bytes/100")[2] == pattern(0, 100)


def test_dhcp_that_nobody_answers_falls_back_to_the_agreed_address(boot, namespace):
    alone = wait_until_ready(boot(CORES=1, **namespace.settings(static=False)))
    assert re.search(rf"{re.escape(GUEST)}/24\s+\(fall-back\)", alone.command("ifconfig"))
    with namespace.entered():
        assert get((GUEST, 80), "/")[0] == 200


@contextlib.contextmanager
def dnsmasq(space):
    """Gives addresses for two minutes, to be renewed after five seconds, and knows some names."""
    many = [f"--host-record=many.test,10.2.0.{i}" for i in range(1, 61)]
    server = space.popen(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=",
        "--log-facility=-", "--log-dhcp", "--dhcp-leasefile=/dev/null", "--no-resolv", "--no-hosts",
        f"--interface={space.tap}", "--bind-interfaces", "--dhcp-range=10.77.0.50,10.77.0.60,2m",
        "--dhcp-option-force=58,5", "--local=/test/", "--host-record=real.test,10.1.2.3",
        "--cname=www.test,real.test", *many,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def test_a_lease_is_taken_renewed_and_its_name_server_asked(boot, namespace):
    with dnsmasq(namespace) as server:
        guest = wait_until_ready(
            boot(CORES=1, NIC="e1000e", NET="tap", TAP="tap0", NETNS=namespace.name)
        )
        assert re.search(r"10\.77\.0\.5\d/24\s+\(DHCP\)", guest.command("ifconfig"))
        text = guest.command("host www.test")
        assert "www.test is real.test" in text and "real.test has address 10.1.2.3" in text
        # Too many for a datagram: they come over TCP.
        assert guest.command("host many.test").count("many.test has address 10.2.0.") == 8
        assert "nobody.test has no address" in guest.command("host nobody.test")
        assert "cannot be looked up" in guest.command("host www.test 10.77.0.99")
        for _ in range(2):  # the second is a renewal, by unicast
            read_until(server.stderr, b"DHCPACK")
        assert "10.77.0.5" in guest.command("ifconfig")


def test_two_guests_on_two_networks_at_once(tapped, boot, namespace):
    other = wait_until_ready(boot(CORES=1, NIC="e1000-82545em", **namespace.settings()))
    for space in (namespace, tapped.space):
        with space.entered():
            assert get((GUEST, 80), "/bytes/10")[2] == pattern(0, 10)
    assert other.process.poll() is None
