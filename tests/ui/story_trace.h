// A trace file of a story.
#pragma once

#include <gtest/gtest.h>

#include <QString>

#include "core/trace/writer.h"
#include "tests/ui/samples.h"

namespace vmxscope::ui::test {

/// A trace of `count` transitions: a story again and again, each with a number and a time of its own.
inline QString make_trace(const QString& file, std::uint64_t count) {
    const auto story = samples::skipped();
    core::trace::TraceInfo info;
    info.target.name = "story:";
    info.target.kernel = "6.1.0";
    info.tsc_khz = 1'000'000;
    auto writer = core::trace::Writer::create(file.toStdString(), info, {.level = 1});
    EXPECT_TRUE(writer) << (writer ? "" : writer.error().text());
    if (!writer) return {};
    std::vector<nested::Transition> round;
    for (const auto& t : story) round.push_back(*t);
    for (std::uint64_t seq = 1; seq <= count; ++seq) {
        nested::Transition& t = round[(seq - 1) % round.size()];
        t.seq = seq;
        t.tsc = seq * 1'000;
        if (auto added = writer->add(t); !added) ADD_FAILURE() << added.error().text();
    }
    EXPECT_TRUE(writer->finish());
    return file;
}

}  // namespace vmxscope::ui::test
