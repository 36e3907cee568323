"""Clients whose requests are counted, the same for both systems; each does so many operations."""
import http.client
import socket
import time
from fcntl import ioctl
from struct import pack, unpack

from guest import GuestError, wait_readable

ADDRESS, BEYOND = "10.77.0.2", "10.78.0.1"  # the guest; who is reached through it
TAP, SECOND_TAP = "tap0", "tap1"
MAC = bytes.fromhex("525400770002")  # of the guest's first card (tools/qemu.py)
SEGMENT, BULK = 1448, 4_000_000
ECHOES, REQUESTS, CONNECTIONS, SEGMENTS, FRAMES = 100, 200, 50, 100, 100
SIOCOUTQ = 0x5411  # bytes that are not acknowledged yet
ETH_P_IP = 0x0800


def udp_echoes(count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((ADDRESS, 7))
        for i in range(count):
            message = i.to_bytes(8, "big") * 8
            s.send(message)
            if not wait_readable(s, 10) or s.recv(2048) != message:
                raise GuestError("a UDP echo is not what was sent")


def http_requests(count):
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    for _ in range(count):
        connection.request("GET", "/bytes/128")
        if len(connection.getresponse().read()) != 128:
            raise GuestError("an HTTP answer has not 128 bytes")
    connection.close()


def connections(count):
    for _ in range(count):
        with socket.create_connection((ADDRESS, 7), 60) as s:
            s.sendall(b"x")
            if s.recv(1) != b"x":
                raise GuestError("a TCP echo is not what was sent")


def unacknowledged(s):
    return unpack("i", ioctl(s.fileno(), SIOCOUTQ, bytes(4)))[0]


def paced_segments(count):
    with socket.create_connection((ADDRESS, 9), 60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            s.sendall(bytes(1460))
            while unacknowledged(s):
                time.sleep(0.0005)


def bulk_in(size):
    with socket.create_connection((ADDRESS, 9), 60) as s:
        s.sendall(bytes(size))
        s.shutdown(socket.SHUT_WR)
        s.recv(1)


def bulk_out(size):
    with socket.create_connection((ADDRESS, 19), 60) as s:
        while size > 0:
            if not (part := s.recv(1 << 16)):
                raise GuestError("the source port has an end")
            size -= len(part)


def checksum(header):
    total = sum(unpack("!10H", header))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def datagram(number):
    """A frame for the guest's card with a UDP datagram for BEYOND, of 64 bytes."""
    payload = b"through " + number.to_bytes(8, "big") + bytes(48)
    udp = pack("!4H", 9, 9, 8 + len(payload), 0) + payload
    ends = socket.inet_aton("10.77.0.1") + socket.inet_aton(BEYOND)
    header = pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0) + ends
    header = header[:10] + pack("!H", checksum(header)) + header[12:]
    return MAC + bytes(6) + pack("!H", ETH_P_IP) + header + udp


def forwarded(count):
    """Each frame has come out on the other side before the next one is sent."""
    kind = socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)
    with socket.socket(*kind) as near, socket.socket(*kind) as far:
        near.bind((TAP, ETH_P_IP))
        far.bind((SECOND_TAP, ETH_P_IP))
        for i in range(count):
            frame = datagram(i)
            near.send(frame)
            while True:
                if not wait_readable(far, 10):
                    raise GuestError(f"frame {i} was not forwarded")
                if far.recv(2048)[42:58] == frame[42:58]:
                    break


# What is measured between two echoes: name, client, its amount, how many operations that is.
COUNTED = [
    ("udp_echo", udp_echoes, ECHOES, ECHOES),
    ("http_request", http_requests, REQUESTS, REQUESTS),
    ("connect_echo_close", connections, CONNECTIONS, CONNECTIONS),
    ("tcp_segment", paced_segments, SEGMENTS, SEGMENTS),
    ("tcp_bulk_in", bulk_in, BULK, BULK // SEGMENT),
    ("tcp_bulk_out", bulk_out, BULK, BULK // SEGMENT),
]
FORWARDED = [("forward", forwarded, FRAMES, FRAMES)]
