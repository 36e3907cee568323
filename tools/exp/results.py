"""Files of an experiment in BUILD/exp/NAME: rows.jsonl, rows.csv, volatile.json.

rows.jsonl begins with a line for each provenance; every row names its own. Two runs of one state of
the tree write identical files, but for volatile.json.
"""
import csv
import json
import os

import provenance


def rows_of(tasks):
    """One dictionary a row, in the order of the experiment's points."""
    for task in tasks:
        for row in task.result["rows"] if task.result else ():
            head = {"experiment": task.experiment.name, "mode": task.mode}
            yield head | {"labels": row["labels"], "measures": row["measures"],
                          "provenance": task.provenance}  # fmt: skip


def write(folder, tasks):
    """Answers the rows."""
    rows, origins = list(rows_of(tasks)), {t.provenance: t.origin for t in tasks}
    with open(os.path.join(folder, "rows.jsonl"), "w") as f:
        for name, origin in origins.items():
            f.write(json.dumps({"provenance": name} | origin) + "\n")
        for row in rows:
            f.write(json.dumps(row) + "\n")
    write_csv(os.path.join(folder, "rows.csv"), rows)
    return rows


def write_csv(path, rows):
    labels = list(dict.fromkeys(k for row in rows for k in row["labels"]))
    measures = list(dict.fromkeys(k for row in rows for k in row["measures"]))
    with open(path, "w", newline="") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow(["experiment", "mode", *labels, *measures, "provenance"])
        for row in rows:
            cells = [row["labels"].get(k, "") for k in labels]
            cells += [row["measures"].get(k, "") for k in measures]
            table.writerow([row["experiment"], row["mode"], *cells, row["provenance"]])


def write_volatile(folder, engine, tasks):
    mine = {t.name for t in tasks}
    found = provenance.volatile()
    found["seconds"] = {k: v for k, v in engine.seconds.items() if k in mine}
    found["discarded runs"] = {k: v for k, v in engine.discarded.items() if k in mine}
    found["failed"] = {t.name: t.why for t in tasks if t.why}
    with open(os.path.join(folder, "volatile.json"), "w") as f:
        json.dump(found, f, indent=1)
        f.write("\n")


def read(path):
    """(provenances by name, rows) of a rows.jsonl."""
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    rows = [line for line in lines if "labels" in line]
    return {line["provenance"]: line for line in lines if "labels" not in line}, rows
