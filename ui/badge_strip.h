// What deserves a second look in the shown transition, as chips; why, in their tool tips.
#pragma once

#include <QWidget>
#include <optional>

#include "ui/shown.h"

namespace vmxscope::ui {

class Tag;

class BadgeStrip : public QWidget {
    Q_OBJECT

  public:
    explicit BadgeStrip(QWidget* parent = nullptr);
    /// Null: none. With `field`: those alone that belong to it.
    void show_badges(const ShownPtr& shown, std::optional<vmx::Field> field = std::nullopt);
    /// The titles shown.
    QStringList titles() const { return titles_; }

  private:
    QList<Tag*> tags_;
    QStringList titles_;
};

}  // namespace vmxscope::ui
