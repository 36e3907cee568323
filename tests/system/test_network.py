"""The services by user networking: clients nobody here wrote, and sockets that misbehave."""
import re
import socket
import struct
import subprocess
import zlib
from http.client import HTTPConnection

import pytest
from clients import (
    TIMEOUT, checked_upload, connect, datagrams, domains, get, http, http_answer, pattern,
    read_all, read_exactly, udp_echo,
)  # fmt: skip
from skerry import LONG

REQUEST = b"GET /bytes/10 HTTP/1.1\r\nHost: skerry\r\n\r\n"
MIB = 1 << 20
TRANSFER = 64 * MIB if LONG else 8 * MIB
WRK_SECONDS = 10 if LONG else 2


@pytest.fixture
def web(guest):
    return "127.0.0.1", guest.port("tcp:80")


@pytest.fixture
def at(guest):
    return lambda name: ("127.0.0.1", guest.port(name))


def curl(*arguments):
    words = ["curl", "-sS", "--max-time", str(TIMEOUT), *arguments]
    return subprocess.run(words, capture_output=True, check=True).stdout


# -- HTTP --


def test_the_page_names_every_domain_and_its_core(guest):
    page = curl(guest.url).decode()
    sections = page.split("<section>")[1:]
    assert len(sections) == 4
    for domain in domains(guest):
        core = int(domain["id"].split(".")[0])
        assert f"<td>{domain['name']}" in sections[core], domain


@pytest.mark.parametrize("size", [0, 1, 3, 1459, 1460, 1461, 16383, 16384, 16385, 65536, MIB])
def test_bytes_are_the_pattern(web, size):
    status, headers, body = get(web, f"/bytes/{size}")
    assert status == 200 and headers["content-length"] == str(size)
    assert body == pattern(0, size)


def test_one_connection_answers_many_requests(web):
    with connect(web) as stream:
        for size in (1, 5000, 0, 20000):
            request = f"GET /bytes/{size} HTTP/1.1\r\nHost: skerry\r\n\r\n".encode()
            status, _, body = http(stream, request)
            assert (status, body) == (200, pattern(0, size))


def test_pipelined_requests_are_answered_in_order(web):
    sizes = (7, 3000, 1, 40)
    with connect(web) as stream:
        stream.sendall(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: s\r\n\r\n" % n for n in sizes))
        for size in sizes:
            assert http_answer(stream)[2] == pattern(0, size)


def test_a_request_may_come_byte_by_byte(web):
    with connect(web) as stream:
        for byte in REQUEST:
            stream.send(bytes([byte]))
        assert http_answer(stream)[2] == pattern(0, 10)


def test_close_is_honoured_and_http_1_0_closes(web):
    for request in (REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
                    REQUEST.replace(b"1.1", b"1.0")):  # fmt: skip
        with connect(web) as stream:
            assert http(stream, request)[0] == 200
            assert stream.recv(1) == b""


def test_head_has_the_headers_of_get_and_no_body(web):
    with connect(web) as stream:
        status, headers, body = http(stream, REQUEST.replace(b"GET", b"HEAD"))
        assert (status, headers["content-length"], body) == (200, "10", b"")
        assert http(stream, REQUEST)[2] == pattern(0, 10)  # nothing was left behind


def test_files_of_the_bundle_are_served_with_their_type(web):
    status, headers, body = get(web, "/about.html")
    assert status == 200 and b"out of the bundle" in body
    assert "text/html" in str(headers).lower()


@pytest.mark.parametrize("path", ["/nothing", "/bytes/", "/bytes/x", "/bytes/-1", "/../manifest"])
def test_unknown_paths_are_404(web, path):
    with connect(web) as stream:
        assert http(stream, REQUEST.replace(b"/bytes/10", path.encode()))[0] == 404
        assert http(stream, REQUEST)[0] == 200


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET bytes HTTP/1.1\r\n\r\n", 400),
        (b"GET / FTP/1.1\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nspace : x\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\nHost: s\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nLong: " + b"x" * 20000, 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # a TLS hello
    ],
)
def test_malformed_requests_are_refused_by_the_right_status(web, request_bytes, status):
    with connect(web) as stream:
        try:
            stream.sendall(request_bytes)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a refusal may come before all of it is sent
        assert http_answer(stream)[0] == status
    assert get(web, "/bytes/3")[2] == pattern(0, 3)


def test_clients_that_leave_early_do_no_harm(web):
    for sent in (b"", b"GET", REQUEST[:-2], REQUEST.replace(b"/10 ", b"/1000000 ")):
        with connect(web) as stream:
            stream.sendall(sent)
            linger = struct.pack("ii", 1, 0)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # leaves by reset
    assert get(web, "/bytes/3")[2] == pattern(0, 3)


def test_a_thousand_requests_one_after_the_other_never_fail(web):
    for i in range(1000):
        connection = HTTPConnection(*web, timeout=TIMEOUT)
        connection.request("GET", f"/bytes/{i}")
        answer = connection.getresponse()
        assert answer.status == 200 and len(answer.read()) == i
        connection.close()


def wrk(url, *prefix):
    words = [*prefix, "wrk", "-t", "2", "-c", "16", "-d", str(WRK_SECONDS)]
    words += ["--timeout", str(int(TIMEOUT)), url]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    print(text)
    assert int(re.search(r"(\d+) requests in", text)[1]) > 0
    assert "Non-2xx" not in text and "Socket errors" not in text, text


def test_sixteen_clients_at_once_see_no_error(guest):
    wrk(f"{guest.url}bytes/100")


def test_a_large_body_arrives_whole(web):
    status, _, body = get(web, f"/bytes/{TRANSFER}")
    assert status == 200 and zlib.crc32(body) == zlib.crc32(pattern(0, TRANSFER))


# -- the other TCP services --


def test_echo_gives_back_everything_and_closes_after_the_rest(at):
    with connect(at("tcp:7")) as stream:
        for size in (1, 100, 10000):
            stream.sendall(pattern(0, size))
            assert read_exactly(stream, size) == pattern(0, size)
        stream.sendall(pattern(0, 30000))
        stream.shutdown(socket.SHUT_WR)  # half closed: the rest still comes
        assert read_all(stream) == pattern(0, 30000)


def test_discard_takes_and_says_nothing(at):
    with connect(at("tcp:9")) as stream:
        stream.sendall(pattern(0, 200000))
        stream.shutdown(socket.SHUT_WR)
        assert read_all(stream) == b""


def test_line_service_speaks_first_and_closes_first(at):
    with connect(at("tcp:13")) as stream:
        assert re.fullmatch(rb"[ -~]+\r?\n", read_all(stream))


def test_endless_stream_is_the_pattern_until_the_client_has_enough(at):
    for leave in ("fin", "reset"):
        with connect(at("tcp:19")) as stream:
            assert read_exactly(stream, 300001) == pattern(0, 300001)
            if leave == "reset":
                linger = struct.pack("ii", 1, 0)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                stream.shutdown(socket.SHUT_WR)
                read_all(stream)


@pytest.mark.parametrize("size", [0, 1, 65537])
def test_upload_is_counted_and_checked(at, size):
    said, expected = checked_upload(at("tcp:5001"), size)
    assert said == expected


def test_a_large_upload_arrives_whole(at):
    said, expected = checked_upload(at("tcp:5001"), TRANSFER)
    assert said == expected


# -- UDP --


def test_datagrams_in_a_closed_loop_are_never_lost(at):
    with datagrams(at("udp:7")) as sock:
        rounds = 10000 if LONG else 1000
        assert udp_echo(sock, rounds) == rounds


@pytest.mark.parametrize("size", [0, 1, 2, 18, 1000, 1471, 1472, 1473, 4000, 9000])
def test_datagrams_of_many_sizes_come_back(at, size):
    with datagrams(at("udp:7")) as sock:
        sock.send(pattern(0, size))
        assert sock.recv(65536) == pattern(0, size)


def test_discarded_datagrams_do_not_disturb_the_echo(at):
    with datagrams(at("udp:9")) as nowhere, datagrams(at("udp:7")) as echo:
        for i in range(200):
            nowhere.send(pattern(i, 500))
        assert udp_echo(echo, 10) == 10
