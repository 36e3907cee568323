"""Paths for tests of the tools, and ISOs with small guests (stub/) in place of the system."""
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
STUB = os.path.join(ROOT, "tests/tools/stub")
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests/system")]
os.chdir(ROOT)


@pytest.fixture(scope="session")
def stub(tmp_path_factory):
    """stub("marks", "-DX") builds stub/marks.S; the result has paths `elf` and `iso`."""
    import mkiso

    def build(name, *flags):
        folder = tmp_path_factory.mktemp(name)
        elf, iso = folder / "stub.elf", folder / "stub.iso"
        (folder / "bundle").write_bytes(b"SKERRYB1" + bytes(8))
        words = ["clang-19", *flags, "-c", f"{STUB}/{name}.S", "-o", folder / "stub.o"]
        subprocess.run(words, check=True)
        link = ["ld.lld-19", "-static", "-nostdlib", "-z", "max-page-size=4096"]
        link += ["-T", f"{STUB}/link.ld", folder / "stub.o", "-o", elf]
        subprocess.run(link, check=True)
        mkiso.main(*map(str, (iso, folder, elf, elf, folder / "bundle")))
        return SimpleNamespace(elf=elf, iso=iso, folder=folder)

    return build


@pytest.fixture(scope="session")
def stub_iso(stub):
    return stub("stub").iso


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """plugin("count/insncount") builds tools/count/insncount.c and returns the library's path."""

    def build(name):
        out = tmp_path_factory.mktemp("plugin") / (os.path.basename(name) + ".so")
        source = os.path.join(ROOT, "tools", f"{name}.c")
        words = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-shared", "-fPIC"]
        subprocess.run([*words, source, "-o", out], check=True)
        return out

    return build
