"""The Wireshark dissector of an interface: build/gen/wireshark/NAME.lua.

A table of readers by message, put where tools/messages/skerry.lua looks: everything that is the
same for all interfaces (the frame in the capture, the kinds of fields) is there.
"""
from gen import model

# type of the language: (kind of ProtoField, bytes)
PLAIN = {
    "u8": ("uint8", 1),
    "u16": ("uint16", 2),
    "u32": ("uint32", 4),
    "u64": ("uint64", 8),
    "i64": ("int64", 8),
    "bool": ("bool", 1),
    "core": ("uint8", 1),
    "phys": ("uint64", 8),
    "ip4": ("ipv4", 4),
    "mac": ("ether", 6),
    "err": ("uint64", 8),
    "cap": ("uint32", 4),
    "enum": ("uint32", 4),
}


def _reader(field):
    name = field["name"]
    base, _, size = field["type"].rstrip(">").partition("<")
    if base in ("string", "bytes"):
        return f'{{name = "{name}", kind = "{base}", bytes = {size}}}'
    kind, bytes_ = PLAIN[base]
    words = ""
    if base == "enum":
        words = ", words = {" + ", ".join(f'"{w}"' for w in field["words"]) + "}"
    return f'{{name = "{name}", kind = "{kind}", bytes = {bytes_}{words}}}'


def _readers(fields):
    return "{" + ", ".join(map(_reader, fields)) + "}"


def script(interface):
    """Lua text."""
    lines = [f"-- from lib/interfaces/{interface.name}.if by tools/gen.py; do not edit"]
    lines += [f"skerry.interfaces[{model.contract(interface):#x}] = {{"]
    lines += [f'  name = "{interface.name}", version = {interface.version}, messages = {{']
    for m in interface.messages:
        takes = _readers(model.fields_of(interface, m.arguments))
        gives = _readers(model.fields_of(interface, m.results))
        lines.append(f'    [{m.number}] = {{name = "{m.name}", kind = "{m.kind}",')
        lines.append(f"      takes = {takes},\n      gives = {gives}}},")
    return "\n".join([*lines, "  }", "}"]) + "\n"
