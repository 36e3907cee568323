// Our own scripts, and with PACKETDRILL=path whichever lie there: a file, or all in a folder.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/net/packetdrill.hpp"

namespace {

std::vector<std::string> scripts_in(const std::filesystem::path& place) {
    std::vector<std::string> found;
    if (!std::filesystem::is_directory(place)) return {place.string()};
    for (const auto& entry : std::filesystem::recursive_directory_iterator{place}) {
        if (entry.path().extension() == ".pkt") found.push_back(entry.path().string());
    }
    std::ranges::sort(found);
    return found;
}

void play_all(const std::filesystem::path& place) {
    const auto scripts = scripts_in(place);
    EXPECT_FALSE(scripts.empty());
    for (const std::string& path : scripts) {
        std::ifstream file{path};
        std::ostringstream text;
        text << file.rdbuf();
        bench::Drill{}.play(path, text.str());
        if (testing::Test::HasFailure()) return;
    }
}

} // namespace

TEST(Packetdrill, OurScriptsHold) {
    play_all("tests/net/scripts");
}

TEST(Packetdrill, ScriptsFromElsewhereHold) {
    const char* place = std::getenv("PACKETDRILL");
    if (place == nullptr) GTEST_SKIP() << "PACKETDRILL=path plays others";
    play_all(place);
}
