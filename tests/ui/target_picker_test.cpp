// The list of targets while it changes under the user's hand.
#include "ui/target_picker.h"

#include <gtest/gtest.h>

#include <QLineEdit>
#include <QListView>
#include <QSignalSpy>

namespace vmxscope::ui {
namespace {

core::TargetName target(const char* uri, const char* summary = "a guest") {
    return {uri, summary, true, {}};
}

class Picker : public ::testing::Test {
  protected:
    Picker() { picker.set_targets({target("t:a"), target("t:b"), target("t:c")}); }
    QListView& list() { return *picker.findChild<QListView*>(); }
    QStringList rows() {
        QStringList all;
        for (int row = 0; row < list().model()->rowCount(); ++row)
            all << list().model()->index(row, 0).data().toString();
        return all;
    }
    void choose(int row) { list().setCurrentIndex(list().model()->index(row, 0)); }
    QString chosen() { return list().currentIndex().data().toString(); }

    TargetPicker picker;
};

TEST_F(Picker, what_is_chosen_stays_chosen_where_others_come_go_and_change_places) {
    choose(1);
    picker.set_targets({target("t:new"), target("t:c"), target("t:b", "now it runs"), target("t:z")});
    EXPECT_EQ(rows(), (QStringList{"t:new", "t:c", "t:b", "t:z"}));
    EXPECT_EQ(chosen(), u"t:b");
    EXPECT_TRUE(list().selectionModel()->isSelected(list().currentIndex()));
    EXPECT_EQ(picker.uri(), u"t:b");
}

TEST_F(Picker, where_the_chosen_one_goes_no_other_is_chosen_in_its_place) {
    choose(1);
    picker.set_targets({target("t:a"), target("t:c")});
    EXPECT_EQ(chosen(), QString());
    EXPECT_FALSE(list().selectionModel()->hasSelection());
    EXPECT_EQ(picker.uri(), u"t:b");
    choose(0);
    EXPECT_EQ(picker.uri(), u"t:a");
}

TEST_F(Picker, what_is_typed_stays) {
    choose(0);
    picker.set_uri(QStringLiteral("kvm:1"));
    picker.set_targets({target("t:b"), target("t:a")});
    EXPECT_EQ(picker.uri(), u"kvm:1");
}

TEST_F(Picker, a_row_that_is_no_more_available_says_why_and_cannot_be_chosen) {
    auto gone = target("t:b");
    gone.available = false;
    gone.why_not = "It is shut off.";
    picker.set_targets({target("t:a"), gone});
    const QModelIndex row = list().model()->index(1, 0);
    EXPECT_FALSE(row.flags() & Qt::ItemIsEnabled);
    EXPECT_TRUE(row.data(Qt::ToolTipRole).toString().contains(u"It is shut off."));
}

TEST_F(Picker, the_same_target_twice_does_no_harm) {
    picker.set_targets({target("t:a"), target("t:a"), target("t:b")});
    EXPECT_EQ(rows(), (QStringList{"t:a", "t:a", "t:b"}));
    picker.set_targets({target("t:a")});
    EXPECT_EQ(rows(), (QStringList{"t:a"}));
    picker.set_targets({});
    EXPECT_EQ(rows(), QStringList{});
}

TEST_F(Picker, says_while_it_is_shown) {
    QSignalSpy shown(&picker, &TargetPicker::shown_changed);
    picker.show();
    picker.hide();
    EXPECT_EQ(shown, (QList<QVariantList>{{true}, {false}}));
}

}  // namespace
}  // namespace vmxscope::ui
