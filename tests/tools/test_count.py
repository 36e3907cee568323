"""The counting plugin on a guest whose instructions are known."""
import subprocess

import count_output
import pytest
from skerry import Skerry


def run_stub(stub, plugin, cores, more=""):
    """What the plugin has written of tests/tools/stub/marks.S."""
    built, library = stub("marks"), plugin("count/insncount")
    names = subprocess.run(["llvm-nm-19", built.elf], capture_output=True, text=True).stdout
    ends = {line.split()[2]: line.split()[0] for line in names.splitlines()}
    (built.folder / "poll").write_text(f"{ends['poll_begin']} {ends['poll_end']}\n")
    (built.folder / "syms").write_text(names)
    (built.folder / "wakes").write_text(f"{ends['poll_begin']}\n")
    out = built.folder / "count.txt"
    options = f"{library},out={out},poll={built.folder}/poll,syms={built.folder}/syms"
    options += f",wakes={built.folder}/wakes,lines=512{more}"
    settings = {"ISO": built.iso, "CORES": cores, "QEMU_ARGS": f"-plugin {options}"}
    with Skerry("marks", **settings) as guest:
        assert guest.wait() == 0
    return count_output.read(out)


@pytest.fixture(scope="module", params=[1, 2], ids=["1 vCPU", "2 vCPUs"])
def counted(request, stub, plugin):
    return run_stub(stub, plugin, request.param)


# A marker is counted after it has been seen, so it belongs to what it begins.
def test_the_window_has_exactly_its_instructions(counted):
    nops, middle, loop = 1 + 100, 1 + 2 + 9 + 1, 1 + 1 + 30
    assert counted.window == count_output.Counts(nops + middle + loop, 8, 30, 1, wakes=10)


def test_events_count_all_vcpus(counted):
    assert [e.marker for e in counted.events] == [1, 16, 17, 2, 20, 21, 22]
    assert counted.between(1, 16) == [count_output.Counts(101, 0, 0)]
    assert counted.between(16, 17) == [count_output.Counts(13, 8, 0, 1)]
    assert counted.between(2, 20) == [count_output.Counts(2, 0, 0)]
    assert counted.between(20, 1) == []


def test_lines_of_a_declared_channel_are_counted_when_their_control_word_is_written(counted):
    assert counted.between(21, 22) == [count_output.Counts(6, 0, 0, lines=2)]


def test_the_other_machine_of_a_closed_loop_is_left_out(stub, plugin):
    counted = run_stub(stub, plugin, 2, ",without=0")
    assert counted.between(1, 16) == [count_output.Counts(0, 0, 0)]
    assert counted.events[1].own.instructions - counted.events[0].own.instructions == 101


def test_expensive_instructions_are_told(counted):
    assert counted.specials == {"pause": 10, "lock_prefix": 1}


def test_the_profile_names_functions(counted):
    assert counted.profile == [(101 + 13 + 2, "_start"), (30, "poll_begin")]


def test_an_unknown_line_is_refused():
    with pytest.raises(ValueError, match="unknown line"):
        count_output.parse(["Q 1"])
