// What a trace file has besides its blocks: a head and an index. docs/trace-format.md.
#pragma once

#include <string>

#include "core/trace/block.h"
#include "core/trace/trace_info.h"

namespace vmxscope::core::trace {

inline constexpr std::uint32_t kFileVersion = 1;
inline constexpr std::size_t kFileHeadSize = 24;  // and behind it the TraceInfo
inline constexpr std::size_t kMostInfo = 1u << 20;
inline constexpr std::size_t kTrailerSize = 32;

Bytes file_head(const TraceInfo& info);
struct FileHead {
    TraceInfo info;
    std::size_t size = kFileHeadSize;  // where the blocks begin, as far as that is known
    std::string damage;                // a sentence; what is known of `info` is then nothing
};
/// Of the file's first bytes, kFileHeadSize + kMostInfo of them if there are so many. Fails for no trace and for a
/// later version.
Result<FileHead> parse_file_head(std::span<const std::byte> bytes);

/// Where a block is, and its head as it stands there.
struct IndexEntry {
    std::uint64_t offset = 0;
    std::array<std::byte, kBlockHeadSize> head{};
};
/// The index with the trailer that ends the file; `at` is its own offset.
Bytes file_index(std::span<const IndexEntry> blocks, std::uint64_t at);
struct Trailer {
    std::uint64_t index_at = 0, index_size = 0, checksum = 0;
};
/// Of the file's last kTrailerSize bytes. Empty: there is none.
std::optional<Trailer> parse_trailer(std::span<const std::byte> bytes);
std::optional<std::vector<IndexEntry>> parse_index(std::span<const std::byte> index, const Trailer& trailer);
/// Whether an index begins here.
bool is_index(std::span<const std::byte> bytes);

std::string info_json(const TraceInfo& info);
Result<TraceInfo> parse_info_json(std::string_view text);

}  // namespace vmxscope::core::trace
