#include "lib/os/manifest.hpp"

#include <algorithm>
#include <bit>

#include "lib/abi/startup.hpp"

namespace os {
namespace {

constexpr uint64_t kib = 1024;
constexpr uint64_t least_quota_kib = 128, most_quota_kib = 1024 * 1024;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

Result<uint64_t> number(std::string_view word, uint64_t most) {
    const auto value = parse_number(word, most);
    if (!value) return fail(Err::malformed);
    return *value;
}

/// A name that fits a capability's and a domain's name field.
Result<std::string_view> name(std::string_view word) {
    if (word.empty()) return fail(Err::malformed);
    if (word.size() > abi::name_bytes) return fail(Err::name_too_long);
    return word;
}

} // namespace

bool is_local_label(std::string_view label) {
    return label == "launch" || label == "memory" || label == "bundle" || label == "boot.info";
}

std::string_view take_word(std::string_view& line) {
    while (!line.empty() && is_blank(line.front()))
        line.remove_prefix(1);
    size_t end = 0;
    while (end < line.size() && !is_blank(line[end]))
        ++end;
    const std::string_view word = first_of(line, end);
    line.remove_prefix(end);
    return word;
}

bool is_variable(std::string_view text) {
    const size_t equals = index_of(text, '=');
    return equals != 0 && equals < text.size() && std::ranges::none_of(text, is_blank);
}

Result<RestartPolicy> parse_restart(std::string_view text) {
    RestartPolicy policy;
    const std::string_view when = take_until(text, '/');
    if (when == "on-fault")
        policy.when = RestartPolicy::When::on_fault;
    else if (when == "always")
        policy.when = RestartPolicy::When::always;
    else if (when != "never")
        return fail(Err::malformed);
    if (text.empty()) return policy;
    constexpr uint64_t day = 24 * 60 * 60;
    const uint64_t times = TRY(number(take_until(text, '/'), RestartPolicy::most_times));
    const uint64_t within = TRY(number(text, day));
    if (times == 0 || within == 0) return fail(Err::malformed);
    policy.times = static_cast<uint8_t>(times);
    policy.within = seconds(static_cast<int64_t>(within));
    return policy;
}

std::string_view Manifest::next_word(std::string_view& line) {
    return word_ = take_word(line);
}

Result<> Manifest::take_line(std::string_view line) {
    std::string_view rest = take_until(line, '#');
    const std::string_view verb = next_word(rest);
    if (verb.empty()) return {};
    if (verb == "device") return take_device(rest);
    if (verb == "domain") return take_domain(rest, Start::with_machine);
    if (verb == "counted") return take_domain(rest, Start::when_counted);
    if (verb == "image") return take_domain(rest, Start::by_others);
    return fail(Err::malformed);
}

Result<> Manifest::take_device(std::string_view rest) {
    if (device_count_ == max_devices) return fail(Err::no_space);
    DeviceEntry entry{.label = TRY(name(next_word(rest)))};
    if (device(entry.label) != nullptr) return fail(Err::exists);
    const std::string_view kind = next_word(rest);
    if (kind == "ports" || kind == "lines") {
        const bool ports = kind == "ports";
        const uint64_t most = ports ? 0x10000 : 1024;
        entry.kind = ports ? DeviceKind::ports : DeviceKind::lines;
        entry.first = static_cast<uint32_t>(TRY(number(next_word(rest), most - 1)));
        entry.count = static_cast<uint32_t>(TRY(number(next_word(rest), most - entry.first)));
        if (entry.count == 0) return fail(Err::malformed);
    } else if (kind == "irq") {
        entry.kind = DeviceKind::irq;
        entry.first = static_cast<uint32_t>(TRY(number(next_word(rest), 15)));
        entry.count = 1;
    } else if (kind == "window") {
        entry.kind = DeviceKind::window;
    } else {
        return fail(Err::malformed);
    }
    if (!next_word(rest).empty()) return fail(Err::malformed);
    devices_[device_count_++] = entry;
    return {};
}

Result<> Manifest::take_domain(std::string_view rest, Start start) {
    if (domain_count_ == max_domains) return fail(Err::no_space);
    DomainEntry entry{.name = TRY(name(next_word(rest)))};
    if (domain(entry.name) != nullptr) return fail(Err::exists);
    entry.start = start;
    if (start != Start::by_others) TRY_VOID(take_place(entry, next_word(rest)));
    entry.priority = static_cast<uint8_t>(TRY(number(next_word(rest), 31)));
    const uint64_t quota = TRY(number(next_word(rest), most_quota_kib));
    if (quota < least_quota_kib) return fail(Err::malformed);
    entry.quota = std::bit_ceil(quota * kib);
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest))
        TRY_VOID(take_option(entry, word));
    domains_[domain_count_++] = entry;
    return {};
}

const DomainEntry* Manifest::image_of_both(std::string_view program, std::string_view name) const {
    std::array<char, 32> image;
    return domain(format_to(image, "{}-{}", program, name));
}

const DomainEntry& Manifest::image_of(const DomainEntry& program, const Cmdline& settings) const {
    for (const DomainEntry& other : domains()) {
        if (shared_with(other.name, settings) != program.name) continue;
        const DomainEntry* const both = image_of_both(program.name, other.name);
        if (both != nullptr) return *both;
    }
    return program;
}

Result<> Manifest::take_place(DomainEntry& entry, std::string_view word) {
    if (Cmdline::is_program(word))
        entry.shares = TRY(name(word));
    else
        entry.place = static_cast<uint8_t>(TRY(number(word, 254)));
    return {};
}

Result<> Manifest::take_option(DomainEntry& entry, std::string_view word) const {
    constexpr std::string_view restart = "restart=", variable = "env:";
    if (word.starts_with(restart)) {
        entry.restart = TRY(parse_restart(word.substr(restart.size())));
        return {};
    }
    if (word == "bus-master") {
        entry.bus_master = true;
        return {};
    }
    if (word == "control") {
        entry.control = true;
        return {};
    }
    if (word.starts_with(variable)) {
        word.remove_prefix(variable.size());
        if (!is_variable(word)) return fail(Err::malformed);
        if (entry.variable_count == DomainEntry::max_variables) return fail(Err::no_space);
        entry.variable[entry.variable_count++] = word;
        return {};
    }
    if (entry.label_count == DomainEntry::max_labels) return fail(Err::no_space);
    if (!is_local_label(word) && device(word) == nullptr) return fail(Err::not_found);
    entry.label[entry.label_count++] = word;
    return {};
}

} // namespace os
