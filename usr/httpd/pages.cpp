#include "usr/httpd/pages.hpp"

#include "lib/base/format.hpp"

namespace http {

namespace {

constexpr std::string_view page_begin =
    R"(<!doctype html><html lang="en"><meta charset="utf-8"><title>Skerry</title>
<meta name="viewport" content="width=device-width">
<style>
body{font:16px/1.45 system-ui,sans-serif;margin:0;background:#0e2a3a;color:#e9f1f4}
header,footer{padding:1.2rem 2rem}h1{margin:0;font-weight:600}p{margin:.3rem 0;color:#a9c4cf}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1rem;padding:0 2rem}
section{background:#f4f1ea;color:#1b2b33;border-radius:.6rem;padding:.8rem 1rem;
border-bottom:.4rem solid #5c8a6b}h2{margin:0 0 .4rem;font-size:1.1rem}
table{width:100%;border-collapse:collapse;font-size:.9rem}td{padding:.1rem 0}
td+td{text-align:right;white-space:nowrap;padding-left:.8rem;font-variant-numeric:tabular-nums;color:#5a6b73}
th{text-align:left;font-weight:500;color:#5a6b73}th+th{text-align:right;padding-left:.8rem}a{color:#8fd0e8}
section p{font-size:.85rem;color:#5a6b73;margin:.5rem 0 0}
</style>
)";

// Names come from images of the bundle and from whoever spawns: they are text, never markup.
void put_escaped(TextWriter& out, std::string_view text) {
    for (char c : text) {
        if (c == '<')
            out.put("&lt;");
        else if (c == '>')
            out.put("&gt;");
        else if (c == '&')
            out.put("&amp;");
        else if (c == '"')
            out.put("&quot;");
        else
            out.put(c);
    }
}

void put_domain(TextWriter& out, const DomainRow& row) {
    out.put("<tr><td>");
    put_escaped(out, row.name);
    if (row.state != "running") {
        out.put(" (");
        put_escaped(out, row.state);
        out.put(")");
    }
    format(
        out,
        "</td><td>{}.{:03} ms</td><td>{}</td></tr>\n",
        row.busy_us / 1000,
        row.busy_us % 1000,
        row.dispatches
    );
}

void put_core(TextWriter& out, const Overview& overview, uint32_t core) {
    format(out, "<section><h2>Core {}</h2><table>", core);
    out.put("<tr><th>domain</th><th>busy</th><th>runs</th></tr>\n");
    for (const DomainRow& row : overview.domains)
        if (row.core == core) put_domain(out, row);
    out.put("</table>");
    // These four are no children of the spawner; one that answers has them beside it.
    out.put("<p>beside its CPU driver, init, memory, monitor, spawn</p></section>\n");
}

} // namespace

std::string_view write_overview(const Overview& overview, std::span<char> out) {
    TextWriter writer{out};
    writer.put(page_begin);
    format(
        writer,
        "<header><h1>Skerry</h1><p>A multikernel on {} {}: one CPU driver and one "
        "monitor each, no shared kernel state.</p></header><main>\n",
        overview.cores,
        overview.cores == 1 ? "core" : "cores"
    );
    for (uint32_t core = 0; core < overview.cores; ++core)
        put_core(writer, overview, core);
    format(
        writer,
        "</main><footer><p>Up {}.{:03} s, {} requests served. Try <a href=\"/bytes/1000\">"
        "/bytes/1000</a>.</p></footer></html>\n",
        overview.uptime_ms / 1000,
        overview.uptime_ms % 1000,
        overview.served_requests
    );
    return writer.text();
}

} // namespace http
