// A line for a condition: what is wrong with it, and where, is said below; a good one is told after a pause in typing.
#pragma once

#include <QWidget>

class QComboBox;
class QLabel;
class QLineEdit;
class QTimer;

namespace vmxscope::ui {

class FilterBar : public QWidget {
    Q_OBJECT

  public:
    explicit FilterBar(QWidget* parent = nullptr);

    /// As typed; applied at once.
    void set_text(const QString& text);
    QString text() const;
    /// The condition in force; empty: none.
    QString applied() const { return applied_; }
    /// What is wrong, as it is said; empty: nothing.
    QString error() const;
    /// How many rows are shown, of how many; `done` < 1: still looking.
    void set_counts(quint64 shown, quint64 all, double done);
    void focus();
    void recolour();

  signals:
    /// Empty: none.
    void changed(const QString& condition);

  private:
    void apply();

    QLineEdit* line_;
    QComboBox* ready_made_;
    QLabel *error_, *counts_;
    QTimer* pause_;
    QString applied_;
};

}  // namespace vmxscope::ui
