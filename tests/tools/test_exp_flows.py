"""Stages of an unmap out of the model's records of one flow."""
import os
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tools/exp")]
import flows  # noqa: E402
from guests import Job  # noqa: E402
from experiment import load  # noqa: E402
from reading import PointError, Row  # noqa: E402

REQUEST, REPLY, CUT, DONE = (k << 13 | n for k, n in ((0, 5), (1, 5), (2, 3), (2, 11)))


def line(tag, clk, flow=0xF101, vcpu=0):
    return {"line": tag, "flow": flow, "vcpu": vcpu, "clk": clk}


def note(name, clk, flow=0xF101):
    return {"note": name, "arg": flow, "vcpu": 0, "clk": clk}


# In the order in which they are written, which is not that of the clocks.
RECORDS = [
    note("unmap begins", 1000), line(REQUEST, 1100), line(CUT, 1300), line(CUT, 1350),
    line(DONE, 1990, vcpu=1), line(DONE, 1700), line(REPLY, 2500), note("unmap ends", 2600),
    line(CUT, 1200, flow=0xF102), {"region": "cores", "total": {}},
]  # fmt: skip


def test_the_stages_lie_between_the_lines_of_that_flow_and_add_up():
    found = flows.stages_of(0xF101, RECORDS)
    assert found == {"ask": 100, "wake": 200, "tell": 50, "cut": 640, "free": 510, "resume": 100}
    assert sum(found.values()) == 1600


@pytest.mark.parametrize("missing", range(8))
def test_a_flow_with_a_part_missing_is_no_figure(missing):
    with pytest.raises(PointError, match="flow 0xf101"):
        flows.stages_of(0xF101, RECORDS[:missing] + RECORDS[missing + 1 :])


def test_a_row_that_names_its_first_flow_gets_the_medians_of_its_samples():
    later = [r | {"clk": r["clk"] * 2} for r in RECORDS if r.get("flow", r.get("arg")) == 0xF101]
    later = [r | ({"flow": 0xF102} if "line" in r else {"arg": 0xF102}) for r in later]
    rows = [Row({"way": "asleep", "flow": 0xF101}, 2), Row({"way": "tree", "flow": 0}, 2)]
    flows.stages(rows, RECORDS[:8] + later)
    assert rows[0].values["cut"] == 1280 and rows[0].labels == {"way": "asleep"}
    assert rows[1].values == {} and rows[1].labels == {"way": "tree"}


def test_lines_are_recorded_only_where_stages_are_asked_for():
    point = {"machine": "8x4-amd", "cores": 2}
    asked = Job(load(f"{ROOT}/usr/bench/unmap.toml"), "model", [point]).plugin(point, "1G")
    assert asked.endswith(",flow=0xf100")
    plain = Job(load(f"{ROOT}/usr/bench/waiting.toml"), "model", [point]).plugin(point, "1G")
    assert "flow" not in plain
