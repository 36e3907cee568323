"""The page of documentation of an interface."""


def _list(arguments):
    return ", ".join(f"`{a.name}: {a.type}`" for a in arguments) or "–"


def document(interface):
    """Markdown text."""
    kind = "local calls" if interface.local else "a channel"
    about = f"Version {interface.version}, over {kind}. {interface.doc}".rstrip()
    lines = [f"# {interface.name}: {interface.title}", "", about, "", "```mermaid"]
    lines += ["sequenceDiagram", "  participant C as client"]
    lines += [f"  participant S as {interface.name}"]
    for m in interface.messages:
        arrow = "S-->>C" if m.kind == "event" else "C->>S"
        lines.append(f"  {arrow}: {m.name}({', '.join(a.name for a in m.arguments)})")
        if m.kind == "call":
            lines.append(f"  S-->>C: ({', '.join(a.name for a in m.results)})")
    lines += ["```", ""]
    for name, value, doc in interface.constants:
        lines += [f"- `{name}` = {value}. {doc}".rstrip()]
    for name, (words, doc) in interface.enums.items():
        numbered = ", ".join(f"`{w}` {i}" for i, w in enumerate(words))
        lines += [f"- `{name}`: {numbered}. {doc}".rstrip()]
    lines += ["", "| number | kind | name | takes | gives | |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for m in interface.messages:
        gives = _list(m.results) if m.kind == "call" else ""
        about = f"{m.number} | {m.kind} | `{m.name}` | {_list(m.arguments)} | {gives}"
        lines.append(f"| {about} | {m.doc} |")
    return "\n".join(lines) + "\n"
