// The few kinds of text that panels are made of.
#pragma once

#include <QLabel>

namespace vmxscope::ui {

/// Plain text, broken into lines, that can be selected with the mouse.
QLabel* wrapped_label(QWidget* parent, const QString& text = {});
/// A bold line above a table.
QLabel* caption_label(QWidget* parent, const QString& text = {});
/// Sets the text, and hides the label when there is none.
void say(QLabel* label, const QString& text);
void set_text_colour(QWidget* widget, const QColor& colour);

}  // namespace vmxscope::ui
