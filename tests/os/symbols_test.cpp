#include "lib/os/symbols.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace {

std::string readable(std::string_view symbol) {
    std::array<char, 128> out;
    return std::string{os::readable(out, symbol)};
}

TEST(Symbols, ReadsNestedAndPlainNames) {
    EXPECT_EQ(readable("_ZN2os4Loop3runEv"), "os::Loop::run");
    EXPECT_EQ(readable("_ZNK3net3tcp10Connection5stateEv"), "net::tcp::Connection::state");
    EXPECT_EQ(readable("_Z11domain_mainRN2os6DomainE"), "domain_main");
    EXPECT_EQ(readable("_ZL6helperi"), "helper");
    EXPECT_EQ(readable("_start"), "_start");
}

TEST(Symbols, ReadsSpecialMembersAndAnonymousNamespaces) {
    EXPECT_EQ(readable("_ZN2os5FrameC2Ev"), "os::Frame::Frame");
    EXPECT_EQ(readable("_ZN2os5FrameD2Ev"), "os::Frame::~");
    EXPECT_EQ(readable("_ZN12_GLOBAL__N_13fooEv"), "(anonymous)::foo");
}

TEST(Symbols, LeavesTemplateArgumentsOut) {
    EXPECT_EQ(readable("_ZN2os7ExtentsILm64EE4takeEmm"), "os::Extents::take");
    EXPECT_EQ(readable("_ZN1aINS_1bEE1cEv"), "a::c");
}

TEST(Symbols, CopiesWhatItCannotRead) {
    EXPECT_EQ(readable("_Z"), "_Z");
    EXPECT_EQ(readable("_ZN99xE"), "_ZN99xE");
    EXPECT_EQ(readable(""), "");
    EXPECT_EQ(readable("_ZNI"), "_ZNI");
}

TEST(Symbols, CutsWhatIsTooLong) {
    std::array<char, 4> out;
    EXPECT_EQ(os::readable(out, "_ZN2os4LoopE"), "os::");
}

TEST(Symbols, NamesTraps) {
    EXPECT_EQ(os::name_of_trap(13), "general protection");
    EXPECT_EQ(os::name_of_trap(255), "trap");
    EXPECT_EQ(os::access_of(0x16), "execute");
    EXPECT_EQ(os::access_of(6), "write");
    EXPECT_EQ(os::access_of(4), "read");
}

} // namespace
