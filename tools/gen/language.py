"""The interface language: text to a checked model."""
import dataclasses
import re

import lark

GRAMMAR = r"""
start: DOC* "interface" NAME STRING "version" INT transport? item*
transport: "transport" NAME
item: DOC* (const | enum | call | event | send)
const: "const" NAME "=" INT
enum: "enum" NAME "{" NAME+ "}"
call: "call" NAME "(" arguments ")" "->" "(" arguments ")"
event: "event" NAME "(" arguments ")"
send: "send" NAME "(" arguments ")"
arguments: (argument ("," argument)*)?
argument: NAME ":" type
type: NAME ("<" INT ">")?
NAME: /[A-Za-z_][A-Za-z_0-9]*/
DOC: /#[^\n]*/
%import common.INT
STRING: /"[^"\n]*"/
%import common.WS
%ignore WS
"""

# type of the language: (C++ type, bytes on the wire at most)
PLAIN = {
    "u8": ("uint8_t", 1),
    "u16": ("uint16_t", 2),
    "u32": ("uint32_t", 4),
    "u64": ("uint64_t", 8),
    "i64": ("int64_t", 8),
    "bool": ("bool", 1),
    "core": ("CoreId", 1),
    "phys": ("PhysAddr", 8),
    "ip4": ("std::array<uint8_t, 4>", 4),
    "mac": ("std::array<uint8_t, 6>", 6),
    "err": ("Fault", 8),
}
LOCAL_BYTES = 40  # five words beside the label, lib/rpc/local.hpp
MESSAGES = 255  # a request says its number in a byte
CHANNEL_TOKEN = 4  # by which a capability beside a channel is asked for
CHANNEL_BYTES = 1024  # rpc::Channel's longest message


class Error(Exception):
    """What is wrong with an interface file, in a sentence."""


@dataclasses.dataclass
class Argument:
    name: str
    type: str
    cpp: str
    bytes: int
    is_cap: bool = False  # beside a local message; by a token in one of a channel
    enum_count: int = 0  # legal enumerators, 0: not an enum

    @property
    def on_wire(self):
        return self.bytes > 0

    @property
    def by_reference(self):
        return self.bytes > 8


@dataclasses.dataclass
class Message:
    kind: str  # call, event, send
    name: str
    number: int
    doc: str
    arguments: list
    results: list

    @property
    def type_name(self):
        return "".join(word.capitalize() for word in self.name.split("_"))


@dataclasses.dataclass
class Interface:
    name: str
    title: str
    version: int
    local: bool
    doc: str
    constants: list  # (name, value, doc)
    enums: dict  # name: (words, doc)
    messages: list

    def of_kind(self, *kinds):
        return [m for m in self.messages if m.kind in kinds]


def _doc(tokens):
    lines = [str(t)[1:].strip() for t in tokens if isinstance(t, lark.Token) and t.type == "DOC"]
    return " ".join(line for line in lines if not line.startswith("--"))


def _argument(tree, enums):
    name, kind = str(tree.children[0]), tree.children[1]
    base = str(kind.children[0])
    size = int(kind.children[1]) if len(kind.children) > 1 else None
    text = base if size is None else f"{base}<{size}>"
    if base in ("string", "bytes"):
        if not size:
            raise Error(f"{name}: {base} needs a length, as in {base}<16>")
        cpp = f"Text<{size}>" if base == "string" else f"Blob<{size}>"
        return Argument(name, text, cpp, size if base == "string" else size + 2)
    if size is not None:
        raise Error(f"{name}: {base} takes no length")
    if base == "cap":
        return Argument(name, text, "abi::CapSlot", 0, is_cap=True)
    if base in enums:
        return Argument(name, text, base, 4, enum_count=len(enums[base][0]))
    if base not in PLAIN:
        raise Error(f"{name}: there is no type {base}")
    return Argument(name, text, *PLAIN[base])


def _arguments(tree, enums, where, local):
    found = [_argument(a, enums) for a in tree.children]
    names = [a.name for a in found]
    if len(set(names)) != len(names):
        raise Error(f"{where}: two arguments have one name")
    caps = sum(a.is_cap for a in found)
    if not local:
        for a in found:
            a.bytes = CHANNEL_TOKEN if a.is_cap else a.bytes
    if caps > 1:
        raise Error(f"{where}: one capability a message")
    size, limit = sum(a.bytes for a in found), LOCAL_BYTES if local else CHANNEL_BYTES
    if size > limit:
        raise Error(f"{where}: {size} bytes of arguments, {limit} fit")
    return found


def parse(text, where="interface"):
    """Model of one interface file. Raises Error."""
    try:
        tree = lark.Lark(GRAMMAR, parser="lalr", propagate_positions=True).parse(text)
    except lark.exceptions.UnexpectedInput as error:
        context = error.get_context(text).strip("\n")
        raise Error(f"line {error.line}: not understood here:\n{context}") from error
    children = list(tree.children)
    doc = _doc(children)
    tokens = [c for c in children if isinstance(c, lark.Token) and c.type != "DOC"]
    name, title, version = str(tokens[0]), str(tokens[1])[1:-1], int(tokens[2])
    named = [str(c.children[0]) for c in children if getattr(c, "data", "") == "transport"]
    transport = named[0] if named else "channel"
    if transport not in ("channel", "local"):
        raise Error(f"there is no transport {transport}; local or channel")
    local = transport == "local"
    interface = Interface(name, title, version, local, doc, [], {}, [])
    for item in (c for c in children if getattr(c, "data", "") == "item"):
        _add_item(interface, item.children[-1], _doc(item.children), local)
    names = [m.name for m in interface.messages]
    if len(names) > MESSAGES:
        raise Error(f"{len(names)} messages, {MESSAGES} have a number")
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise Error(f"{sorted(twice)[0]} is declared twice")
    return interface


def _add_item(interface, tree, doc, local):
    name = str(tree.children[0])
    if tree.data == "const":
        interface.constants.append((name, int(tree.children[1]), doc))
    elif tree.data == "enum":
        interface.enums[name] = ([str(w) for w in tree.children[1:]], doc)
    else:
        if local and tree.data != "call":
            raise Error(f"{name}: a local interface has calls only")
        if not re.fullmatch(r"[a-z][a-z_0-9]*", name):
            raise Error(f"{name}: names of messages are lower case")
        arguments = _arguments(tree.children[1], interface.enums, name, local)
        results = []
        if tree.data == "call":
            results = _arguments(tree.children[2], interface.enums, name, local)
        number = len(interface.messages) + 1
        interface.messages.append(Message(str(tree.data), name, number, doc, arguments, results))
