"""The plugin's record of lines, and the messages that they make.

How messages lie in lines is docs/interfaces.md; between monitors (joints) a line's tag is the
message's number and nothing else.
"""
import struct
import zlib
from dataclasses import dataclass

from messages import decode

RECORD = struct.Struct("<QIIHBB4x56sQ")  # ns, channel, line, lines of a ring, vCPU, direction
REQUEST, REPLY, ONE_WAY, CONTROL = range(4)
GREETING, WITHDRAWN, CLOSE, MORE = 0x6000, 0x6001, 0xFFFF, 0x8000
JOINT = zlib.crc32(b"intermon")


@dataclass
class Line:
    ns: int
    channel: int  # number of its declaration
    vcpu: int
    direction: int  # 0 from the client
    body: bytes
    sequence: int
    tag: int
    flow: int


@dataclass
class Message:
    ns: int
    channel: int
    vcpu: int
    direction: int
    contract: int
    kind: int
    number: int  # of the declaration; 0 unknown, or control
    call: int
    flow: int
    lines: int
    data: bytes  # without number and status; an error's chain for a reply that is one
    failed: bool = False


def read(path):
    """All lines of a record, in order."""
    with open(path, "rb") as f:
        data = f.read()
    for at in range(0, len(data) - RECORD.size + 1, RECORD.size):
        ns, channel, _, _, vcpu, direction, body, control = RECORD.unpack_from(data, at)
        words = (control >> shift & 0xFFFF for shift in (0, 32, 48))
        yield Line(ns, channel, vcpu, direction, body, *words)


class Channel:
    """One channel's two directions: lines in, messages out."""

    def __init__(self):
        self.contract = 0
        self.greeted = [False, False]
        self.parts = [[], []]
        self.calls = [{}, {}]  # by who asks: call id: number

    def take(self, line):
        """The message that this line ends, or None."""
        parts = self.parts[line.direction]
        if parts and line.tag == WITHDRAWN:  # its task was cancelled: it is no message
            parts.clear()
            return None
        parts.append(line)
        first = parts[0]
        if not self.greeted[line.direction]:
            self.greeted[line.direction] = True
            if line.tag == GREETING:
                self.contract = struct.unpack_from("<Q", line.body)[0] & 0xFFFFFFFF
        joint = self.contract in (0, JOINT) and line.tag != GREETING
        if line.tag & MORE and line.tag != CLOSE and not joint:
            return None
        self.parts[line.direction] = []
        data = b"".join(part.body for part in parts)
        common = dict(ns=first.ns, channel=line.channel, vcpu=line.vcpu, flow=line.flow,
                      direction=line.direction, lines=len(parts))  # fmt: skip
        if joint and line.tag != CLOSE:
            about = dict(contract=JOINT, kind=ONE_WAY, number=line.tag, call=0)
            return Message(**common, **about, data=data)
        return self._message(common, line.tag & ~MORE, data)

    def _message(self, common, tag, data):
        kind, low, side = tag >> 13 & 3, tag & 0x1FFF, common["direction"]
        number = call = failed = 0
        if kind == REQUEST:
            number, call, data = data[0], low, data[1:]
            self.calls[side][low] = number
        elif kind == REPLY:
            number, call = self.calls[1 - side].pop(low, 0), low
            failed, data = data[0], data[1:]
        elif kind == ONE_WAY:
            number = low
        return Message(**common, contract=self.contract, kind=kind, number=number, call=call,
                       data=data, failed=bool(failed))  # fmt: skip


def messages(found):
    """Messages in the order in which their last line came."""
    channels = {}
    for line in found:
        message = channels.setdefault(line.channel, Channel()).take(line)
        if message:
            yield message


def name(message, interfaces):
    """(`interface.message`, fields as text)."""
    interface = interfaces.get(message.contract)
    if not interface:
        return f"{message.contract:08x}", ""
    if message.kind == CONTROL:
        return f"{interface['name']} (channel)", ""
    about = interface["by_number"].get(message.number)
    if not about:
        return f"{interface['name']}.{message.number}", ""
    which = f"{interface['name']}.{about['name']}"
    if message.kind == REPLY:
        which += " answer"
    if message.failed:
        return which, f"error {struct.unpack_from('<Q', message.data)[0]:#x}"
    try:
        described = about["gives" if message.kind == REPLY else "takes"]
        return which, decode.words(decode.fields(described, message.data))
    except decode.Malformed as error:
        return which, f"malformed: {error}"
