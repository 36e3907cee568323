#include "cpudriver/boot/fw_cfg.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace {

/// The device: selecting an item rewinds it, each byte read moves on, past the end come zeroes.
class FakeFwCfg {
  public:
    FakeFwCfg() { items_[0] = "QEMU"; }

    void add(const std::string& name, uint16_t key, const std::string& text) {
        items_[key] = text;
        directory_ += number(text.size(), 4) + number(key, 2) + number(0, 2);
        directory_ += name + std::string(56 - name.size(), '\0');
        items_[0x19] = number(++files_, 4) + directory_;
    }

    void damage_signature() { items_[0] = "QEMV"; }

    uint8_t in8(uint16_t port) {
        EXPECT_EQ(port, 0x511);
        const std::string& item = items_[selected_];
        return at_ < item.size() ? static_cast<uint8_t>(item[at_++]) : uint8_t{};
    }

    void out16(uint16_t port, uint16_t key) {
        EXPECT_EQ(port, 0x510);
        selected_ = key;
        at_ = 0;
    }

    uint16_t in16(uint16_t) { return 0; }

    uint32_t in32(uint16_t) { return 0; }

    void out8(uint16_t, uint8_t) {}

    void out32(uint16_t, uint32_t) {}

  private:
    static std::string number(uint64_t v, unsigned bytes) { // big-endian
        std::string text;
        for (unsigned i = bytes; i-- > 0;)
            text += static_cast<char>(v >> (8 * i));
        return text;
    }

    std::map<uint16_t, std::string> items_;
    std::string directory_;
    uint32_t files_ = 0;
    uint16_t selected_ = 0;
    size_t at_ = 0;
};

TEST(FwCfg, FindsAFileByItsWholeName) {
    FakeFwCfg device;
    device.add("opt/skerry/cmdline.old", 0x20, "wrong");
    device.add("opt/skerry/cmdline", 0x21, "ip=10.0.2.15 seed=7");
    device.add("opt/other", 0x22, "wrong");
    std::array<char, 64> text;
    EXPECT_EQ(boot::FwCfg{device}.file("opt/skerry/cmdline", text), "ip=10.0.2.15 seed=7");
    EXPECT_FALSE(boot::FwCfg{device}.file("opt/skerry", text));
}

TEST(FwCfg, CutsWhatDoesNotFit) {
    FakeFwCfg device;
    device.add("opt/skerry/cmdline", 0x21, "0123456789");
    std::array<char, 4> text;
    EXPECT_EQ(boot::FwCfg{device}.file("opt/skerry/cmdline", text), "0123");
}

TEST(FwCfg, IsAbsentWithoutItsSignature) {
    FakeFwCfg device;
    device.add("opt/skerry/cmdline", 0x21, "text");
    device.damage_signature();
    std::array<char, 64> text;
    EXPECT_FALSE(boot::FwCfg{device}.file("opt/skerry/cmdline", text));
}

} // namespace
