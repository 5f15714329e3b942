// What was imported, for people and for scripts. The JSON is described in resources/import.schema.json.
#pragma once

#include <string>
#include <string_view>

#include "core/import/import.h"
#include "core/transition_json.h"
#include "core/transition_text.h"

namespace vmxscope::core {

/// The known fields whose names match `pattern` (see matching_fields), by group, each with what its value says, or why
/// it means nothing; what else the file holds; the warnings. Ends with a newline.
Result<std::string> imported_text(const Imported& imported, std::string_view pattern, Style style = Style::Plain);

/// {"format","description","vmcses":[{"role","label","fields":[{"field","group","value","meaning","meaningless"}],
/// "others"}],"nested","warnings"}. Fields that the file does not have are left out.
Result<Json> imported_json(const Imported& imported, std::string_view pattern);

}  // namespace vmxscope::core
