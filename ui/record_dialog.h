// Asks what is to be recorded, and into which file.
#pragma once

#include <QDialog>

#include "ui/recording.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QLineEdit;
class QSpinBox;

namespace vmxscope::ui {

class RecordDialog : public QDialog {
    Q_OBJECT

  public:
    explicit RecordDialog(const QString& file, QWidget* parent = nullptr);
    /// Nothing, and says below why, where it cannot be done so.
    std::optional<RecordRequest> request();
    QLineEdit* file() { return file_; }
    QLineEdit* until() { return until_; }
    QString error() const;

  signals:
    void asked(const vmxscope::ui::RecordRequest& request);

  private:
    void choose_file();
    void go();

    QString chosen_;
    QLineEdit *file_, *until_;
    QComboBox *fields_, *evidence_;
    QCheckBox *ring_, *lossless_;
    QSpinBox* ring_mib_;
    QLabel* error_;
};

}  // namespace vmxscope::ui
