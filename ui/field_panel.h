// One field: what its bits say, the rule for it, where its values came from, and every access that was seen.
#pragma once

#include <QScrollArea>
#include <optional>

#include "ui/conditions_model.h"
#include "ui/detail_model.h"

class QLabel;
class QVBoxLayout;

namespace vmxscope::ui {

class BadgeStrip;
class FittedTable;
class Tag;

class FieldPanel : public QScrollArea {
    Q_OBJECT

  public:
    explicit FieldPanel(QWidget* parent = nullptr);

    /// Of `shown` (null: nothing). `capabilities`, or null: for which settings are allowed.
    void show_shown(const ShownPtr& shown, const core::TargetCapabilities* capabilities);
    void show_field(vmx::Field field, const core::TargetCapabilities* capabilities);
    std::optional<vmx::Field> field() const { return field_; }
    void recolour();

  private:
    void fill(const core::TargetCapabilities* capabilities);
    void fill_values(std::size_t index);
    void fill_flow();
    FittedTable* table(QAbstractItemModel* model, int stretch, const char* name);

    ShownPtr shown_;
    std::optional<vmx::Field> field_;
    DetailModel details_;
    PartsModel parts_;
    EvidenceModel evidence_;
    QLabel *title_, *about_, *values_, *meaningless_, *rule_, *provenance_, *no_details_, *evidence_caption_;
    Tag *match_, *finding_;
    BadgeStrip* badges_;
    FittedTable *details_table_, *parts_table_, *evidence_table_;
    QVBoxLayout* layout_;
};

}  // namespace vmxscope::ui
