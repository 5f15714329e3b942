// Every colour of the program. Models say what a cell means (ui/roles.h); only this file knows how that looks.
//
// Hues are from the Okabe-Ito set, told apart with every common kind of colour-blindness, and each comes with a glyph
// and a word (ui/verdict_text.h) or a pattern. A test holds every pair of text and ground to a contrast of 4.5:1.
#pragma once

#include <QBrush>
#include <QColor>
#include <QPalette>

#include "ui/verdict_text.h"

namespace vmxscope::ui {

enum class Theme { Light, Dark };

/// Text on ground, and the strong colour of bars and outlines.
struct Look {
    QColor text, ground, strong;
};

class Palette {
  public:
    explicit Palette(Theme theme);

    Theme theme() const { return theme_; }
    QPalette qt() const;

    Look mark(Mark mark) const;
    Look differs() const;
    Look changed() const;
    /// What is not a value ("not read"), and other secondary text, on base().
    QColor muted() const;
    QColor base() const;
    QColor text() const;
    QColor group() const;
    QColor line() const;
    Look error() const;
    Look notice() const;
    /// Diagonal hatching over an undefined cell, drawn on top of mark(Undefined).ground.
    QBrush hatch() const;

  private:
    bool dark() const { return theme_ == Theme::Dark; }
    Theme theme_;
};

/// The colours in use. Set once at start, and by the theme menu.
const Palette& colors();
/// Also sets the application's QPalette and style.
void use_theme(Theme theme);
/// What the desktop uses.
Theme system_theme();

/// WCAG 2 contrast ratio, 1…21.
double contrast(const QColor& a, const QColor& b);

}  // namespace vmxscope::ui
