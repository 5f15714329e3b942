#include "core/trace/file_format.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace vmxscope::core::trace {
namespace {

constexpr std::string_view kMagic = "\x89VXT\r\n\x1a\n";  // not text, and no transfer as text leaves it whole
constexpr std::uint32_t kIndexMagic = 0x49545856;         // "VXTI"
constexpr std::uint32_t kTrailerMagic = 0x45545856;       // "VXTE"
constexpr std::size_t kIndexHeadSize = 16, kEntrySize = 8 + kBlockHeadSize;

std::uint64_t checksum(std::span<const std::byte> bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

/// Of the head but for its own place in it.
std::uint64_t head_checksum(std::span<const std::byte> head) {
    Bytes checked(head.begin(), head.begin() + 16);
    checked.insert(checked.end(), head.begin() + kFileHeadSize, head.end());
    return checksum(checked);
}

}  // namespace

Bytes file_head(const TraceInfo& info) {
    const std::string json = info_json(info);
    Bytes head;
    put_text(head, kMagic);
    put_fixed(head, kFileVersion, 4);
    put_fixed(head, json.size(), 4);
    put_fixed(head, 0, 8);
    put_text(head, json);
    Bytes sum;
    put_fixed(sum, head_checksum(head), 8);
    std::ranges::copy(sum, head.begin() + 16);
    return head;
}

Result<FileHead> parse_file_head(std::span<const std::byte> bytes) {
    Cursor in(bytes);
    const auto magic = in.take(kMagic.size());
    if (!in.ok() || std::memcmp(magic.data(), kMagic.data(), kMagic.size()) != 0)
        return fail("It does not begin as a trace does.", "Traces are made by: vmxscopectl record.");
    const std::uint64_t version = in.fixed(4), size = in.fixed(4), sum = in.fixed(8);
    FileHead head;
    if (!in.ok()) {
        head.damage = "The file ends in its head: nothing of the recording is in it.";
        return head;
    }
    if (version != kFileVersion)
        return fail(fmt::format("It has version {} of the trace format; this program knows {}.", version, kFileVersion),
                    "A newer vmxscope reads it.");
    if (size > kMostInfo || size > in.left() || head_checksum(bytes.first(kFileHeadSize + size)) != sum) {
        head.damage = "The head is damaged: where, when and of what the trace was recorded is not known.";
        return head;
    }
    const auto json = in.take(size);
    auto info = parse_info_json({reinterpret_cast<const char*>(json.data()), json.size()});
    if (info)
        head.info = std::move(*info);
    else
        head.damage = fmt::format("The head says what this program does not understand: {}", info.error().what);
    head.size = kFileHeadSize + size;
    return head;
}

Bytes file_index(std::span<const IndexEntry> blocks, std::uint64_t at) {
    Bytes out;
    out.reserve(kIndexHeadSize + blocks.size() * kEntrySize + kTrailerSize);
    put_fixed(out, kIndexMagic, 4);
    put_fixed(out, 0, 4);
    put_fixed(out, blocks.size(), 8);
    for (const IndexEntry& block : blocks) {
        put_fixed(out, block.offset, 8);
        out.insert(out.end(), block.head.begin(), block.head.end());
    }
    const std::uint64_t size = out.size(), sum = checksum(out);
    for (const std::uint64_t n : {at, size, sum}) put_fixed(out, n, 8);
    put_fixed(out, 0, 4);
    put_fixed(out, kTrailerMagic, 4);
    return out;
}

std::optional<Trailer> parse_trailer(std::span<const std::byte> bytes) {
    if (bytes.size() != kTrailerSize || get_fixed(bytes.subspan(24)) != std::uint64_t{kTrailerMagic} << 32)
        return std::nullopt;
    return Trailer{get_fixed(bytes.subspan(0, 8)), get_fixed(bytes.subspan(8, 8)), get_fixed(bytes.subspan(16, 8))};
}

std::optional<std::vector<IndexEntry>> parse_index(std::span<const std::byte> index, const Trailer& trailer) {
    if (!is_index(index) || checksum(index) != trailer.checksum) return std::nullopt;
    Cursor in(index);
    in.take(8);
    const std::uint64_t count = in.fixed(8);
    if (count != in.left() / kEntrySize || in.left() % kEntrySize != 0) return std::nullopt;
    std::vector<IndexEntry> blocks(count);
    for (IndexEntry& block : blocks) {
        block.offset = in.fixed(8);
        std::ranges::copy(in.take(kBlockHeadSize), block.head.begin());
    }
    return blocks;
}

bool is_index(std::span<const std::byte> bytes) {
    return bytes.size() >= kIndexHeadSize && get_fixed(bytes.first(4)) == kIndexMagic;
}

}  // namespace vmxscope::core::trace
