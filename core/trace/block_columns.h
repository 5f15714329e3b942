// A block's columns, for who reads many blocks with one reader.
#pragma once

#include "core/trace/block.h"
#include "core/trace/columns.h"

namespace vmxscope::core::trace {

/// Of at least the block's first BlockHead::columns bytes, which must outlive the reader's use. Checks their checksum.
Result<void> open_columns(ColumnsReader& columns, std::span<const std::byte> block, const BlockHead& head);

}  // namespace vmxscope::core::trace
