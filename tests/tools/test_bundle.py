import struct
import zlib

import bundle
import pytest


def test_layout_is_as_documented():
    packed = bundle.pack([("file", "manifest", b"abc"), ("domain", "init", b"x" * 5000)])
    assert packed[:16] == b"SKERRYB1" + struct.pack("<II", 2, len(packed))
    name, offset, size, crc, kind = struct.unpack_from("<48sIIII", packed, 16)
    assert (name.rstrip(b"\0"), offset % 64, size, kind) == (b"manifest", 0, 3, 0)
    assert crc == zlib.crc32(b"abc")
    name, offset, size, crc, kind = struct.unpack_from("<48sIIII", packed, 16 + 64)
    assert (name.rstrip(b"\0"), offset % 4096, size, kind) == (b"init", 0, 5000, 1)
    assert packed[offset : offset + size] == b"x" * 5000


def test_unpack_returns_what_was_packed():
    items = [("domain", "a", bytes(range(256))), ("file", "www/a.html", b""), ("file", "b", b"1")]
    assert bundle.unpack(bundle.pack(items)) == items


def test_an_empty_bundle_is_a_header():
    assert bundle.pack([]) == b"SKERRYB1" + struct.pack("<II", 0, 16)


@pytest.mark.parametrize("names", [["a", "a"], [""], ["n" * 48]])
def test_bad_names_are_refused(names):
    with pytest.raises(ValueError, match="bundle:"):
        bundle.pack([("file", n, b"") for n in names])


def test_a_damaged_entry_is_noticed():
    packed = bytearray(bundle.pack([("file", "a", b"hello")]))
    packed[-1] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        bundle.unpack(bytes(packed))


@pytest.mark.parametrize("spec", ["dir:a=x", "domain:a", "file:a=/nowhere/a"])
def test_what_is_no_entry_is_said(tmp_path, spec):
    with pytest.raises(SystemExit, match=f"bundle: {spec} is not domain:NAME=PATH"):
        bundle.main(str(tmp_path / "out"), spec)
    assert not (tmp_path / "out").exists()


def test_what_has_two_names_is_there_once():
    content = bytes(range(256)) * 64
    items = [("domain", "a", content), ("domain", "b", content), ("file", "c", content)]
    packed = bundle.pack(items)
    assert bundle.unpack(packed) == items
    assert packed.count(content) == 2, "a domain starts on a page, a file does not"
