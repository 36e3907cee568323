#include "usr/httpd/http.hpp"

#include <algorithm>
#include <charconv>

#include "lib/base/format.hpp"

namespace http {

namespace {

constexpr std::string_view head_end = "\r\n\r\n";

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

/// Cuts the text before `mark` off the front of `rest`; all of it if there is no mark.
std::string_view cut(std::string_view& rest, std::string_view mark) {
    const size_t at = std::min(rest.find(mark), rest.size());
    const std::string_view front = first_of(rest, at);
    rest.remove_prefix(std::min(at + mark.size(), rest.size()));
    return front;
}

bool blank(char c) {
    return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && blank(text.back()))
        text.remove_suffix(1);
    return text;
}

std::string_view digits_of(uint64_t number, std::span<char> room) {
    const auto end = std::to_chars(room.data(), room.data() + room.size(), number).ptr;
    return {room.data(), static_cast<size_t>(end - room.data())};
}

bool printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

/// RFC 9112 3: method SP request-target SP HTTP-version.
Parser::Outcome parse_start_line(std::string_view line) {
    const std::string_view method = cut(line, " ");
    std::string_view target = cut(line, " ");
    if (method.empty() || target.empty() || !printable(target) || target[0] != '/')
        return {.request = {}, .refusal = Refusal::bad_request};
    if (line != "HTTP/1.1" && line != "HTTP/1.0")
        return {
            .request = {},
            .refusal = line.starts_with("HTTP/") ? Refusal::version : Refusal::bad_request
        };
    Request request;
    request.method = method == "GET"    ? Method::get
                     : method == "HEAD" ? Method::head
                                        : Method::other;
    request.path = cut(target, "?");
    request.keep_alive = line == "HTTP/1.1";
    return {.request = request, .refusal = {}};
}

/// Applies one header field; a body would have to be read before the next request, and no
/// resource here takes one.
std::optional<Refusal> apply_field(Request& request, std::string_view line) {
    if (line.find(':') == std::string_view::npos) return Refusal::bad_request;
    const std::string_view name = cut(line, ":");
    if (name.empty() || !printable(name)) // RFC 9112 5.1: no space before the colon
        return Refusal::bad_request;
    const std::string_view value = trimmed(line);
    if (equal_ignoring_case(name, "connection")) {
        if (equal_ignoring_case(value, "close")) request.keep_alive = false;
        if (equal_ignoring_case(value, "keep-alive")) request.keep_alive = true;
    }
    if (equal_ignoring_case(name, "transfer-encoding")) return Refusal::not_implemented;
    if (equal_ignoring_case(name, "content-length") && value != "0")
        return Refusal::not_implemented;
    return {};
}

} // namespace

std::span<std::byte> Parser::room() {
    return std::as_writable_bytes(std::span{buffer_}.subspan(filled_));
}

Parser::Outcome Parser::next() {
    // RFC 9112 2.2: a server should ignore at least one empty line before the request line.
    while (filled_ >= 2 && buffer_[0] == '\r' && buffer_[1] == '\n') {
        head_ = 2;
        done();
    }
    const std::string_view all{buffer_.data(), filled_};
    const size_t end = all.find(head_end);
    if (end == std::string_view::npos) {
        if (filled_ == buffer_.size()) return {.request = {}, .refusal = Refusal::head_too_large};
        return {};
    }
    std::string_view rest = first_of(all, end);
    head_ = end + head_end.size();
    Outcome outcome = parse_start_line(cut(rest, "\r\n"));
    while (outcome.request && !rest.empty())
        if (auto refusal = apply_field(*outcome.request, cut(rest, "\r\n")))
            return {.request = {}, .refusal = refusal};
    return outcome;
}

void Parser::done() {
    std::copy(
        buffer_.begin() + static_cast<ptrdiff_t>(head_),
        buffer_.begin() + static_cast<ptrdiff_t>(filled_),
        buffer_.begin()
    );
    filled_ -= head_;
    head_ = 0;
}

std::string_view reason(uint16_t status) {
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
    }
}

/// Piece by piece: to look for braces in each byte of it was a sixth of a request.
std::string_view write_head(const Head& head, std::span<char> out) {
    std::array<char, 20> status, length;
    const std::array pieces{
        std::string_view{"HTTP/1.1 "},
        digits_of(head.status, status),
        std::string_view{" "},
        reason(head.status),
        std::string_view{"\r\nServer: Skerry\r\nContent-Type: "},
        head.content_type,
        std::string_view{"\r\nContent-Length: "},
        digits_of(head.content_bytes, length),
        std::string_view{head.keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n"},
    };
    size_t used = 0;
    for (const std::string_view piece : pieces) {
        if (piece.size() > out.size() - used) return {};
        std::ranges::copy(piece, out.begin() + static_cast<ptrdiff_t>(used));
        used += piece.size();
    }
    return {out.data(), used};
}

std::string_view content_type_of(std::string_view path) {
    struct Type {
        std::string_view ending, type;
    };

    constexpr Type types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css"},
        {".js", "text/javascript"},
        {".svg", "image/svg+xml"},
        {".txt", "text/plain; charset=utf-8"},
        {".png", "image/png"},
    };
    for (const Type& t : types)
        if (path.ends_with(t.ending)) return t.type;
    return "application/octet-stream";
}

std::optional<uint64_t> bytes_wanted(std::string_view path) {
    constexpr std::string_view prefix = "/bytes/";
    if (!path.starts_with(prefix)) return {};
    path.remove_prefix(prefix.size());
    uint64_t n{};
    const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), n);
    if (error != std::errc{} || end != path.data() + path.size()) return {};
    if (n >= uint64_t{1} << 40) return {};
    return n;
}

} // namespace http
