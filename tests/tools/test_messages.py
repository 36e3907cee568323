"""Messages out of lines, their fields, the capture file, and what Wireshark makes of it."""
import pathlib
import random
import shutil
import struct
import subprocess
import sys

import pytest
from skerry import seed

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import message_trace  # noqa: E402
from gen import dissector, language, model  # noqa: E402
from messages import decode, lines, pcapng  # noqa: E402

TEXT = """interface toy "of a test" version 3
  enum Colour { red green }
  call add(a: u32, b: bool, c: Colour) -> (sum: i64)
  send say(text: bytes<100>, who: string<4>, where: ip4)
  event gift(number: u16, what: cap)
"""


@pytest.fixture
def toy():
    interface = language.parse(TEXT)
    return interface, __import__("json").loads(model.text(interface))


@pytest.fixture
def interfaces(toy):
    described = toy[1]
    described["by_number"] = {m["number"]: m for m in described["messages"]}
    return {described["contract"]: described}


def line(direction, tag, data, channel=1):
    """As the plugin writes it down."""
    return lines.Line(ns=7, channel=channel, vcpu=2, direction=direction,
                      body=data.ljust(56, b"\0"), sequence=1, tag=tag, flow=5)  # fmt: skip


def said(*found):
    return list(lines.messages(found))


def greeting(contract, direction=0):
    return line(direction, lines.GREETING, struct.pack("<QQ", contract, 3))


def test_a_long_message_is_one_of_its_lines(interfaces):
    contract = next(iter(interfaces))
    data = struct.pack("<H", 60) + b"x" * 60 + b"me\0\0" + bytes([10, 0, 2, 15])
    tag = 0x4000 | 2
    parts = [line(0, tag | lines.MORE, data[:56]), line(0, tag, data[56:])]
    hello, message = said(greeting(contract), *parts)
    assert hello.kind == lines.CONTROL and message.lines == 2
    name, words = lines.name(message, interfaces)
    assert name == "toy.say" and "who='me'" in words and "where='10.0.2.15'" in words
    withdrawn = [parts[0], line(0, lines.WITHDRAWN, b"")]
    assert said(greeting(contract), *withdrawn, *parts) == [hello, message]


def test_an_answer_is_that_of_its_call(interfaces):
    contract = next(iter(interfaces))
    found = said(
        greeting(contract), greeting(contract, 1),
        line(0, 9, bytes([1]) + struct.pack("<IBI", 3, 1, 1)),
        line(1, 0x2000 | 9, bytes([0]) + struct.pack("<q", -4)),
    )[2:]  # fmt: skip
    assert [lines.name(m, interfaces) for m in found] == [
        ("toy.add", "a=3 b=True c='green'"), ("toy.add answer", "sum=-4")
    ]  # fmt: skip


def test_an_error_is_told_as_one(interfaces):
    contract = next(iter(interfaces))
    call = line(0, 9, bytes([1]) + bytes(9))
    answer = line(1, 0x2000 | 9, bytes([1]) + struct.pack("<Q", 0x24))
    message = said(greeting(contract), greeting(contract, 1), call, answer)[-1]
    assert lines.name(message, interfaces) == ("toy.add answer", "error 0x24")


def test_the_token_of_a_capability_goes_first(interfaces):
    contract = next(iter(interfaces))
    event = line(1, 0x4000 | 3, struct.pack("<IH", 77, 4))
    message = said(greeting(contract), greeting(contract, 1), event)[-1]
    assert lines.name(message, interfaces) == ("toy.gift", "what=77 number=4")


@pytest.mark.parametrize("data", [struct.pack("<IBI", 3, 2, 1), struct.pack("<IBI", 3, 1, 2), b""])
def test_what_the_real_decoder_refuses_is_malformed(interfaces, data):
    message = next(iter(interfaces.values()))["messages"][0]
    with pytest.raises(decode.Malformed):
        decode.fields(message["takes"], data)


def test_between_monitors_the_tag_is_the_message():
    (message,) = said(line(0, 4, b"name"))
    assert message.contract == lines.JOINT and message.number == 4


def test_random_lines_break_nothing(interfaces):
    dice = random.Random(seed())
    contract = next(iter(interfaces))
    found = [greeting(contract), greeting(contract, 1)]
    for _ in range(3000):
        tag = dice.choice([dice.randrange(1 << 16), dice.randrange(4) << 13 | dice.randrange(5)])
        found.append(line(dice.randrange(2), tag, dice.randbytes(56)))
    for message in said(*found):
        assert all(isinstance(part, str) for part in lines.name(message, interfaces))


def test_wireshark_reads_the_same(tmp_path, toy, interfaces):
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    interface, described = toy
    contract = described["contract"]
    messages = said(
        greeting(contract), greeting(contract, 1),
        line(0, 9, bytes([1]) + struct.pack("<IBI", 3, 1, 1)),
        line(1, 0x2000 | 9, bytes([0]) + struct.pack("<q", -4)),
        line(0, 0x4000 | 2, struct.pack("<H", 3) + b"abc" + b"me\0\0" + bytes([10, 0, 2, 15])),
        line(1, 0x4000 | 3, struct.pack("<IH", 77, 4)),
        line(0, 0x4000 | 2, struct.pack("<H", 101)),
    )  # fmt: skip
    assert pcapng.write(tmp_path / "x.pcapng", messages) == 7
    common = (ROOT / "tools/messages/skerry.lua").read_text()
    text = common + dissector.script(interface) + "skerry.register_all()\n"
    (tmp_path / "skerry.lua").write_text(text)
    words = ["skerry.message", "skerry.toy.add.a", "skerry.toy.add.c", "skerry.toy.add.sum"]
    words += ["skerry.toy.say.who", "skerry.toy.say.where", "skerry.toy.gift.what", "_ws.malformed"]
    command = ["tshark", "-X", f"lua_script:{tmp_path}/skerry.lua", "-r", f"{tmp_path}/x.pcapng"]
    command += ["-T", "fields", *(part for word in words for part in ("-e", word))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "Lua" not in done.stderr, done.stderr
    rows = [row.split("\t") for row in done.stdout.splitlines()]
    names = "toy.add", "toy.add answer", "toy.say", "toy.gift", "toy.say"
    assert [row[0] for row in rows] == ["toy (channel)", "toy (channel)", *names]
    assert rows[2][1:3] == ["3", "1"] and rows[3][3] == "-4"
    assert rows[4][4:6] == ["me", "10.0.2.15"] and rows[5][6] == "77"
    assert [bool(row[7]) for row in rows] == [False] * 6 + [True]


@pytest.mark.parametrize("words", [["show"], ["show", "/nowhere/messages.lines"]])
def test_a_run_that_is_not_there_is_said(words):
    with pytest.raises(SystemExit, match="show wants the file of a run"):
        message_trace.main(words)
