#include "plugins/lab/catalog.h"

#include <gtest/gtest.h>

using namespace vmxscope::lab;

TEST(Catalog, every_lab_is_found_by_its_name_and_says_what_it_is) {
    for (const CatalogEntry& entry : catalog()) {
        EXPECT_EQ(find_lab(entry.name), &entry);
        EXPECT_FALSE(entry.summary.empty());
        EXPECT_NE(catalog_names().find(entry.name), std::string_view::npos);
    }
    EXPECT_EQ(find_lab("pea-ept"), nullptr);
}

TEST(Catalog, the_SMP_lab_has_two_processors) {
    ASSERT_NE(find_lab("pae-ept-smp"), nullptr);
    EXPECT_EQ(find_lab("pae-ept-smp")->cpus, 2u);
}
