// The PDPTR lens: verdict, values, rule against evidence, conditions.
#pragma once

#include <QScrollArea>

#include "ui/conditions_model.h"
#include "ui/pdptr_model.h"
#include "ui/shown.h"

class QLabel;

namespace vmxscope::ui {

class FittedTable;
class Tag;
class VerdictBanner;

class PdptrPanel : public QScrollArea {
    Q_OBJECT

  public:
    explicit PdptrPanel(QWidget* parent = nullptr);

    /// Shows the transition's verdict (null: nothing), or where it has none, that of the newest transition before it on
    /// its vCPU that has one, and says so.
    void show_shown(const ShownPtr& shown);
    /// The four entries in L2's memory at this stop; or why they are not known, or not of interest ("").
    void show_memory(const std::array<std::uint64_t, 4>& entries);
    void show_no_memory(const QString& why);
    void recolour();

  private:
    FittedTable* pdptr_table();
    FittedTable* conditions_table();
    FittedTable* evidence_table();

    PdptrModel pdptrs_;
    ConditionsModel conditions_;
    EvidenceModel evidence_;
    QLabel *borrowed_, *memory_, *no_evidence_, *conditions_caption_, *evidence_caption_;
    VerdictBanner* banner_;
    Tag* agree_;
    FittedTable *table_, *conditions_table_, *evidence_table_;
};

}  // namespace vmxscope::ui
