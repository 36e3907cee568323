// What the web server shows: the bundle's files, and what the spawners say of the domains.
#pragma once

#include <array>
#include <optional>

#include "lib/base/bundle.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/memory.hpp"
#include "lib/os/operation_marks.hpp"
#include "usr/httpd/connection.hpp"
#include "usr/httpd/pages.hpp"

namespace http {

class Site final : public Content {
  public:
    explicit Site(os::Domain& self);

    /// The bundle is there only if it was given. Errors: those of mapping and parsing it.
    Result<> open_bundle();

    async::Task<std::string_view> overview(std::span<char> out) override;
    Result<Bytes> file(std::string_view path) const override;
    void served() override;

  private:
    static constexpr size_t cores_shown = 16;
    static constexpr size_t rows_max = 128;

    async::Task<> ask(size_t core);

    os::Domain& self_;
    async::Semaphore one_page_;
    std::optional<os::View> files_;
    std::optional<bundle::Bundle> bundle_;
    std::array<os::Immortal<os::Binding>, cores_shown> spawners_;
    std::array<Text<16>, rows_max> names_;
    std::array<DomainRow, rows_max> rows_;
    size_t count_{};
    os::OperationMarks marks_;
    uint64_t served_{};
};

} // namespace http
