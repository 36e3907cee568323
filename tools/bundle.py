#!/usr/bin/python3
"""Packs domain images and files into the bundle that GRUB loads as a module.

    tools/bundle.py OUT [domain:NAME=PATH | file:NAME=PATH]...

Layout, little endian: 16-byte header {"SKERRYB1", u32 count, u32 total bytes}, `count` entries of
64 bytes {name[48] padded with NUL, u32 offset, u32 bytes, u32 crc32, u32 kind (0 file, 1 domain)},
data. Domain images start on a page, files on a 64-byte line; offsets count from the start. What has
several names is there once.
"""
import os
import struct
import sys
import zlib

MAGIC = b"SKERRYB1"
HEADER = struct.Struct("<8sII")
ENTRY = struct.Struct("<48sIIII")
KINDS = {"file": 0, "domain": 1}
ALIGN = {"file": 64, "domain": 4096}


def pack(items):
    """Bundle bytes of (kind, name, content) triples; ValueError says what is wrong with one."""
    seen, table, data, places = set(), b"", b"", {}
    start = HEADER.size + ENTRY.size * len(items)
    for kind, name, content in items:
        raw = name.encode()
        if not raw or len(raw) > 47:
            raise ValueError(f"bundle: name must have 1 to 47 bytes: {name!r}")
        if name in seen:
            raise ValueError(f"bundle: two entries are called {name!r}")
        seen.add(name)
        if (kind, content) not in places:
            data += bytes(-(start + len(data)) % ALIGN[kind])
            places[kind, content] = start + len(data)
            data += content
        table += ENTRY.pack(raw, places[kind, content], len(content), zlib.crc32(content),
                            KINDS[kind])  # fmt: skip
    return HEADER.pack(MAGIC, len(items), start + len(data)) + table + data


def unpack(bundle):
    """The (kind, name, content) triples of a bundle; for tests and `make check`."""
    magic, count, total = HEADER.unpack_from(bundle)
    if magic != MAGIC or total != len(bundle):
        raise ValueError("bundle: bad header")
    kinds, items = {v: k for k, v in KINDS.items()}, []
    for i in range(count):
        name, offset, size, crc, kind = ENTRY.unpack_from(bundle, HEADER.size + i * ENTRY.size)
        content = bundle[offset : offset + size]
        if zlib.crc32(content) != crc or len(content) != size:
            raise ValueError(f"bundle: entry {i} is damaged")
        items.append((kinds[kind], name.rstrip(b"\0").decode(), content))
    return items


def main(out, *specs):
    items = []
    for spec in specs:
        kind, _, rest = spec.partition(":")
        name, _, path = rest.partition("=")
        if kind not in KINDS or not os.path.isfile(path):
            sys.exit(f"bundle: {spec} is not domain:NAME=PATH or file:NAME=PATH of a file")
        with open(path, "rb") as f:
            items.append((kind, name, f.read()))
    try:
        packed = pack(items)
    except ValueError as e:
        sys.exit(str(e))
    with open(out, "wb") as f:
        f.write(packed)


if __name__ == "__main__":
    main(*sys.argv[1:])
