"""Fields of a message, by what the generator wrote about its interface."""
import glob
import json
import os
import struct

FORMAT = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i64": "<q", "bool": "<B"}
FORMAT |= {"core": "<B", "phys": "<Q", "err": "<Q", "cap": "<I", "enum": "<I"}


class Malformed(ValueError):
    pass


def load(build):
    """{contract: interface} of BUILD/gen/messages."""
    interfaces = {}
    for path in sorted(glob.glob(os.path.join(build, "gen/messages/*.json"))):
        with open(path) as f:
            interface = json.load(f)
        interface["by_number"] = {m["number"]: m for m in interface["messages"]}
        interfaces[interface["contract"]] = interface
    return interfaces


def _take(data, size):
    if len(data) < size:
        raise Malformed(f"{size} bytes wanted, {len(data)} there")
    return data[:size], data[size:]


def _value(field, data):
    base, _, size = field["type"].rstrip(">").partition("<")
    if base == "bytes":
        head, data = _take(data, 2)
        count = struct.unpack("<H", head)[0]
        if count > int(size):
            raise Malformed(f"{field['name']}: {count} bytes, at most {size}")
        return _take(data, count)
    if base in ("string", "ip4", "mac"):
        raw, data = _take(data, {"ip4": 4, "mac": 6}.get(base) or int(size))
        if base == "string":
            return raw.split(b"\0")[0].decode("latin-1"), data
        words = (str(b) if base == "ip4" else f"{b:02x}" for b in raw)
        return ("." if base == "ip4" else ":").join(words), data
    raw, data = _take(data, struct.calcsize(FORMAT[base]))
    number = struct.unpack(FORMAT[base], raw)[0]
    if base == "bool" and number > 1:
        raise Malformed(f"{field['name']}: {number} is no bool")
    if base == "enum":
        if number >= len(field["words"]):
            raise Malformed(f"{field['name']}: no enumerator {number}")
        return field["words"][number], data
    return bool(number) if base == "bool" else number, data


def fields(description, data):
    """[(name, value)]; what is behind the last field is the padding of the last line."""
    found = []
    for field in description:
        value, data = _value(field, data)
        found.append((field["name"], value))
    return found


def words(found):
    """`a=1 text='x'` for people."""
    return " ".join(f"{name}={value if not isinstance(value, (bytes, str)) else repr(value)}"
                    for name, value in found)  # fmt: skip
