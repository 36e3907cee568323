"""What the domains of a booted machine say is seen, named and saved (`make messages`)."""
import subprocess

import message_trace as run
import pytest
from messages import decode, lines, pcapng
from skerry import BUILD


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("messages") / "lines")
    assert run.record(out, run.fetch, CORES=2)
    return list(lines.messages(lines.read(out)))


def test_every_message_has_a_name_and_fields(said):
    interfaces = decode.load(BUILD)
    named = [lines.name(message, interfaces) for message in said]
    assert not [n for n in named if "malformed" in n[1]]
    known = {f"{i['name']}.{m['name']}" for i in interfaces.values() for m in i["messages"]}
    plain = {name.removesuffix(" answer") for name, _ in named if "(channel)" not in name}
    assert plain <= known
    assert {"intermon.hello", "socket.bind", "console.write", "nic.describe"} <= plain
    assert ("socket.bind", "socket=0 address='0.0.0.0' port=80") in named


def test_wireshark_names_all_of_them_alike(said, tmp_path):
    capture, script = str(tmp_path / "x.pcapng"), str(tmp_path / "skerry.lua")
    assert pcapng.write(capture, said) == len(said)
    run.write_dissector(script)
    command = ["tshark", "-X", f"lua_script:{script}", "-r", capture]
    command += ["-T", "fields", "-e", "skerry.message", "-e", "_ws.malformed"]
    done = subprocess.run(command, capture_output=True, text=True)
    rows = [row.split("\t") for row in done.stdout.splitlines()]
    interfaces = decode.load(BUILD)
    assert [row[0] for row in rows] == [lines.name(m, interfaces)[0] for m in said], done.stderr
    assert not [row for row in rows if any(row[1:])]
