"""The page of documentation of an interface."""


def _list(arguments):
    return ", ".join(f"`{a.name}: {a.type}`" for a in arguments) or "–"


def document(interface):
    """Markdown text."""
    kind = "local calls" if interface.local else "a channel"
    lines = [f"# {interface.name}: {interface.title}", "", f"Version {interface.version}, over {kind}. {interface.doc}".rstrip(), ""]
    lines += ["```mermaid", "sequenceDiagram", "  participant C as client", f"  participant S as {interface.name}"]
    for m in interface.messages:
        arrow = "S-->>C" if m.kind == "event" else "C->>S"
        lines.append(f"  {arrow}: {m.name}({', '.join(a.name for a in m.arguments)})")
        if m.kind == "call":
            lines.append(f"  S-->>C: ({', '.join(a.name for a in m.results)})")
    lines += ["```", ""]
    for name, value, doc in interface.constants:
        lines += [f"- `{name}` = {value}. {doc}".rstrip()]
    for name, (words, doc) in interface.enums.items():
        lines += [f"- `{name}`: {', '.join(f'`{w}` {i}' for i, w in enumerate(words))}. {doc}".rstrip()]
    lines += ["", "| number | kind | name | takes | gives | |", "| --- | --- | --- | --- | --- | --- |"]
    for m in interface.messages:
        gives = _list(m.results) if m.kind == "call" else ""
        lines.append(f"| {m.number} | {m.kind} | `{m.name}` | {_list(m.arguments)} | {gives} | {m.doc} |")
    return "\n".join(lines) + "\n"
