"""What a guest says of one point, joined with what the plugins saw: rows of labels and measures.

A domain prints `row LABEL=WORD ... samples=N: MEASURE=NUMBER ...`, and among them the checks
`row check=empty`, `check=nops` (1,000 NOPs) and `check=sent` (sent=, received=). usr/bench prints
`count ID SAMPLES MEDIAN MEAN WORST`, whose label is `figure`. In count mode each sample stands
between markers 16 and 17, in the order of the rows. In time mode lines `taken LABEL=WORD: N N N`,
any number of them, have the samples as they were taken.
"""
import re
from dataclasses import dataclass, field

import spread

BEGIN, END = 16, 17
NOPS, NOP_SLACK = 1000, 2
NOP_CYCLES, CYCLE_SLACK = 500, 10  # at the model's cpi of one half


class PointError(Exception):
    """Why a point has no result, in one sentence."""


@dataclass
class Row:
    labels: dict
    samples: int = 0
    each: int = 1
    values: dict = field(default_factory=dict)


def pairs(text):
    return dict(re.findall(r"(\w+)=(\S+)", text))


def number(text):
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def whole(name, text):
    try:
        return int(text)
    except ValueError:
        raise PointError(f"the guest says {name}={text}, which is no whole number") from None


def rows_of(text):
    """In the order in which the guest lists them."""
    found = []
    for line in text.splitlines():
        if bench := re.search(r"\bcount (\w+) (\d+) (\d+) (\d+) (\d+)\s*$", line):
            word = bench[1]
            labels = {"check": word} if word in ("empty", "nops") else {"figure": word}
            found.append(Row(labels, int(bench[2]), values={"clock": int(bench[3])}))
        elif row := re.search(r"\] row ([^:]*):(?: (.*))?$", line):
            labels = {k: number(v) for k, v in pairs(row[1]).items()}
            values = {k: whole(k, v) for k, v in pairs(row[2] or "").items()}
            samples, each = labels.pop("samples", 0), labels.pop("each", 1)
            found.append(Row(labels, samples, each, values))
    return found


def count(rows, passed):
    """Adds what the counting plugin has seen; `passed` are Counts of all samples of all rows."""
    if len(passed) != (expected := sum(row.samples for row in rows)):
        raise PointError(f"the plugin saw {len(passed)} samples, the guest lists {expected}")
    start, harness = 0, 0
    for row in rows:
        taken = passed[start : start + row.samples]
        start += row.samples
        if not taken:
            continue
        lengths = sorted(c.instructions - c.polling for c in taken)
        if row.labels.get("check") == "empty":
            harness = middle(lengths)
        row.values["instructions"] = share(middle(lengths) - harness, row.each)
        row.values["worst"] = share(lengths[-1] - harness, row.each)
        row.values["wakes"] = share(middle(sorted(c.wakes for c in taken)), row.each)
        row.values["messages"] = share(middle(sorted(c.lines for c in taken)), row.each)


def middle(ordered):
    return ordered[len(ordered) // 2]


def share(number, each):
    """Of one of them: a whole number if it was all of the sample."""
    return number if each == 1 else round(number / each, 2)


def times(text, point, seed):
    """Rows of a figure each: what its samples say. Figures of other points are left out."""
    taken = {}
    for line in text.splitlines():
        if found := re.search(r"\] taken ([^:]*):((?: \d+)+)\s*$", line):
            labels = pairs(found[1])
            if all(str(point.get(axis, word)) == word for axis, word in labels.items()):
                taken.setdefault(tuple(labels.items()), []).extend(map(int, found[2].split()))
    rows = []
    for labels, samples in taken.items():
        try:
            rows.append(Row(dict(labels), len(samples), values=spread.summary(samples, seed)))
        except spread.SpreadError as e:
            raise PointError(str(e)) from None
    return rows


def regions(rows, records):
    """Adds transfers of cache lines, a sample: of the region that the row names."""
    known = {r["region"]: r["total"] for r in records if "region" in r}
    for row in rows:
        name = row.labels.pop("region", None)
        if name is None:
            continue
        if name not in known:
            raise PointError(f"the model has no record of region {name!r}")
        total = known[name]
        between = total["c2c_local"] + total["c2c_remote"] + total["clean_remote"]
        for key, sum_of in (("transfers", between), ("upgrades", total["upgrade"])):
            row.values[key] = round(sum_of / max(row.samples, 1), 2)


def judge(rows, mode, sanity):
    """Takes the checks out of the rows; raises PointError for the first that is wrong."""
    checks = {row.labels["check"]: row.values for row in rows if "check" in row.labels}
    for name in sanity:
        if name not in checks:
            raise PointError(f"the guest does not say check={name}")
    unit = "instructions" if mode == "count" else "cycles"
    if "nops" in sanity:
        empty = checks.get("empty", {}).get(unit, 0) if mode == "model" else 0
        found = checks["nops"].get(unit)
        right, slack = (NOPS, NOP_SLACK) if mode == "count" else (NOP_CYCLES, CYCLE_SLACK)
        if found is None or abs(found - empty - right) > slack:
            raise PointError(f"a row of {NOPS} NOPs takes {found} {unit}, less {empty} of the "
                             f"harness, instead of {right}")  # fmt: skip
    if "sent" in sanity and checks["sent"].get("sent") != checks["sent"].get("received"):
        raise PointError(f"{checks['sent'].get('sent')} messages were sent, "
                         f"{checks['sent'].get('received')} received")  # fmt: skip
    return [row for row in rows if "check" not in row.labels]


def results(rows, experiment, mode, point):
    """Dictionaries {label: word, ..., measure: number}; what the file does not name is left out."""
    kept = []
    for row in rows:
        labels = {k: v for k, v in row.labels.items() if k in experiment.labels}
        unknown = sorted(set(experiment.labels) - set(labels))
        if unknown:
            raise PointError(f"a row of the guest has no label {unknown[0]}")
        values = {k: row.values[k] for k in experiment.measures[mode] if k in row.values}
        if not values:
            wanted = ", ".join(experiment.measures[mode])
            raise PointError(f"a row has none of the measures {wanted}")
        # An axis that a row says more exactly (members of so many cores) is the row's.
        kept.append({"labels": point | labels, "measures": values})
    if not kept:
        raise PointError("the guest said no row")
    return kept
