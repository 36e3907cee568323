"""What an unmap in a domain that spans cores spends its time on: its lines by their flow id.

The model notes the clock at its beginning and its end, and at each line that bears its flow
(docs/model.md, `flow`): the request to the home, a cut to each core, an answer from each, the
home's answer. Between them lie the stages, which add up to the whole.
"""
from reading import PointError

FIRST = 0xF100  # to 0xF1FF: tests/model/usr/cores/unmap.cpp
STAGES = ("ask", "wake", "tell", "cut", "free", "resume")
REQUEST, REPLY, ONE_WAY = 0, 1, 2  # kinds of a line: lib/rpc/wire.hpp


def wanted(measures):
    return any(stage in measures for stage in STAGES)


def kind(line):
    return line["line"] >> 13 & 3


def stages_of(flow, records):
    """{stage: cycles} of one unmap."""
    def at(note):
        found = [r["clk"] for r in records if r.get("note") == note and r["arg"] == flow]
        return found[0] if found else None

    lines = sorted((r for r in records if r.get("flow") == flow), key=lambda r: r["clk"])
    told = [r for r in lines if kind(r) == ONE_WAY]
    cuts = [r["clk"] for r in told if told and r["line"] == told[0]["line"]]
    answers = [r["clk"] for r in told if r["line"] != told[0]["line"]]
    asked = [r["clk"] for r in lines if kind(r) == REQUEST]
    answered = [r["clk"] for r in lines if kind(r) == REPLY]
    begin, end = at("unmap begins"), at("unmap ends")
    if None in (begin, end) or not (asked and cuts and answers and answered):
        raise PointError(f"the model has no whole record of flow {flow:#x}")
    if len(cuts) != len(answers):
        raise PointError(f"flow {flow:#x} has {len(cuts)} cuts and {len(answers)} answers")
    times = (begin, asked[0], cuts[0], cuts[-1], answers[-1], answered[-1], end)
    return {stage: b - a for stage, a, b in zip(STAGES, times, times[1:])}


def stages(rows, records):
    """Adds each stage's median to the rows whose label `flow` names their first flow."""
    for row in rows:
        first = row.labels.pop("flow", 0)
        if not first or not any("flow" in r for r in records):
            continue
        every = [stages_of(first + i, records) for i in range(row.samples)]
        for stage in STAGES:
            row.values[stage] = sorted(s[stage] for s in every)[len(every) // 2]
