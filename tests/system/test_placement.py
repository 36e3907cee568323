"""The stack in the domain of its driver, and of an application. `make test-placements` runs all
tests of the network so."""
import re

import pytest
from clients import connect, datagrams, get, pattern, read_exactly

PORTS = "tcp:7,udp:7"


@pytest.mark.parametrize("place, says, says_not", [
    ("netd:e1000", r"e1000-netd drives", r" netd starts| e1000 drives"),
    ("netd:netsvc", r"netsvc-netd starts", r" netd starts| netsvc starts"),
    ("netd:httpd", r"httpd-netd starts", r" netd starts| httpd starts"),
])  # fmt: skip
def test_the_stack_in_anothers_domain_serves(boot, place, says, says_not):
    guest = boot(CORES=2, PLACE=place, FORWARD=PORTS)
    guest.wait_until_it_serves()
    assert re.search(says, guest.text)
    assert not re.search(says_not, guest.text)
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


def test_a_place_with_nobody_to_share_it_is_told(boot):
    guest = boot(CORES=2, PLACE="netd:shell", FORWARD=PORTS)
    guest.wait_until_it_serves()
    assert "netd has a domain of its own: there is no shell-netd" in guest.text
