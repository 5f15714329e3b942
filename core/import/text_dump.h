// The text that KVM (dump_vmcs) and Xen (vmcs_dump_vcpu) print of a VMCS. Their lines are much alike, so one reader
// does for both; it passes over what logs and mails put before a line, and joins lines that a mail program has broken.
#pragma once

#include <string_view>

#include "core/import/import.h"

namespace vmxscope::core {

/// Whether there is such a dump in `text`, or a part of one.
bool looks_like_text_dump(std::string_view text);
bool looks_like_xen(std::string_view text);

/// Every dump in `text`, up to kMostVmcses. Sets all but `format`.
Imported read_text_dump(std::string_view text);

}  // namespace vmxscope::core
