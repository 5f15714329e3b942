// Above the fields: which transition is shown, what it was about, why it went where it went, and what deserves a second
// look; or which VMCS of which file.
#pragma once

#include <QWidget>

#include "ui/shown.h"

class QComboBox;
class QLabel;
class QPushButton;

namespace vmxscope::ui {

class BadgeStrip;

class Heading : public QWidget {
    Q_OBJECT

  public:
    explicit Heading(QWidget* parent = nullptr);

    void show_shown(const ShownPtr& shown);
    /// Which VMCSs the file has, by name, and which of them is shown.
    void set_dump_choice(const QStringList& names, int at);
    /// 0: the shown transition is the live one, or none is.
    void set_live(quint64 shown_seq, quint64 live_seq);
    QString title() const;
    QString routing() const;
    BadgeStrip& badges() { return *badges_; }
    void recolour();

  signals:
    void go_live();
    void dump_picked(int at);
    void dump_closed();

  private:
    void show_transition(const Shown& shown);
    void show_dump(const DumpSource& dump);

    QLabel *title_, *facts_, *routing_, *notes_, *away_;
    QPushButton *live_, *close_dump_;
    QComboBox* dump_choice_;
    BadgeStrip* badges_;
};

}  // namespace vmxscope::ui
