// The PDPTR verdict at a glance: a big word, a sentence, and what is undefined.
#pragma once

#include <QWidget>
#include <optional>

#include "ui/transition_list_model.h"
#include "ui/verdict_text.h"

class QLabel;

namespace vmxscope::ui {

/// A word on a ground of its look, with its glyph, broken into lines where it must be; hatched when it says that
/// something is undefined.
class Tag : public QWidget {
    Q_OBJECT

  public:
    explicit Tag(QWidget* parent = nullptr);
    void say(Mark mark, const QString& text);
    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;
    int heightForWidth(int width) const override;

  protected:
    void paintEvent(QPaintEvent* event) override;

  private:
    QString full_text() const;
    Mark mark_ = Mark::None;
    QString text_;
};

class VerdictBanner : public QWidget {
    Q_OBJECT

  public:
    explicit VerdictBanner(QWidget* parent = nullptr);
    void show_verdict(const TransitionPtr& transition, const std::optional<nested::Verdict>& verdict);
    /// After a change of theme.
    void recolour();

  protected:
    void paintEvent(QPaintEvent* event) override;

  private:
    Mark mark_ = Mark::None;
    QLabel *word_, *where_, *reason_, *used_;
    Tag *undefined_, *alarm_;
};

}  // namespace vmxscope::ui
