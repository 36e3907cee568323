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
    given = {v.line for v in output.violations if v.what == "given"}
    assert 0x3000 in given, "the giver goes on reading a flag in it"


def test_a_run_without_evidence_is_no_proof():
    seen = ["W 9", "G 1 1 5", "L 1 2 3", "Q 1 8 5 5", "R 0"]
    cores = [f"C {i} 5 5" for i in range(isolation.CORES)]
    output = isolation.parse([*cores[:-1], f"C {isolation.CORES - 1} 0 0", *seen])
    assert list(isolation.complaints(output, 375)) == [
        f"no CPU driver was seen at work on core {isolation.CORES - 1}"
    ]
    output = isolation.parse(cores + seen)
    assert list(isolation.complaints(output, 7)) == ["only 7 of 375 requests were answered"]
    assert not list(isolation.complaints(output, 375))
    output = isolation.parse([*cores, "W 9", "G 0 1 0", "L 1 0 0", "Q 1 8 5 5"])
    assert list(isolation.complaints(output, 375)) == [
        "no block was given away", "no line of a channel was written"
    ]  # fmt: skip


def test_each_violation_says_what_it_is():
    (found,) = isolation.parse(["X channel 40 1 3000abc 2 4000abc"]).violations
    assert (found.what, found.line, found.owner, found.other) == ("channel", 0x40, 1, 2)


def test_an_unknown_line_is_refused():
    with pytest.raises(ValueError, match="unknown line"):
        isolation.parse(["Z"])
