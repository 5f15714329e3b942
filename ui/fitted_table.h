// A table as high as its rows: for short tables below each other in one scrolling panel.
#pragma once

#include <QTableView>

namespace vmxscope::ui {

class FittedTable : public QTableView {
    Q_OBJECT

  public:
    explicit FittedTable(QAbstractItemModel* model, QWidget* parent = nullptr);

    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;

  protected:
    void resizeEvent(QResizeEvent* event) override;

  private:
    void fit();
};

}  // namespace vmxscope::ui
