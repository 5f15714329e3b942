// Whether there is a display to open a window on.
#pragma once

#include <string>

namespace vmxscope::app {

/// Empty when Qt can open a window here; else a sentence with the remedy. Qt itself would abort the program.
/// Forks: to be called before any thread is started.
std::string why_no_display();

}  // namespace vmxscope::app
