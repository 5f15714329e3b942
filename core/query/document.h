// The language described: for --help, and for docs/query-language.md, which is this text.
#pragma once

#include <string>

namespace vmxscope::core::query {

/// docs/query-language.md, with every name of the language.
std::string language_markdown();
/// The same, shorter, for a terminal.
std::string language_text();

}  // namespace vmxscope::core::query
