// Recording real guests of the lab's KVM while they run: nothing is lost when that is asked for, and what the trace says is what
// stepping says. One lab for all: a recording ends where the vCPUs are stopped, and the next begins there.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <set>
#include <source_location>

#include <unistd.h>

#include <fmt/format.h>

#include "core/recorder.h"
#include "core/rsp/remote_target.h"
#include "core/trace/trace.h"
#include "nested/pdptr.h"
#include "tests/lab/lab_fixture.h"

using namespace vmxscope;
using core::trace::Trace;
using nested::Kind;
using nested::Transition;
using vmx::Field;

namespace {

constexpr std::uint64_t kEnough = 3000;  // transitions
const char* const kGuest = "pae-toggle";

template <typename T>
T require(core::Result<T> result, std::source_location where = std::source_location::current()) {
    EXPECT_TRUE(result) << "at line " << where.line() << ": " << (result ? "" : result.error().text());
    if (!result) std::exit(1);  // the rest would only say the same in other words
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

core::Target& target() {
    static const auto attached = [] {
        const lab::Lab& lab = lab::running_lab(kGuest);
        auto t = require(core::rsp::attach_remote(lab.agent_endpoint(), kGuest, lab::told_on_stderr()));
        while (!require(t->wait(std::chrono::seconds(1)))) continue;
        return t;
    }();
    return *attached;
}

/// Runs the guest until the recorder has what it wants, stops it, and takes the rest.
void run_into(core::Recorder& recorder) {
    require(target().resume({core::Action{}}));
    while (!require(recorder.pull(target()))) ASSERT_FALSE(require(target().wait(std::chrono::milliseconds(200)))) << "the guest stopped";
    require(target().interrupt());
    // A stop takes as long as what is in the kernel's ring; the last word of it belongs to the recording, too.
    while (!require(target().wait(std::chrono::seconds(1)))) continue;
    require(recorder.pull(target()));
}

std::filesystem::path file_of(const char* name) {
    return std::filesystem::temp_directory_path() / fmt::format("vmxscope-record-{}-{}.vxt", ::getpid(), name);
}

/// Records, and gives the finished trace.
Trace recorded(const char* name, const core::RecordSettings& settings, core::RecorderOptions options) {
    options.path = file_of(name);
    options.replace = true;
    auto info = core::trace_info_of(target(), settings.evidence, options.fields);
    const std::uint64_t after = require(target().history()).last;
    require(target().record(settings));
    core::Recorder recorder = require(core::Recorder::create(std::move(options), std::move(info), after));
    run_into(recorder);
    require(recorder.finish());
    EXPECT_EQ(recorder.missed(), 0u);
    Trace trace = require(Trace::open(file_of(name)));
    EXPECT_TRUE(trace.damage().empty());
    std::filesystem::remove(file_of(name));
    return trace;
}

std::vector<Transition> all_of(const Trace& trace) {
    std::vector<Transition> all;
    require(trace.scan(trace.first(), [&](const Transition& t) {
        all.push_back(t);
        return true;
    }));
    return all;
}

/// What can come after `before` on one vCPU.
bool may_follow(Kind before, Kind now) {
    switch (before) {
        case Kind::L1Exit: return now == Kind::NestedEntry || now == Kind::NestedEntryFailed || now == Kind::L1Entry;
        case Kind::NestedEntry: return now == Kind::L2Entry || now == Kind::NestedExit;
        case Kind::L2Entry: return now == Kind::L2Exit;
        case Kind::L2Exit: return now == Kind::L2Entry || now == Kind::NestedExit;
        case Kind::NestedExit:
        case Kind::NestedEntryFailed: return now == Kind::L1Entry;
        case Kind::L1Entry: return now == Kind::L1Exit;
    }
    return false;
}

/// Every crossing is there, in the order in which they can only come.
void expect_unbroken(const std::vector<Transition>& all) {
    for (std::size_t i = 1; i < all.size(); ++i) {
        EXPECT_EQ(all[i].seq, all[i - 1].seq + 1);
        EXPECT_GE(all[i].tsc, all[i - 1].tsc) << all[i].seq;
        EXPECT_EQ(all[i].lost_before, 0u) << all[i].seq;
        EXPECT_TRUE(may_follow(all[i - 1].kind, all[i].kind)) << all[i].seq << ": " << name_of(all[i - 1].kind) << ", then " << name_of(all[i].kind);
    }
}

/// The rule decides at every nested entry and exit, and all rows but the impossible ones of this guest are seen.
void expect_verdicts(const std::vector<Transition>& all) {
    std::set<std::string> rows;
    for (const Transition& t : all) {
        const auto v = nested::pdptr_verdict(t);
        if (!v) continue;
        rows.insert(v->row);
        EXPECT_NE(v->by_rule, nested::Did::Unknown) << t.seq << " " << v->reason;
        // At a copy, what was copied is seen on both sides.
        if (v->did == nested::Did::Copied) {
            EXPECT_EQ(t.vmcs12_after[Field::GUEST_PDPTR1], t.vmcs02_after[Field::GUEST_PDPTR1]) << t.seq;
        }
    }
    for (const char* row : {"COPIED", "KEPT_VALID", "EXIT_COPIED", "EXIT_SKIP_NOT_PAE"}) EXPECT_TRUE(rows.count(row)) << row;
}

double bytes_each(const Trace& trace) { return static_cast<double>(trace.bytes()) / static_cast<double>(trace.count()); }

}  // namespace

TEST(Record, AllFieldsWithoutALoss) {
    // What L1 does before its first round is no round trip.
    (void)recorded("begin", {.lossless = true}, {.transitions = 1500});
    const Trace trace = recorded("all", {.lossless = true}, {.transitions = kEnough});
    EXPECT_EQ(trace.count(), kEnough);
    const auto all = all_of(trace);
    expect_unbroken(all);
    expect_verdicts(all);
    EXPECT_LE(bytes_each(trace), 64);
    fmt::print("all fields: {:.1f} bytes a transition\n", bytes_each(trace));
    EXPECT_NE(trace.info().tsc_khz, 0u);
    EXPECT_FALSE(trace.info().host.empty());
    for (const Transition& t : all) {
        const bool level2 = t.kind == Kind::L2Entry || t.kind == Kind::L2Exit;
        if (!level2) continue;
        EXPECT_EQ(t.vmcs02_as_of, t.seq);
        EXPECT_EQ(t.regs[nested::RIP], t.vmcs02_after[Field::GUEST_RIP]) << t.seq;
        EXPECT_TRUE(t.vmcs02_after[Field::EPT_POINTER].known()) << t.seq;
    }
}

TEST(Record, TheVerdictsFieldsAloneDecideAsWell) {
    const Trace trace = recorded("verdict", {.all_fields = false, .lossless = true}, {.transitions = kEnough});
    const auto all = all_of(trace);
    expect_unbroken(all);
    expect_verdicts(all);
    EXPECT_FALSE(all.back().vmcs02_after[Field::HOST_RIP].known()) << "nobody asked for it";
}

TEST(Record, AFlightRecorderKeepsWhatLedToTheCondition) {
    const auto until = core::query::Query::parse("pdptr.alarm");
    ASSERT_TRUE(until);
    const Trace trace = recorded("ring", {.all_fields = false, .lossless = true}, {.ring_bytes = 64u << 10, .until = *until});
    const auto all = all_of(trace);
    ASSERT_FALSE(all.empty());
    const auto v = nested::pdptr_verdict(all.back());
    ASSERT_TRUE(v);
    EXPECT_TRUE(v->alarm) << "the last is the one that ended it";
    for (std::size_t i = 0; i + 1 < all.size(); ++i)
        EXPECT_FALSE(nested::pdptr_verdict(all[i]).value_or(nested::Verdict{}).alarm) << all[i].seq;
}

TEST(Record, EvidenceIsRecordedToo) {
    const Trace trace = recorded("evidence", {.evidence = nested::EvidenceScope::Pdptrs, .lossless = true}, {.transitions = 600});
    const auto all = all_of(trace);
    expect_unbroken(all);
    std::size_t agreed = 0;
    for (const Transition& t : all)
        if (const auto v = nested::pdptr_verdict(t); v && v->by_evidence != nested::Did::Unknown) {
            EXPECT_TRUE(v->agree) << t.seq;
            ++agreed;
        }
    EXPECT_GT(agreed, 60u);
}

TEST(Record, SteppingGoesOnAfterARecording) {
    require(target().resume({{std::nullopt, core::StepKind::Nested}}));
    std::optional<core::Stop> stop;
    while (!stop) stop = require(target().wait(std::chrono::seconds(1)));
    const Transition t = require(target().transition(stop->seq));
    const auto v = nested::pdptr_verdict(t);
    ASSERT_TRUE(v);
    EXPECT_NE(v->by_evidence, nested::Did::Unknown) << v->evidence_gap;
    EXPECT_TRUE(v->agree);
}

TEST(Record, WhatWasRecordedIsKeptWhenTheAgentIsKilled) {
    const auto path = file_of("killed");
    auto info = core::trace_info_of(target(), nested::EvidenceScope::None, {});
    const std::uint64_t after = require(target().history()).last;
    require(target().record({.lossless = true}));
    core::Recorder recorder = require(core::Recorder::create({.path = path, .replace = true}, std::move(info), after));
    require(target().resume({core::Action{}}));
    while (recorder.transitions() < 600) {
        (void)require(target().wait(std::chrono::milliseconds(200)));
        require(recorder.pull(target()));
    }
    lab::sh(lab::running_lab(kGuest), "kill -9 $(cat /run/agent.pid)");
    core::Result<bool> pulled = false;
    while (pulled) {
        (void)target().wait(std::chrono::milliseconds(200));
        pulled = recorder.pull(target());
    }
    require(recorder.finish());
    const Trace trace = require(Trace::open(path));
    EXPECT_EQ(trace.count(), recorder.transitions());
    EXPECT_GE(trace.count(), 600u);
    expect_unbroken(all_of(trace));
    std::filesystem::remove(path);
}
