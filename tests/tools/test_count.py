"""The counting plugin on a guest whose instructions are known."""
import subprocess

import count_output
import pytest
from skerry import Skerry


@pytest.fixture(scope="module", params=[1, 2], ids=["1 vCPU", "2 vCPUs"])
def counted(request, stub, plugin):
    built, library = stub("marks"), plugin("count/insncount")
    names = subprocess.run(["llvm-nm-19", built.elf], capture_output=True, text=True).stdout
    ends = {line.split()[2]: line.split()[0] for line in names.splitlines()}
    (built.folder / "poll").write_text(f"{ends['poll_begin']} {ends['poll_end']}\n")
    (built.folder / "syms").write_text(names)
    out = built.folder / "count.txt"
    options = f"{library},out={out},poll={built.folder}/poll,syms={built.folder}/syms"
    settings = {"ISO": built.iso, "CORES": request.param, "QEMU_ARGS": f"-plugin {options}"}
    with Skerry("marks", **settings) as guest:
        assert guest.wait() == 0
    return count_output.read(out)


# A marker is counted after it has been seen, so it belongs to what it begins.
def test_the_window_has_exactly_its_instructions(counted):
    nops, middle, loop = 1 + 100, 1 + 2 + 9 + 1, 1 + 1 + 30
    assert counted.window == count_output.Counts(nops + middle + loop, 8, 30, 1)


def test_events_count_all_vcpus(counted):
    assert [e.marker for e in counted.events] == [1, 16, 17, 2, 20]
    assert counted.between(1, 16) == [count_output.Counts(101, 0, 0)]
    assert counted.between(16, 17) == [count_output.Counts(13, 8, 0, 1)]
    assert counted.between(2, 20) == [count_output.Counts(2, 0, 0)]
    assert counted.between(20, 1) == []


def test_expensive_instructions_are_told(counted):
    assert counted.specials == {"pause": 10, "lock_prefix": 1}


def test_the_profile_names_functions(counted):
    assert counted.profile == [(101 + 13 + 2, "_start"), (30, "poll_begin")]


def test_an_unknown_line_is_refused():
    with pytest.raises(ValueError, match="unknown line"):
        count_output.parse(["Q 1"])
