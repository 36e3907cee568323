"""The rows of `make vs-linux`: what is wrong in rows.toml, the ratio of a row, the table.

A ratio above 1 means that Skerry is ahead, whichever way the unit counts.
"""
import tomllib
from dataclasses import dataclass
from statistics import median

LESS, MORE = ("instructions", "us", "s"), ("per_s", "mbit_s")
KEYS = {"title": str, "unit": str, "linux": list, "skerry": list, "how": str, "zeroing": bool,
        "path": str}  # fmt: skip
NEEDED = ("title", "unit", "linux", "skerry", "how")


class RowError(Exception):
    """One sentence with the file and the key."""


@dataclass
class Value:
    """One measurement: the figure, and how much of it was turns of REP."""

    amount: float
    repeats: float = 0


def check_row(path, row, known):
    name = row.get("title", "a row without a title")
    for key, value in row.items():
        if key not in KEYS:
            raise RowError(f"{path}: {name}: {key}: no such key")
        if not isinstance(value, KEYS[key]):
            raise RowError(f"{path}: {name}: {key}: must be of type {KEYS[key].__name__}")
    for key in NEEDED:
        if key not in row:
            raise RowError(f"{path}: {name}: {key}: is missing")
    if row["unit"] not in LESS + MORE:
        raise RowError(f"{path}: {name}: unit: must be one of {', '.join(LESS + MORE)}")
    for side in ("linux", "skerry"):
        for word in row[side]:
            if word not in known[side]:
                raise RowError(f"{path}: {name}: {side}: nothing measures {word!r}")
    if not (row["linux"] and row["skerry"]) and "path" not in row:
        raise RowError(f"{path}: {name}: path: is missing, and one side measures nothing")


def load(path, known):
    """Rows, each checked; `known` are the names that each side can measure."""
    try:
        with open(path, "rb") as f:
            rows = tomllib.load(f).get("row", [])
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise RowError(f"{path}: {e}") from None
    for row in rows:
        check_row(path, row, known)
    return rows


def side(row, name, found):
    """All that was measured for one side of a row, best alternative; empty: nothing."""
    each = [found[word] for word in row[name] if found.get(word)]
    amounts = [[v.amount - (v.repeats if row.get("zeroing") else 0) for v in values]
               for values in each]  # fmt: skip
    best = min if row["unit"] in LESS else max
    return best(amounts, key=median, default=[])


def ratio(row, linux, skerry):
    """Of medians; None where one side has none."""
    if not linux or not skerry or not median(linux) or not median(skerry):
        return None
    a, b = median(linux), median(skerry)
    return a / b if row["unit"] in LESS else b / a


def cell(values):
    if not values:
        return "-"
    digits = 1 if max(values) < 1000 and any(v != int(v) for v in values) else 0
    middle = f"{median(values):,.{digits}f}"
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return middle if low == high else f"{middle} ({low}-{high})"


def verdict(row, found):
    if found is None:
        return row.get("path", "not measured in this run")
    if round(found, 2) == 1:
        return "equal"
    return "ahead" if found > 1 else row.get("path", "behind")


def lines(rows, linux, skerry):
    """The table; `linux` and `skerry` are {name: [Value, one a round]}."""
    table = [("operation", "unit", "Linux", "Skerry", "ratio", "", "how")]
    for row in rows:
        a, b = side(row, "linux", linux), side(row, "skerry", skerry)
        found = ratio(row, a, b)
        shown = f"{found:.2f}" if found else "-"
        table.append((row["title"], row["unit"], cell(a), cell(b), shown, verdict(row, found),
                      row["how"]))  # fmt: skip
    widths = [max(len(cells[i]) for cells in table) for i in range(len(table[0]))]
    for cells in table:
        title, unit, *numbers, said, how = cells
        middle = "  ".join(c.rjust(w) for c, w in zip(numbers, widths[2:5]))
        yield f"{title:<{widths[0]}}  {unit:<{widths[1]}}  {middle}  {said:<{widths[5]}}  {how}"
