// A recording in a guest's place: by itself, behind the server, and with gdb.
#include "plugins/replay/replay_backend.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "core/rsp/remote_target.h"
#include "core/trace/writer.h"
#include "tests/core/scripted_target.h"
#include "tests/core/trace_samples.h"
#include "vmx/field_existence.h"

namespace vmxscope::replay {
namespace {

using core::Action;
using core::StepKind;
using core::Stop;
using core::Target;
using core::test::RunningServer;
using nested::Transition;

const core::Progress kQuiet = [](std::string_view, double) { return true; };

class Replay : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        core::test::RoundTrips guest(3, 2);
        for (int i = 0; i < 400; ++i) {
            all_.push_back(guest.next());
            if (all_.back().seq > 200) all_.back().seq += 50;
        }
        core::trace::TraceInfo info;
        info.target.name = "lab:sample";
        info.target.kernel = "6.1.0";
        info.tsc_khz = 2'000'000;
        info.evidence = nested::EvidenceScope::All;
        info.capabilities = core::test::example_capabilities();
        auto writer = core::trace::Writer::create(path(), info, {.transitions = 50}, true);
        ASSERT_TRUE(writer) << writer.error().what;
        for (const Transition& t : all_) ASSERT_TRUE(writer->add(t));
        ASSERT_TRUE(writer->finish());
    }
    static void TearDownTestSuite() {
        std::filesystem::remove(path());
        all_.clear();
    }
    static std::string path() { return ::testing::TempDir() + "vmxscope-replay-" + std::to_string(getpid()) + ".vxt"; }

    static std::unique_ptr<Target> open() {
        auto target = replay(path(), kQuiet);
        EXPECT_TRUE(target) << target.error().what;
        return target ? std::move(*target) : nullptr;
    }
    static Stop next(Target& target) {
        for (int i = 0; i < 6000; ++i) {
            const auto stop = target.wait(std::chrono::milliseconds(10));
            EXPECT_TRUE(stop) << stop.error().what;
            if (!stop) break;
            if (*stop) return **stop;
        }
        ADD_FAILURE() << "no stop";
        return {};
    }
    static Stop step(Target& target, StepKind kind, std::optional<std::uint32_t> vcpu = {}) {
        EXPECT_TRUE(target.resume(vcpu ? std::vector<Action>{{vcpu, kind}, {}} : std::vector<Action>{{{}, kind}}));
        return next(target);
    }
    static Stop step_back(Target& target, std::optional<StepKind> kind, std::optional<std::uint32_t> vcpu = {}) {
        EXPECT_TRUE(target.resume_back(kind, vcpu));
        return next(target);
    }

    static std::vector<Transition> all_;
};
std::vector<Transition> Replay::all_;

TEST_F(Replay, BeginsAtTheFirstTransitionAndStepsToEveryOther) {
    const auto target = open();
    EXPECT_EQ(target->info().name, "trace:" + path());
    EXPECT_EQ(target->info().kernel, "6.1.0");
    const Stop first = next(*target);
    EXPECT_EQ(first.why, Stop::Why::Attached);
    EXPECT_EQ(first.seq, all_.front().seq);
    for (std::size_t i = 1; i < all_.size(); ++i) {
        const Stop stop = step(*target, StepKind::Transition);
        ASSERT_EQ(stop.why, Stop::Why::Transition);
        ASSERT_EQ(stop.seq, all_[i].seq);
        ASSERT_EQ(stop.vcpu, all_[i].vcpu);
        const auto t = target->transition(stop.seq);
        ASSERT_TRUE(t && *t == all_[i]);
    }
}

TEST_F(Replay, ItsEndIsAStopAfterWhichItGoesOn) {
    const auto target = open();
    next(*target);
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(target->resume({Action{}}));
        const Stop end = next(*target);
        EXPECT_EQ(end.why, Stop::Why::End);
        EXPECT_EQ(end.text, "The recording ends here.");
        EXPECT_EQ(end.seq, all_.back().seq);
        EXPECT_EQ(end.vcpu, all_.back().vcpu);
    }
    EXPECT_EQ(step(*target, StepKind::Entry).why, Stop::Why::End);
    EXPECT_TRUE(target->transition(7));
    EXPECT_EQ(target->history()->first, all_.front().seq);
    EXPECT_EQ(target->history()->last, all_.back().seq);
    EXPECT_EQ(step_back(*target, StepKind::Transition).seq, all_[all_.size() - 2].seq);
    const Stop begin = step_back(*target, std::nullopt);
    EXPECT_EQ(begin.why, Stop::Why::End);
    EXPECT_EQ(begin.text, "The recording begins here.");
    EXPECT_EQ(begin.seq, all_.front().seq);
    EXPECT_EQ(step(*target, StepKind::Transition).seq, all_[1].seq);
}

TEST_F(Replay, StepsOfEveryKindForthAndBackAreEachOthersOpposite) {
    for (const StepKind kind : {StepKind::Nested, StepKind::Entry, StepKind::Exit})
        for (const auto vcpu : {std::optional<std::uint32_t>{}, std::optional<std::uint32_t>{1}}) {
            const auto target = open();
            next(*target);
            std::vector<std::uint64_t> want, forth, back;
            for (std::size_t i = 1; i < all_.size(); ++i)
                if (matches(kind, all_[i].kind) && (!vcpu || all_[i].vcpu == *vcpu)) want.push_back(all_[i].seq);
            for (Stop s = step(*target, kind, vcpu); s.why == Stop::Why::Transition; s = step(*target, kind, vcpu))
                forth.push_back(s.seq);
            EXPECT_EQ(forth, want);
            for (Stop s = step_back(*target, kind, vcpu); s.why == Stop::Why::Transition;
                 s = step_back(*target, kind, vcpu))
                back.push_back(s.seq);
            std::ranges::reverse(back);
            EXPECT_EQ(back, want);
        }
}

TEST_F(Replay, VcpusAreAsTheyWereThen) {
    const auto target = open();
    Stop stop = next(*target);
    const auto check = [&] {
        const auto vcpus = target->vcpus();
        ASSERT_TRUE(vcpus);
        ASSERT_EQ(vcpus->size(), 2u);
        for (const core::Vcpu& v : *vcpus) {
            std::uint64_t newest = 0;
            for (const Transition& t : all_)
                if (t.vcpu == v.id && t.seq <= stop.seq) newest = t.seq;
            EXPECT_EQ(v.last_seq, newest) << "at " << stop.seq;
            EXPECT_EQ(v.state, core::VcpuState::Held);
            EXPECT_EQ(v.level.has_value(), newest != 0);
        }
    };
    check();
    for (int i = 0; i < 120; ++i) {
        stop = i % 3 == 2 ? step_back(*target, StepKind::Nested)
                          : step(*target, i % 2 ? StepKind::Exit : StepKind::Transition);
        check();
    }
    ASSERT_TRUE(target->resume({Action{}}));
    stop = next(*target);
    check();
    stop = step_back(*target, std::nullopt);
    check();
}

TEST_F(Replay, TheWholeFileIsItsPast) {
    const auto target = open();
    std::size_t i = 0;
    for (std::uint64_t from = 0;;) {
        const auto block = target->past(from);
        ASSERT_TRUE(block);
        if (block->empty()) break;
        ASSERT_TRUE(core::trace::decode_block(*block, [&](const Transition& t) {
            EXPECT_EQ(t, all_.at(i++));
            from = t.seq + 1;
            return true;
        }));
    }
    EXPECT_EQ(i, all_.size());
}

TEST_F(Replay, WhatARecordingCannotTellItSays) {
    const auto target = open();
    const auto memory = target->read_memory(0, core::Space::L1Physical, 0x1000, 16);
    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.error().what, "A recording has no memory: it is of the transitions alone.");
    EXPECT_FALSE(target->msr_bitmap(0, Target::HardwareVmcs::Vmcs02));
    EXPECT_FALSE(target->ept02_walk(0, 0x1000));
    EXPECT_FALSE(target->record({}));
    EXPECT_TRUE(target->set_evidence(nested::EvidenceScope::All));
    EXPECT_FALSE(target->set_evidence(nested::EvidenceScope::Pdptrs));
    EXPECT_TRUE(target->capabilities());
}

TEST_F(Replay, AnInterruptStopsItWhereItIs) {
    const auto target = open();
    next(*target);
    step(*target, StepKind::Nested);
    const Stop here = step(*target, StepKind::Nested);
    ASSERT_TRUE(target->interrupt());
    const Stop stop = next(*target);
    EXPECT_EQ(stop.why, Stop::Why::Interrupted);
    EXPECT_EQ(stop.seq, here.seq);
    ASSERT_TRUE(target->resume({Action{}}));
    ASSERT_TRUE(target->interrupt());
    EXPECT_EQ(next(*target).seq, here.seq) << "before it ran on";
}

TEST_F(Replay, GoesToAnyTransition) {
    const auto target = open();
    next(*target);
    for (const std::size_t i : {399u, 0u, 250u}) {
        ASSERT_TRUE(target->go_to(all_[i].seq));
        EXPECT_EQ(next(*target).seq, all_[i].seq);
    }
    EXPECT_EQ(step(*target, StepKind::Transition).seq, all_[251].seq);
    EXPECT_FALSE(target->go_to(220));  // in a gap
    EXPECT_FALSE(target->go_to(0));
}

TEST_F(Replay, InNonStopModeEachVcpuGoesThroughItsOwn) {
    const auto target = open();
    next(*target);
    ASSERT_TRUE(target->set_non_stop(true));
    for (const std::uint32_t vcpu : {1u, 0u}) {
        for (const Transition& t : all_) {
            if (t.vcpu != vcpu || t.seq == all_.front().seq) continue;
            ASSERT_TRUE(target->resume({{vcpu, StepKind::Transition}}));
            const Stop stop = next(*target);
            ASSERT_EQ(stop.vcpu, vcpu);
            ASSERT_EQ(stop.seq, t.seq);
        }
        ASSERT_TRUE(target->resume({{vcpu, StepKind::Transition}}));
        EXPECT_EQ(next(*target).why, Stop::Why::End);
    }
    EXPECT_FALSE(target->resume_back(StepKind::Transition, {}));
    EXPECT_FALSE(target->go_to(1));
    ASSERT_TRUE(target->set_non_stop(false));
    ASSERT_TRUE(target->resume_back({}, {}));
    EXPECT_EQ(next(*target).seq, all_.front().seq);
}

TEST_F(Replay, InNonStopModeVcpusStopOneAfterTheOther) {
    const auto target = open();
    next(*target);
    ASSERT_TRUE(target->set_non_stop(true));
    ASSERT_TRUE(target->resume({{std::nullopt, StepKind::Exit}}));
    EXPECT_EQ(target->vcpus()->at(0).state, core::VcpuState::Running);
    const Stop one = next(*target), two = next(*target);
    EXPECT_NE(one.vcpu, two.vcpu);
    EXPECT_LT(one.seq, two.seq);
    EXPECT_EQ(target->vcpus()->at(one.vcpu).last_seq, one.seq);
    ASSERT_TRUE(target->resume({{}}));
    ASSERT_TRUE(target->interrupt_one(two.vcpu));
    const Stop interrupted = next(*target);
    EXPECT_EQ(interrupted.why, Stop::Why::Interrupted);
    EXPECT_EQ(interrupted.seq, two.seq);
    EXPECT_EQ(next(*target).why, Stop::Why::End);  // the other
    EXPECT_FALSE(*target->wait(std::chrono::milliseconds(1)));
}

TEST_F(Replay, BackendsTakeAPathForATarget) {
    core::Backends backends;
    backends.add(replay_backend());
    for (const std::string& uri : {path(), "trace:" + path()}) {
        const auto target = backends.attach(uri, kQuiet);
        ASSERT_TRUE(target) << target.error().what;
        EXPECT_EQ((*target)->info().name, "trace:" + path());
    }
    EXPECT_FALSE(backends.attach("trace:", kQuiet));
    EXPECT_FALSE(backends.attach("missing.vxt", kQuiet));
    EXPECT_FALSE(backends.attach("missing", kQuiet));
    const auto given_up = backends.attach(path(), [](std::string_view, double) { return false; });
    EXPECT_FALSE(given_up);
}

/// A server of the recording, for one client after the other.
class ReplayServed : public Replay {
  protected:
    RunningServer server{[] { return replay(path(), kQuiet); }, "tcp:127.0.0.1:0"};
};

TEST_F(ReplayServed, AClientSeesEveryTransitionAsItWasRecorded) {
    auto connected = core::rsp::attach_remote(server.endpoint().text(), "", kQuiet);
    ASSERT_TRUE(connected) << connected.error().what;
    Target& target = **connected;
    EXPECT_EQ(next(target).seq, all_.front().seq);
    for (std::size_t i = 1; i < all_.size(); ++i) {
        const Stop stop = step(target, StepKind::Transition);
        ASSERT_EQ(stop.seq, all_[i].seq);
        const auto t = target.transition(stop.seq);
        ASSERT_TRUE(t) << t.error().what;
        ASSERT_EQ(*t, all_[i]);
    }
    const Stop end = step(target, StepKind::Transition);
    EXPECT_EQ(end.why, Stop::Why::End);
    EXPECT_EQ(end.text, "The recording ends here.");
    EXPECT_EQ(end.seq, all_.back().seq);
    EXPECT_EQ(step_back(target, StepKind::Transition).seq, all_[all_.size() - 2].seq);
}

TEST_F(ReplayServed, ReverseStepsAreServedWhereTheTargetGoesBack) {
    core::test::RawClient client(server.connect());
    const std::string supported = client.ask("qSupported:multiprocess+;vmx+");
    EXPECT_NE(supported.find(";ReverseStep+;ReverseContinue+;"), std::string::npos) << supported;
    client.ask("?");
    const std::string end = client.ask("c");
    EXPECT_NE(end.find(fmt::format("replaylog:end;vmxwhy:end;vmxseq:{:x};", all_.back().seq)), std::string::npos)
        << end;
    client.ask("Hcp1.-1");
    const std::string back = client.ask("bs");
    EXPECT_NE(back.find("vmxwhy:transition;"), std::string::npos) << back;
    const std::string begin = client.ask("bc");
    EXPECT_NE(begin.find(fmt::format("vmxwhy:end;vmxseq:{:x};", all_.front().seq)), std::string::npos) << begin;
}

TEST_F(ReplayServed, EachVcpuRunsForItselfInNonStopMode) {
    core::test::RawClient client(server.connect());
    EXPECT_NE(client.ask("qSupported:multiprocess+").find(";QNonStop+;"), std::string::npos);
    EXPECT_EQ(client.ask("QNonStop:1"), "OK");
    client.ask("?");
    client.ask("vStopped");
    for (const std::uint32_t vcpu : {1u, 0u, 1u}) {
        EXPECT_EQ(client.ask(fmt::format("vCont;s:p1.{}", vcpu + 1)), "OK");
        std::string stop = client.notification();
        if (stop.find("vmxwhy:attached") != std::string::npos) {  // the one that was to be told later
            client.ask("vStopped");
            stop = client.notification();
        }
        EXPECT_TRUE(stop.starts_with(fmt::format("Stop:T05thread:p1.{};vmxwhy:transition;", vcpu + 1))) << stop;
        EXPECT_EQ(client.ask("vStopped"), "OK");
    }
}

TEST_F(ReplayServed, GdbGoesBackAndForth) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    std::string line = std::string("LC_ALL=C.UTF-8 HOME=/nonexistent timeout 120 ") + GDB + " -nx -batch";
    for (const std::string& c :
         {fmt::format("target remote 127.0.0.1:{}", server.endpoint().port), std::string("monitor stepi nested"),
          std::string("stepi"), std::string("p/x $rip"), std::string("stepi"), std::string("reverse-stepi"),
          std::string("p/x $rip"), std::string("continue"), std::string("reverse-continue"), std::string("detach")})
        line += fmt::format(" -ex '{}'", c);
    FILE* pipe = ::popen((line + " 2>&1 </dev/null").c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string out;
    std::array<char, 4096> buffer{};
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.append(buffer.data(), n);
    ::pclose(pipe);
    const auto one = out.find("$1 = 0x"), two = out.find("$2 = 0x");
    ASSERT_TRUE(one != std::string::npos && two != std::string::npos) << out;
    EXPECT_EQ(out.substr(one + 5, out.find('\n', one) - one - 5), out.substr(two + 5, out.find('\n', two) - two - 5))
        << out;
    EXPECT_NE(out.find("The recording ends here."), std::string::npos) << out;
    EXPECT_NE(out.find("The recording begins here."), std::string::npos) << out;
    EXPECT_NE(out.find("No more reverse-execution history."), std::string::npos) << out;
    EXPECT_NE(out.find("detached"), std::string::npos) << out;
}

/// vmx/field_existence.h says from the capability MSRs what VMREAD said field by field.
TEST(Recordings, HaveOfVmcs02WhatTheProcessorsCapabilitiesPromise) {
    for (const char* name : {"pae-ept", "pae-shadow", "pae-toggle", "long-ept", "broken-entries"}) {
        auto target = replay(fmt::format("{}/{}.vxt", TRACES, name), kQuiet);
        ASSERT_TRUE(target) << target.error().what;
        const auto caps = (*target)->capabilities();
        ASSERT_TRUE(caps) << name;
        const auto history = (*target)->history();
        int looked_at = 0;
        for (std::uint64_t seq = history->first; seq <= history->last; ++seq) {
            const auto t = (*target)->transition(seq);
            if (!t || t->vmcs02_as_of != seq) continue;
            ++looked_at;
            for (const vmx::FieldInfo& f : vmx::all_fields()) {
                const vmx::Value& v = t->vmcs02_after[f.field];
                const auto there = vmx::exists(f.field, caps->l0);
                const bool seen = v.state != vmx::Known::Unsupported;
                EXPECT_EQ(there.value_or(false), seen) << name << ' ' << seq << ' ' << f.name;
            }
            if (looked_at == 20) break;
        }
        EXPECT_GT(looked_at, 0) << name;
    }
}

TEST(ReplayOfNothing, IsRefused) {
    const std::string path = ::testing::TempDir() + "vmxscope-replay-none-" + std::to_string(getpid()) + ".vxt";
    auto writer = core::trace::Writer::create(path, {}, {}, true);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->finish());
    const auto empty = replay(path, kQuiet);
    ASSERT_FALSE(empty);
    EXPECT_NE(empty.error().what.find("no transitions"), std::string::npos);
    std::ofstream(path) << "this is no trace";
    EXPECT_FALSE(replay(path, kQuiet));
    std::filesystem::remove(path);
}

}  // namespace
}  // namespace vmxscope::replay
