"""The table of `make counts`: what was measured, beside its target and others' figures."""


def cell(values):
    """One figure of several runs: the value, or its range when runs differ."""
    found = sorted(set(v for v in values if v is not None))
    if not found:
        return "-"
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,}-{found[-1]:,}"


def verdict(values, target):
    found = [v for v in values if v is not None]
    if not found or not target:
        return ""
    return "met" if max(found) <= target else f"{max(found) / target:.1f} x"


def row(figure, runs):
    """One line of the table, as cells."""
    values = [run[figure["id"]] for run in runs if figure["id"] in run]
    # Zeroing is a figure of its own.
    zeroing = figure.get("zeroed_bytes", 0) // 8
    medians, target = [v.median - zeroing for v in values], figure.get("target")
    mine = figure["where"] if "where" in figure else cell(medians)
    worst = cell([v.worst - zeroing for v in values if v.worst is not None])
    repeats = max([v.repeats for v in values], default=0) - zeroing
    fences = max([v.fences for v in values], default=0)
    ipis = max([v.ipis for v in values], default=0)
    notes = ", ".join(dict.fromkeys(v.note for v in values if v.note))
    title = f"{figure['title']}: {notes}" if notes else figure["title"]
    return (title, mine, f"<= {target:,}" if target else "", verdict(medians, target),
            worst if worst != "-" else "", f"{repeats:,}" if repeats > 0 else "",
            str(fences or ""), str(ipis or ""), figure.get("linux", ""),
            figure.get("barrelfish", ""), figure.get("published", ""))  # fmt: skip


def table(figures, runs):
    """Lines of the table: operation, measured, target, verdict, what is in it, the others."""
    head = ("operation", "Skerry", "target", "", "worst", "in REP", "fences", "IPIs", "Linux 6.1",
            "Barrelfish", "published")  # fmt: skip
    rows = [head, *(row(f, runs) for f in figures)]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(head))]
    for cells in rows:
        numbers = [cells[i].rjust(widths[i]) for i in range(1, len(head) - 1)]
        yield "  ".join([cells[0].ljust(widths[0]), *numbers, cells[-1]]).rstrip()
