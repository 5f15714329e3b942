#include "vmx/decode/bitmaps.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "vmx/decode/msr_names.h"

namespace vmxscope::vmx {
namespace {

constexpr std::uint32_t kMsrsPerPart = 0x2000, kHighMsrs = 0xc0000000;
constexpr std::uint32_t kPortsPerPage = 0x8000;

bool bit_of(std::span<const std::byte> bytes, std::uint32_t number) {
    return ((static_cast<unsigned>(bytes[number / 8]) >> (number % 8)) & 1) != 0;
}

/// 1 KByte for each of: reads low, reads high, writes low, writes high.
std::span<const std::byte> part(BitmapPage bitmap, MsrAccess access, bool high) {
    return bitmap.subspan((access == MsrAccess::Write ? 2048u : 0u) + (high ? 1024u : 0u), 1024);
}

/// The runs of numbers below `count` for which `is_set`, moved up by `base`.
void add_ranges(std::vector<BitmapRange>& ranges, std::uint32_t count, std::uint32_t base,
                const std::function<bool(std::uint32_t)>& is_set) {
    for (std::uint32_t n = 0; n < count; ++n) {
        if (!is_set(n)) continue;
        if (!ranges.empty() && ranges.back().last + 1 == base + n)
            ranges.back().last = base + n;
        else
            ranges.push_back({base + n, base + n});
    }
}

using RangesOf = std::function<std::vector<BitmapRange>(bool first_only)>;

/// What the first alone and what the second alone intercepts, in order.
std::vector<BitmapDifference> differences(const RangesOf& ranges_of) {
    std::vector<BitmapDifference> all;
    for (const bool first : {true, false})
        for (const BitmapRange& range : ranges_of(first)) all.push_back({range, first});
    std::sort(all.begin(), all.end(),
              [](const BitmapDifference& a, const BitmapDifference& b) { return a.range.first < b.range.first; });
    return all;
}

}  // namespace

std::vector<BitmapRange> intercepted_msrs(BitmapPage bitmap, MsrAccess access) {
    std::vector<BitmapRange> ranges;
    for (const bool high : {false, true})
        add_ranges(ranges, kMsrsPerPart, high ? kHighMsrs : 0,
                   [bits = part(bitmap, access, high)](std::uint32_t n) { return bit_of(bits, n); });
    return ranges;
}

std::optional<bool> intercepts_msr(BitmapPage bitmap, std::uint32_t msr, MsrAccess access) {
    const bool high = msr >= kHighMsrs;
    const std::uint32_t number = high ? msr - kHighMsrs : msr;
    if (number >= kMsrsPerPart) return std::nullopt;
    return bit_of(part(bitmap, access, high), number);
}

std::vector<BitmapRange> intercepted_ports(BitmapPage a, BitmapPage b) {
    std::vector<BitmapRange> ranges;
    add_ranges(ranges, kPortsPerPage, 0, [a](std::uint32_t n) { return bit_of(a, n); });
    add_ranges(ranges, kPortsPerPage, kPortsPerPage, [b](std::uint32_t n) { return bit_of(b, n); });
    return ranges;
}

std::vector<BitmapDifference> differing_msrs(BitmapPage first, BitmapPage second, MsrAccess access) {
    return differences([&](bool of_first) {
        std::vector<BitmapRange> ranges;
        for (const bool high : {false, true}) {
            const auto mine = part(of_first ? first : second, access, high);
            const auto theirs = part(of_first ? second : first, access, high);
            add_ranges(ranges, kMsrsPerPart, high ? kHighMsrs : 0,
                       [mine, theirs](std::uint32_t n) { return bit_of(mine, n) && !bit_of(theirs, n); });
        }
        return ranges;
    });
}

std::vector<BitmapDifference> differing_ports(BitmapPage first_a, BitmapPage first_b, BitmapPage second_a,
                                              BitmapPage second_b) {
    return differences([&](bool of_first) {
        std::vector<BitmapRange> ranges;
        for (const bool high : {false, true}) {
            const BitmapPage one = high ? first_b : first_a, two = high ? second_b : second_a;
            const BitmapPage mine = of_first ? one : two, theirs = of_first ? two : one;
            add_ranges(ranges, kPortsPerPage, high ? kPortsPerPage : 0,
                       [mine, theirs](std::uint32_t n) { return bit_of(mine, n) && !bit_of(theirs, n); });
        }
        return ranges;
    });
}

std::string describe_msrs(const BitmapRange& range) {
    constexpr unsigned kMostNames = 4;
    if (range.first == range.last) {
        const std::string_view name = msr_name(range.first);
        return fmt::format("{:#x}{}{}", range.first, name.empty() ? "" : " ", name);
    }
    std::string names;
    unsigned count = 0;
    for (std::uint64_t msr = range.first; msr <= range.last; ++msr) {
        const std::string_view name = msr_name(static_cast<std::uint32_t>(msr));
        if (name.empty()) continue;
        if (++count <= kMostNames) names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    }
    if (count > kMostNames) names += fmt::format(" and {} more", count - kMostNames);
    return fmt::format("{:#x} to {:#x}{}", range.first, range.last, names.empty() ? "" : " (" + names + ")");
}

std::string describe_ports(const BitmapRange& range) {
    if (range.first == range.last) return fmt::format("{:#x}", range.first);
    return fmt::format("{:#x} to {:#x}", range.first, range.last);
}

}  // namespace vmxscope::vmx
