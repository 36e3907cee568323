"""The page of documentation of an interface: what it says, drawn, and how it lies in bytes."""
from gen import model

ARROW = 30  # columns between the two lifelines, at least


def _list(arguments):
    return ", ".join(f"`{a.name}: {a.type}`" for a in arguments) or "–"


def _names(arguments):
    return ", ".join(a.name for a in arguments)


def _arrow(text, width, forward):
    """`── text ──>` or `<── text ──`, filled to the width."""
    line = f" {text} ".center(width - 3, "-")
    return f"-{line}->" if forward else f"<-{line}-"


def _steps(interface):
    """(what is written on the arrow, is it the client's) in the order of declaration."""
    for m in interface.messages:
        if m.kind == "event":
            yield f"{m.name}({_names(m.arguments)})", False
            continue
        yield f"{m.name}({_names(m.arguments)})", True
        if m.kind == "call":
            yield f"({_names(m.results)}) or error", False


def _diagram(interface):
    """Two lifelines as text: readable anywhere."""
    steps = list(_steps(interface))
    width = max([ARROW, *(len(text) + 8 for text, _ in steps)])
    lines = ["```", f"client{'':{width - 2}}{interface.name}", f"  |{'':{width}}|"]
    for text, forward in steps:
        lines.append(f"  |{_arrow(text, width, forward)}|")
    return [*lines, f"  |{'':{width}}|", "```"]


def _bytes_of(field):
    """How many bytes a field takes, as text; those of changing length have two of length."""
    return f"2 + at most {field.bytes - 2}" if field.type.startswith("bytes") else str(field.bytes)


def _layout(interface):
    """One table of all messages' bytes; a field behind one of changing length has no offset."""
    rows = []
    for m in interface.messages:
        for what, fields in (("takes", m.arguments), ("gives", m.results)):
            at = 0
            for field in model.on_wire(interface, fields):
                where = "behind" if at is None else str(at)
                line = f"| `{m.name}` {what} | {where} | {_bytes_of(field)} |"
                rows.append(f"{line} `{field.name}: {field.type}` |")
                fixed = not field.type.startswith("bytes")
                at = at + field.bytes if at is not None and fixed else None
    return ["", "| in | at | bytes | |", "| --- | --- | --- | --- |", *rows] if rows else []


def document(interface):
    """Markdown text."""
    kind = "local calls" if interface.local else "a channel"
    about = f"Version {interface.version}, over {kind}. {interface.doc}".rstrip()
    lines = [f"# {interface.name}: {interface.title}", "", about, "", *_diagram(interface), ""]
    for name, value, doc in interface.constants:
        lines += [f"- `{name}` = {value}. {doc}".rstrip()]
    for name, (words, doc) in interface.enums.items():
        numbered = ", ".join(f"`{w}` {i}" for i, w in enumerate(words))
        lines += [f"- `{name}`: {numbered}. {doc}".rstrip()]
    lines += [""] * bool(interface.constants or interface.enums)
    lines += ["| number | kind | name | takes | gives | |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for m in interface.messages:
        gives = _list(m.results) if m.kind == "call" else ""
        about = f"{m.number} | {m.kind} | `{m.name}` | {_list(m.arguments)} | {gives}"
        lines.append(f"| {about} | {m.doc} |")
    lines += _layout(interface)
    return "\n".join(lines) + "\n"
