// What registers a stub says it has: target.xml and the documents that it includes (gdb manual, "Target Descriptions").
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "plugins/remote/registers.h"

namespace vmxscope::remote {

struct TargetDescription {
    std::string architecture;              // "i386:x86-64", "" = not said
    std::vector<RegisterShape> registers;  // in the order of `g`
};

/// Gives one of the stub's documents by its name.
using ReadDocument = std::function<core::Result<std::string>(const std::string& name)>;

/// A document's largest size, how many of them, registers, and bytes of one. A processor's are some hundred.
inline constexpr std::size_t kMostXml = 1u << 20, kMostDocuments = 32, kMostRegisters = 4096, kMostRegisterBytes = 1024;

/// Fails where a document is no XML, describes no register, or more than the above.
core::Result<TargetDescription> read_description(const ReadDocument& read);

}  // namespace vmxscope::remote
