#include <new>

#include "lib/os/math.hpp"
#include "tests/model/usr/cores/session.hpp"

namespace spanning {
namespace {

constexpr uint64_t rows = 512, in_a_row = 16, turns = 4;    // CG
constexpr uint64_t side = 64;                               // FT: so many rows and columns
constexpr uint64_t keys = 16384, buckets = 256, parts = 16; // IS

uint64_t next(uint64_t& word) {
    word = word * 6364136223846793005u + 1442695040888963407u;
    return word >> 33;
}

struct Complex {
    double re, im;
};

/// In memory that all cores see.
struct Data {
    std::array<std::array<uint32_t, in_a_row>, rows> column;
    std::array<double, rows> x, y;
    std::array<std::array<Complex, side>, side> grid, turned;
    std::array<Complex, side> roots;
    std::array<uint32_t, keys> key, sorted;
    std::array<std::array<uint32_t, buckets>, parts> count;
};

void prepare(Data& data) {
    uint64_t word = 1;
    for (auto& row : data.column)
        for (uint32_t& at : row)
            at = static_cast<uint32_t>(next(word) % rows);
    data.x.fill(1);
    constexpr double pi = 3.14159265358979323846;
    for (uint64_t i = 0; i < side; ++i) {
        const double angle = 2 * pi * static_cast<double>(i) / side;
        data.roots[i] = {os::cos(angle), -os::sin(angle)};
        for (uint64_t j = 0; j < side; ++j)
            data.grid[i][j] = {i == 0 && j == 0 ? 1.0 : 0.0, 0.0};
    }
    for (uint32_t& key : data.key)
        key = static_cast<uint32_t>(next(word) % buckets);
}

/// A sparse matrix times a vector, whose rows each have weight one: a vector of ones stays one.
bool conjugate(Data& data) {
    for (uint64_t turn = 0; turn < turns; ++turn) {
        os::parallel_for(0, rows, 16, [&data](uint64_t i) {
            double sum = 0;
            for (const uint32_t at : data.column[i])
                sum += data.x[at];
            data.y[i] = sum / in_a_row;
        });
        std::swap(data.x, data.y);
    }
    return std::ranges::all_of(data.x, [](double x) { return x == 1; });
}

/// Of one row, in place: decimation in frequency, the result in bit-reversed order.
void transform(std::array<Complex, side>& row, const std::array<Complex, side>& roots) {
    for (uint64_t half = side / 2, step = 1; half > 0; half /= 2, step *= 2)
        for (uint64_t block = 0; block < side; block += 2 * half)
            for (uint64_t k = 0; k < half; ++k) {
                Complex &a = row[block + k], &b = row[block + k + half];
                const Complex sum{a.re + b.re, a.im + b.im}, less{a.re - b.re, a.im - b.im};
                const Complex w = roots[k * step];
                a = sum;
                b = {less.re * w.re - less.im * w.im, less.re * w.im + less.im * w.re};
            }
}

/// In two dimensions, with the turn between them that moves every line; of a single one.
bool fourier(Data& data) {
    os::parallel_for(0, side, 2, [&data](uint64_t i) { transform(data.grid[i], data.roots); });
    os::parallel_for(0, side, 2, [&data](uint64_t i) {
        for (uint64_t j = 0; j < side; ++j)
            data.turned[i][j] = data.grid[j][i];
        transform(data.turned[i], data.roots);
    });
    return std::ranges::all_of(data.turned, [](const auto& row) {
        return std::ranges::all_of(row, [](Complex c) { return c.re == 1 && c.im == 0; });
    });
}

/// Counted in parts, then each part knows where its keys go.
bool sort(Data& data) {
    constexpr uint64_t each = keys / parts;
    os::parallel_for(0, parts, 1, [&data](uint64_t part) {
        data.count[part].fill(0);
        for (uint64_t i = part * each; i < (part + 1) * each; ++i)
            ++data.count[part][data.key[i]];
    });
    uint32_t sum = 0;
    for (uint64_t bucket = 0; bucket < buckets; ++bucket)
        for (auto& count : data.count)
            sum += std::exchange(count[bucket], sum);
    os::parallel_for(0, parts, 1, [&data](uint64_t part) {
        for (uint64_t i = part * each; i < (part + 1) * each; ++i)
            data.sorted[data.count[part][data.key[i]]++] = data.key[i];
    });
    return std::ranges::is_sorted(data.sorted);
}

} // namespace

void measure_compute(Session& session) {
    constexpr uint32_t samples = 3;
    const auto memory = os::map_shared(sizeof(Data));
    INVARIANT(memory.has_value(), "the quota has room for it");
    Data& data = *new (memory->data()) Data;
    const auto take = [&](std::string_view name, bool (*kernel)(Data&)) {
        std::array<uint64_t, samples> taken{};
        for (uint32_t i = 0; i <= samples; ++i) { // the first finds absent pages
            prepare(data);
            const uint64_t begun = os::read_tsc();
            const bool right = kernel(data);
            if (i > 0) taken[i - 1] = os::read_tsc() - begun;
            session.wrong += right ? 0 : 1;
        }
        std::ranges::sort(taken);
        session.add({name, samples, taken[samples / 2], 0});
    };
    take("cg", conjugate);
    take("ft", fourier);
    take("is", sort);
}

} // namespace spanning
