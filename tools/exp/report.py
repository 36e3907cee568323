"""One HTML page of all experiments of a run, with their plots in it."""
import os
import re

import jinja2


def tables(rows):
    """[(mode, {head, rows})]: measures of different modes are never in one table."""
    found = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        mine = [row for row in rows if row["mode"] == mode]
        labels = list(dict.fromkeys(k for row in mine for k in row["labels"]))
        measures = list(dict.fromkeys(k for row in mine for k in row["measures"]))
        body = [[row["labels"].get(k, "") for k in labels] +
                [row["measures"].get(k, "") for k in measures] for row in mine]  # fmt: skip
        found.append((mode, {"head": [*labels, *measures], "rows": body}))
    return found


def picture(folder, name):
    """The SVG without what stands in front of its element; empty when it was not drawn."""
    try:
        with open(os.path.join(folder, f"{name}.svg")) as f:
            text = f.read()
    except OSError:
        return ""
    # Names inside an SVG would meet those of its neighbours on one page.
    text = re.sub(r'\bid="', f'id="{name}-', text[text.index("<svg") :])
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)


def write(path, folder, tree, parts):
    """`parts`: (experiment, rows, names of plots, failed tasks) each."""
    shown = []
    for e, rows, plots, failed in parts:
        pictures = [(name, picture(os.path.join(folder, e.name), name)) for name in plots]
        shown.append({"name": e.name, "question": e.question, "published": e.published,
                      "plots": pictures, "rows": rows, "tables": tables(rows),
                      "failed": failed})  # fmt: skip
    here = os.path.dirname(os.path.abspath(__file__))
    loader = jinja2.FileSystemLoader(here)
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    text = page.get_template("report.html.j2").render(tree=tree, experiments=shown)
    with open(path, "w") as f:
        f.write(text)
