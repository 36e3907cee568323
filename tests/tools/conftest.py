"""Paths for tests of the tools, and an ISO with a stub guest in place of the system."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
STUB = os.path.join(ROOT, "tests/tools/stub")
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests/system")]
os.chdir(ROOT)


@pytest.fixture(scope="session")
def stub_elf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stub")
    subprocess.run(["clang-19", "-c", f"{STUB}/stub.S", "-o", folder / "stub.o"], check=True)
    link = ["ld.lld-19", "-static", "-nostdlib", "-z", "max-page-size=4096"]
    link += ["-T", f"{STUB}/link.ld"]
    subprocess.run([*link, folder / "stub.o", "-o", folder / "stub.elf"], check=True)
    return folder / "stub.elf"


@pytest.fixture(scope="session")
def stub_iso(stub_elf, tmp_path_factory):
    import mkiso

    folder = tmp_path_factory.mktemp("iso")
    (folder / "bundle").write_bytes(b"SKERRYB1" + bytes(8))
    parts = (folder / "stub.iso", folder, stub_elf, stub_elf, folder / "bundle")
    mkiso.main(*map(str, parts))
    return folder / "stub.iso"
