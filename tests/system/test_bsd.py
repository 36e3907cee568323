"""A program written for BSD's sockets (tests/hostile/usr/ported), with Linux's as the peers."""
from clients import connect, datagrams, read_all, read_exactly, spawn


def test_a_ported_program_serves_many_at_a_time_and_ends(guest):
    spawn(guest, "ported on 1")
    guest.expect(r"ported\] ported serves\n")
    address = ("127.0.0.1", guest.port("tcp:7007"))
    with datagrams(("127.0.0.1", guest.port("udp:7007"))) as letters:
        letters.send(b"a letter")
        assert letters.recv(100) == b"a letter"
    streams = [connect(address) for _ in range(8)]
    for turn in range(3):
        for number, stream in reversed(list(enumerate(streams))):
            stream.sendall(bytes([turn, number]) * 1000)
        for number, stream in enumerate(streams):
            assert read_exactly(stream, 2000) == bytes([turn, number]) * 1000
    for stream in streams[1:]:
        stream.close()
    with streams[0] as last:
        last.sendall(b"q")
        assert read_all(last) == b""
    guest.expect(r"domain ported ended with code 42\n")
