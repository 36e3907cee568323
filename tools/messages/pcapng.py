"""A capture file of messages (pcapng: section header, one interface, enhanced packets)."""
import struct

USER0 = 147
FRONT = struct.Struct("<IIHBBHH")


def _block(kind, body):
    body += b"\0" * (-len(body) % 4)
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def packet(message):
    """What stands in the capture for a message."""
    status = b"" if message.kind != 1 else bytes([message.failed])
    front = FRONT.pack(message.channel, message.contract, message.number, message.kind,
                       message.direction, message.call, message.flow)  # fmt: skip
    return front + status + message.data


def write(path, messages):
    """Returns how many packets were written."""
    count = 0
    with open(path, "wb") as f:
        f.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        resolution = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # nanoseconds; end of options
        f.write(_block(1, struct.pack("<HHI", USER0, 0, 0) + resolution))
        for message in messages:
            data, count = packet(message), count + 1
            head = struct.pack("<IIIII", 0, message.ns >> 32, message.ns & 0xFFFFFFFF, len(data),
                               len(data))  # fmt: skip
            f.write(_block(6, head + data))
    return count
