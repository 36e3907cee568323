#!/usr/bin/python3
"""`make messages`: what the domains of a run said; message_trace.py show FILE prints it all.

Boots four cores, fetches a page, counts messages by kind, and writes BUILD/messages.lines,
BUILD/messages.pcapng and BUILD/skerry.lua. tools/messages/README.md says how it is done.
"""
import collections
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import BUILD, ROOT, Skerry  # noqa: E402
from isolation import request  # noqa: E402
from messages import decode, lines, pcapng  # noqa: E402
from shared_ram import shared_ram  # noqa: E402

MEMORY_MB = 512


def record(out, work, **settings):
    """Boots under the plugin and lets `work(guest)` drive the machine; the lines are in `out`."""
    plugin = os.path.join(BUILD, "plugin/messages.so")
    with shared_ram(MEMORY_MB) as (ram, words):
        settings["QEMU_ARGS"] = f"{words} -plugin {plugin},out={out},ram={ram},mem_mb={MEMORY_MB}"
        settings["MEM"] = f"{MEMORY_MB}M"
        with Skerry("messages", POLL=0, **settings) as guest:
            return work(guest)


def write_dissector(path):
    """One Lua file: what is common, then every interface, then the registration."""
    parts = [os.path.join(ROOT, "tools/messages/skerry.lua")]
    common, interfaces = parts, sorted(glob.glob(os.path.join(BUILD, "gen/wireshark/*.lua")))
    text = ""
    for part in common + interfaces:
        with open(part) as f:
            text += f.read()
    with open(path, "w") as f:
        f.write(text + "skerry.register_all()\n")


def counted(found, interfaces):
    """{name: (messages, lines)} of all that was said."""
    table = collections.defaultdict(lambda: [0, 0])
    for message in found:
        row = table[lines.name(message, interfaces)[0]]
        row[0] += 1
        row[1] += message.lines
    return table


def show(path):
    interfaces = decode.load(BUILD)
    for m in lines.messages(lines.read(path)):
        side = "<-" if m.direction else "->"
        name, words = lines.name(m, interfaces)
        print(f"{m.ns / 1e9:.6f} core {m.vcpu} channel {m.channel} {side} {name} {words}".rstrip())


def fetch(guest):
    guest.wait_until_it_serves(300)
    return request(guest.port("tcp:80"))


def main(arguments):
    if arguments[:1] == ["show"]:
        if len(arguments) != 2 or not os.path.isfile(arguments[1]):
            sys.exit("messages: show wants the file of a run, as BUILD/messages.lines")
        return show(arguments[1])
    out = os.path.join(BUILD, "messages.lines")
    answered = record(out, fetch, CORES=4)
    interfaces, found = decode.load(BUILD), list(lines.messages(lines.read(out)))
    packets = pcapng.write(os.path.join(BUILD, "messages.pcapng"), found)
    write_dissector(os.path.join(BUILD, "skerry.lua"))
    for name, (count, taken) in sorted(counted(found, interfaces).items()):
        print(f"{count:8} {taken:8}  {name}")
    channels, page = len({m.channel for m in found}), "came" if answered else "did not come"
    print(f"messages: {packets} of {channels} channels (messages, lines, name); the page {page}")
    return 0 if answered and packets else 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
