// The program's icons: SVG drawings in resources/icons that are drawn in the palette's text colour.
#pragma once

#include <QIcon>

namespace vmxscope::ui {

/// "step" -> :/icons/step.svg, its currentColor replaced; with a faded variant for disabled actions.
QIcon themed_icon(const QString& name);
QIcon application_icon();

}  // namespace vmxscope::ui
