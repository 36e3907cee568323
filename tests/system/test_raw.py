"""Whole packets from and to the wire, for a domain that may (tests/hostile/usr/sniffer)."""
from clients import spawn
from conftest import wait_until_ready
from namespace import GUEST
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from skerry import image_with
from test_tap import Wire

OSPF, LOCAL_EXPERIMENT = 89, 0x88B5


def test_a_domain_with_control_sees_and_sends_whole_packets(boot, namespace):
    guest = wait_until_ready(boot(CORES=2, ISO=image_with(), **namespace.settings()))
    wire = Wire(namespace)
    wire.send(wire.ip(proto=OSPF) / Raw(b"hello"))
    refused = wire.expect(lambda p: ICMP in p and p[ICMP].type == 3)
    assert refused[ICMP].code == 2, "protocol unreachable, as nobody asked for it"
    spawn(guest, f"sniffer on 1 ip {OSPF}")
    guest.expect(r"sniffer listens\n")
    wire.send(wire.ip(proto=OSPF) / Raw(b"hello"))
    answer = wire.expect(lambda p: IP in p and p[IP].proto in (1, OSPF))
    assert answer[IP].proto == OSPF and answer[IP].src == GUEST
    assert bytes(answer[IP].payload)[:5] == b"hello"
    spawn(guest, f"sniffer on 0 frame {LOCAL_EXPERIMENT}")
    guest.expect(r"sniffer listens\n")
    wire.send(Ether(src=wire.mac, dst="52:54:00:77:00:02", type=LOCAL_EXPERIMENT) / Raw(b"x" * 60))
    back = wire.expect(lambda p: p.type == LOCAL_EXPERIMENT)
    assert back.dst == wire.mac and bytes(back.payload)[:60] == b"x" * 60
    wire.echo_works()
    wire.socket.close()
