"""The shared-nothing plugin on two cores that share, that do not, and that hand a block over."""
import isolation
import pytest
from skerry import Skerry


def observe(stub, plugin, *flags):
    built, library = stub("shared", *flags), plugin("isolation/isolation")
    out = built.folder / "isolation.txt"
    # Below 1 MiB everything belongs to the firmware; the stub's own code counts as kernel, and of
    # the second core's the two stores.
    settings = {"ISO": built.iso, "CORES": 2}
    settings["QEMU_ARGS"] = f"-plugin {library},out={out},from=1000"
    with Skerry("isolation", **settings) as guest:
        assert guest.wait() == 0
    with open(out) as f:
        return isolation.parse(f)


def shared_lines(output):
    return {v.line for v in output.violations}


def test_a_shared_line_is_found_with_both_places(stub, plugin):
    output = observe(stub, plugin, "-DSHARED")
    found = [v for v in output.violations if v.line == 0x2000]
    assert len(found) == 1 and {found[0].owner, found[0].other} == {0, 1}
    assert 0x8000 <= found[0].other_pc < 0x8100 and found[0].owner_pc >= 0x100000


def test_lines_of_ones_own_pass(stub, plugin):
    output = observe(stub, plugin)
    assert not shared_lines(output) & {0x1000, 0x2000}
    assert all(loads + stores > 0 for loads, stores in output.accesses.values())


def test_a_block_that_was_given_away_starts_anew(stub, plugin):
    output = observe(stub, plugin, "-DSHARED", "-DGIVEN")
    assert 0x2000 not in shared_lines(output)
    assert 0x3000 in shared_lines(output), "the flag is still written by one and read by the other"


def test_a_run_without_evidence_is_no_proof():
    output = isolation.parse(["C 0 5 5", "C 1 5 5", "C 2 5 5", "C 3 0 0", "R 0"])
    assert list(isolation.complaints(output, isolation.REQUESTS)) == [
        "no CPU driver was seen at work on core 3"
    ]
    output = isolation.parse([f"C {i} 5 5" for i in range(4)])
    assert list(isolation.complaints(output, 7)) == ["only 7 of 300 requests were answered"]
    assert not list(isolation.complaints(output, isolation.REQUESTS))


def test_an_unknown_line_is_refused():
    with pytest.raises(ValueError, match="unknown line"):
        isolation.parse(["Q"])
