"""Plots of an experiment: SVG whose text stays text, with the data as CSV beside each."""
import csv
import os

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "skerry", "font.size": 9, "axes.grid": True,
         "grid.alpha": 0.3, "figure.figsize": (6.4, 4.0)}  # fmt: skip
MARKERS = "osD^v<>pXP*"


def available():
    """The plotting library, or None."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("svg")
    return matplotlib


def of_row(row, axis):
    return row["labels"].get(axis)


def chosen(plot, rows):
    """Rows of this plot's mode that are as `where` says."""
    where = plot.get("where", {})
    for row in rows:
        same = all(of_row(row, k) in (v if isinstance(v, list) else [v]) for k, v in where.items())
        if row["mode"] == plot["mode"] and same and plot["y"] in row["measures"]:
            yield row


def curves(plot, rows):
    """{title of a panel: {name of a line: [(x, y)]}}."""
    found = {}
    for row in chosen(plot, rows):
        panel = str(of_row(row, plot["each"])) if "each" in plot else ""
        line = str(of_row(row, plot["lines"])) if "lines" in plot else plot["y"]
        at = (of_row(row, plot["x"]), row["measures"][plot["y"]])
        found.setdefault(panel, {}).setdefault(line, []).append(at)
    for panel in found.values():
        for name, line in panel.items():
            panel[name] = sorted(line) if all(type(x) is int for x, _ in line) else line
    return found


def draw(folder, experiment, plot, rows, tree, library):
    """Writes the panels of one plot; answers their names."""
    names = []
    for panel, lines in curves(plot, rows).items():
        name = f"{plot['name']}-{panel}" if panel else plot["name"]
        write_data(os.path.join(folder, f"{name}.csv"), plot, lines)
        if library:
            draw_panel(os.path.join(folder, f"{name}.svg"), experiment, plot, panel, lines, tree)
        names.append(name)
    return names


def write_data(path, plot, lines):
    with open(path, "w", newline="") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow([plot.get("lines", "line"), plot["x"], plot["y"]])
        for name, line in lines.items():
            table.writerows([name, x, y] for x, y in line)


def draw_panel(path, experiment, plot, panel, lines, tree):
    from matplotlib import pyplot, rc_context

    unit = experiment.measures[plot["mode"]][plot["y"]]
    with rc_context(STYLE):
        figure, axes = pyplot.subplots(layout="constrained")
        for marker, (name, line) in zip(MARKERS * 9, lines.items()):
            xs, ys = zip(*line)
            axes.plot(list(map(str, xs)) if is_named(lines) else xs, ys, marker=marker,
                      markersize=4, label=name)  # fmt: skip
        scale(axes, plot, lines)
        axes.set_xlabel(plot["x"])
        axes.set_ylabel(unit)
        axes.set_title(" · ".join(filter(None, (plot.get("title", plot["name"]), panel))))
        if len(lines) > 1:
            axes.legend(title=plot.get("lines"))
        figure.supxlabel(caption(plot, unit, tree), fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def is_named(lines):
    return any(type(x) is not int for line in lines.values() for x, _ in line)


def scale(axes, plot, lines):
    for letter in plot.get("log", ""):
        getattr(axes, f"set_{letter}scale")("log", base=2 if letter == "x" else 10)
    if not is_named(lines):
        ticks = sorted({x for line in lines.values() for x, _ in line})
        if len(ticks) <= 12:
            axes.set_xticks(ticks, list(map(str, ticks)))
            axes.minorticks_off()
    if "y" not in plot.get("log", ""):
        axes.set_ylim(bottom=0)


def caption(plot, unit, tree):
    dirty = f"+{tree['dirty']}" if tree["dirty"] else ""
    return f"unit: {unit} · mode: {plot['mode']} · revision {tree['revision'][:12]}{dirty}"


def draw_all(folder, experiment, rows, tree):
    """Names of all panels, each with a CSV and, where the library is there, an SVG."""
    library = available()
    names = []
    for plot in experiment.plots:
        names += draw(folder, experiment, plot, rows, tree, library)
    return names
