"""The stack in its driver's domain. `make test-placements` runs all tests of the network so."""
import re

from clients import connect, datagrams, get, pattern, read_exactly

PORTS = "tcp:7,udp:7"


def test_the_stack_in_its_drivers_domain_serves(boot):
    guest = boot(CORES=2, PLACE="netd:e1000", FORWARD=PORTS)
    guest.wait_until_it_serves()
    assert re.search(r"e1000-netd drives", guest.text)
    assert not re.search(r"\bnetd starts|\be1000 drives", guest.text)
    status, _, body = get(("127.0.0.1", guest.port("tcp:80")), "/bytes/300000")
    assert status == 200 and body == pattern(0, 300000)
    with connect(("127.0.0.1", guest.port("tcp:7"))) as stream:
        for size in (1, 1460, 60000):
            stream.sendall(pattern(0, size))
            assert read_exactly(stream, size) == pattern(0, size)
    with datagrams(("127.0.0.1", guest.port("udp:7"))) as socket:
        for number in range(100):
            socket.send(b"%d" % number * 100)
            assert socket.recv(2048) == b"%d" % number * 100
