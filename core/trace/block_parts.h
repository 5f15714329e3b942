// A block's parts: the columns for who reads many blocks with one reader, the checksums for who makes one.
#pragma once

#include "core/trace/block.h"
#include "core/trace/columns.h"

namespace vmxscope::core::trace {

/// Of at least the block's first BlockHead::columns bytes, which must outlive the reader's use. Checks their checksum.
Result<void> open_columns(ColumnsReader& columns, std::span<const std::byte> block, const BlockHead& head);

/// Puts the checksums into the head of a whole block, of at least kBlockHeadSize bytes.
void seal_block(std::span<std::byte> block);

}  // namespace vmxscope::core::trace
