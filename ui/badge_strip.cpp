#include "ui/badge_strip.h"

#include <algorithm>

#include "ui/text.h"
#include "ui/verdict_banner.h"
#include "ui/wrap_layout.h"

namespace vmxscope::ui {

BadgeStrip::BadgeStrip(QWidget* parent) : QWidget(parent) {
    new WrapLayout(this);
    QSizePolicy policy(QSizePolicy::Preferred, QSizePolicy::Minimum);
    policy.setHeightForWidth(true);
    setSizePolicy(policy);
}

void BadgeStrip::show_badges(const ShownPtr& shown, std::optional<vmx::Field> field) {
    qDeleteAll(std::exchange(tags_, {}));
    titles_.clear();
    const auto badges = nested::all_badges();
    for (std::size_t i = 0; shown && i < badges.size(); ++i) {
        const nested::Badge& badge = badges[i];
        if (!shown->badges[i]) continue;
        if (field && std::find(badge.fields.begin(), badge.fields.end(), *field) == badge.fields.end()) continue;
        auto* tag = new Tag(this);
        tag->say(Mark::Worth, qs(badge.title));
        tag->setToolTip(qs(badge.why));
        layout()->addWidget(tag);
        tags_ << tag;
        titles_ << qs(badge.title);
    }
    setVisible(!tags_.empty());
    updateGeometry();
}

}  // namespace vmxscope::ui
