// Trace files: whole, cut, damaged, of another version, and where the disk is full.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/trace/trace.h"
#include "core/trace/writer.h"
#include "trace_samples.h"

namespace vmxscope::core::trace {
namespace {

using nested::Transition;

class TraceFile : public testing::Test {
  protected:
    void SetUp() override {
        std::string folder = testing::TempDir() + "trace-XXXXXX";
        ASSERT_NE(::mkdtemp(folder.data()), nullptr);
        folder_ = folder;
        test::RoundTrips source(7, 2);
        for (int i = 0; i < 100; ++i) all_.push_back(source.next());
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::filesystem::path path(const char* name = "a.vxt") const { return folder_ / name; }

    static TraceInfo info() {
        TraceInfo i;
        i.program = "vmxscope 0.1.0";
        i.host = "l0";
        i.target.name = "lab:pae-ept";
        i.target.cpu = "An \"emulated\" processor";
        i.target.notes = {"A note."};
        i.started_ns = 1'700'000'000'123'456'789;
        i.tsc_khz = 2'600'000;
        i.capabilities.emplace();
        i.capabilities->l0[vmx::CapabilityMsr::Basic] = vmx::Value::of(0xda040000000004);
        i.evidence = nested::EvidenceScope::All;
        i.fields = {vmx::Field::GUEST_CR3, vmx::Field::GUEST_RIP};
        return i;
    }
    /// A file of blocks of so many; and another, b.vxt, as it is before it has an index.
    void write(std::size_t block = 20) {
        auto writer = Writer::create(path(), info(), {.transitions = block}, true);
        ASSERT_TRUE(writer) << writer.error().what;
        for (const Transition& t : all_) ASSERT_TRUE(writer->add(t));
        ASSERT_TRUE(writer->flush());
        EXPECT_EQ(writer->transitions(), all_.size());
        std::filesystem::copy_file(path(), path("b.vxt"), std::filesystem::copy_options::overwrite_existing);
        ASSERT_TRUE(writer->finish());
    }
    static std::string read(const std::filesystem::path& p) {
        std::ifstream in(p, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void put(std::string_view bytes) { std::ofstream(path("b.vxt"), std::ios::binary | std::ios::trunc) << bytes; }
    Result<Trace> reopened() const { return Trace::open(path("b.vxt")); }

    static std::vector<Transition> scanned(const Trace& trace, std::uint64_t from = 0) {
        std::vector<Transition> all;
        EXPECT_TRUE(trace.scan(from, [&](const Transition& t) {
            all.push_back(t);
            return true;
        }));
        return all;
    }
    std::vector<Transition> first(std::size_t n) const {
        return {all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(n)};
    }

    std::filesystem::path folder_;
    std::vector<Transition> all_;
};

TEST_F(TraceFile, IsReadAsItWasWritten) {
    write();
    const auto trace = Trace::open(path());
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_TRUE(trace->damage().empty());
    EXPECT_EQ(trace->count(), 100u);
    EXPECT_EQ(trace->first(), 1u);
    EXPECT_EQ(trace->last(), 100u);
    EXPECT_EQ(trace->blocks(), 5u);
    EXPECT_EQ(trace->bytes(), std::filesystem::file_size(path()));
    EXPECT_EQ(trace->path(), path());
    EXPECT_TRUE(scanned(*trace) == all_);
    EXPECT_TRUE(scanned(*trace, 91) == std::vector(all_.begin() + 90, all_.end()));
    for (const std::uint64_t seq : {1u, 100u, 50u, 49u, 51u, 51u, 20u, 21u})
        EXPECT_TRUE(trace->transition(seq).value() == all_[seq - 1]) << seq;
    EXPECT_FALSE(trace->transition(0));
    EXPECT_FALSE(trace->transition(101));
    trace->verify();
    EXPECT_TRUE(trace->damage().empty());
}

TEST_F(TraceFile, SaysWhatWasRecorded) {
    write();
    const auto trace = Trace::open(path());
    ASSERT_TRUE(trace);
    const TraceInfo expected = info(), &found = trace->info();
    EXPECT_EQ(found.program, expected.program);
    EXPECT_EQ(found.host, expected.host);
    EXPECT_EQ(found.target.name, expected.target.name);
    EXPECT_EQ(found.target.cpu, expected.target.cpu);
    EXPECT_EQ(found.target.notes, expected.target.notes);
    EXPECT_EQ(found.started_ns, expected.started_ns);
    EXPECT_EQ(found.tsc_khz, expected.tsc_khz);
    EXPECT_EQ(found.evidence, expected.evidence);
    EXPECT_EQ(found.fields, expected.fields);
    ASSERT_TRUE(found.capabilities);
    EXPECT_EQ(found.capabilities->l0, expected.capabilities->l0);
    EXPECT_EQ(found.capabilities->l1, expected.capabilities->l1);
}

TEST_F(TraceFile, DigestsTimesAndChangedFieldsAreThoseOfTheTransitions) {
    all_[3].lost_before = 2;
    all_[77].lost_before = 5;
    write();
    const auto trace = Trace::open(path());
    ASSERT_TRUE(trace);
    EXPECT_EQ(trace->lost(), 7u);
    std::size_t at = 0;
    for (std::size_t i = 0; i < trace->blocks(); ++i) {
        EXPECT_EQ(trace->block_of(trace->block(i).first_seq).value(), i);
        EXPECT_EQ(trace->block_of(trace->block(i).last_seq).value(), i);
        const auto digests = trace->digests(i);
        ASSERT_TRUE(digests);
        for (const Digest& d : *digests) EXPECT_TRUE(d == digest_of(all_[at++]));
    }
    EXPECT_EQ(at, all_.size());
    EXPECT_EQ(trace->at_tsc(0), 1u);
    EXPECT_EQ(trace->at_tsc(all_[42].tsc), 43u);
    EXPECT_EQ(trace->at_tsc(all_[42].tsc + 1), 43u);
    EXPECT_EQ(trace->at_tsc(all_[42].tsc - 1), 42u);
    EXPECT_EQ(trace->at_tsc(~0ull), 100u);
    EXPECT_FALSE(trace->block_of(101));
}

/// From each transition of a vCPU to its next, whatever block that is in.
TEST_F(TraceFile, ChangedFieldsAreThoseThatChangedSinceTheTransitionBefore) {
    write();
    const auto trace = Trace::open(path());
    ASSERT_TRUE(trace);
    std::vector<ChangedFields> expected(trace->blocks());
    std::array<const Transition*, 2> before{};
    const auto note = [](auto& bits, const vmx::VmcsImage& a, const vmx::VmcsImage& b) {
        for (std::size_t f = 0; f < vmx::kFieldCount; ++f)
            if (a.at_index(f) != b.at_index(f)) bits.set(f);
    };
    for (const Transition& t : all_) {
        ChangedFields& here = expected[(t.seq - 1) / 20];
        if (const Transition* b = before[t.vcpu]) {
            note(here.vmcs12, b->vmcs12_after, t.vmcs12_before);
            note(here.vmcs02, b->vmcs02_after, t.vmcs02_before);
        }
        note(here.vmcs12, t.vmcs12_before, t.vmcs12_after);
        note(here.vmcs02, t.vmcs02_before, t.vmcs02_after);
        before[t.vcpu] = &t;
    }
    for (std::size_t i = 0; i < trace->blocks(); ++i) EXPECT_TRUE(trace->changed(i).value() == expected[i]) << i;
    EXPECT_TRUE(expected[0].vmcs02.any());
}

TEST_F(TraceFile, CutAnywhereItOpensUpToTheLastWholeBlock) {
    all_.resize(24);
    write(8);
    std::vector<std::uint64_t> ends;  // of the blocks
    const std::string whole = read(path());
    std::size_t at = whole.find("VXTB");
    for (int i = 0; i < 3; ++i) ends.push_back(at += block_head(std::as_bytes(std::span(whole)).subspan(at))->size);
    for (std::size_t size = whole.size(); size-- > 0;) {
        std::filesystem::resize_file(path(), size);
        const auto trace = Trace::open(path());
        if (size < 8) {
            EXPECT_FALSE(trace) << size;
            continue;
        }
        ASSERT_TRUE(trace) << size << trace.error().text();
        const auto blocks = static_cast<std::size_t>(std::ranges::upper_bound(ends, size) - ends.begin());
        ASSERT_EQ(trace->count(), 8 * blocks) << size;
        EXPECT_FALSE(trace->damage().empty()) << size;
        if (blocks == 0 || size % 16) continue;
        ASSERT_TRUE(trace->transition(8 * blocks).value() == all_[8 * blocks - 1]) << size;
    }
}

TEST_F(TraceFile, BitsTurnedOverAnywhereDoNoHarmAndAreReported) {
    all_.resize(24);
    write(8);
    const std::string whole = read(path());
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    for (std::size_t at = 0; at < whole.size(); ++at) {
        const auto put_byte = [&](int byte) {
            file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte)).flush();
        };
        put_byte(whole[at] ^ 1 << at % 8);
        const auto trace = Trace::open(path());
        if (at < 12) {  // no trace any more, or one of another version
            EXPECT_FALSE(trace) << at;
        } else {
            ASSERT_TRUE(trace) << at << trace.error().text();
            trace->verify();
            EXPECT_FALSE(trace->damage().empty()) << at;
            const auto left = at % 8 ? first(24) : scanned(*trace);
            EXPECT_TRUE(left.size() == 24 || left.size() == 16) << at << " " << left.size();
            for (const Transition& t : left) ASSERT_TRUE(t == all_[t.seq - 1]) << at;
        }
        put_byte(whole[at]);
    }
}

TEST_F(TraceFile, WithoutItsIndexItIsRead) {
    write();
    const auto trace = reopened();
    ASSERT_TRUE(trace);
    EXPECT_EQ(trace->damage().size(), 1u);
    EXPECT_TRUE(scanned(*trace) == all_);
}

TEST_F(TraceFile, RubbishBetweenBlocksIsSteppedOver) {
    write();
    std::string bytes = read(path());
    const std::size_t second = bytes.find("VXTB", bytes.find("VXTB") + 4);
    bytes.insert(second, "VXTB VXTB nothing");
    put(bytes);
    const auto trace = reopened();
    ASSERT_TRUE(trace);
    EXPECT_TRUE(scanned(*trace) == all_);
    ASSERT_EQ(trace->damage().size(), 2u);
    EXPECT_NE(trace->damage()[1].find("17 bytes"), std::string::npos) << trace->damage()[1];
}

TEST_F(TraceFile, WhatIsNoTraceIsRefusedInASentence) {
    const auto refusal = [&](std::string_view bytes) {
        put(bytes);
        const auto trace = reopened();
        return trace ? std::string("opened") : trace.error().text();
    };
    EXPECT_NE(refusal("").find("is empty"), std::string::npos);
    EXPECT_NE(refusal("VMCS dump of a guest").find("does not begin as a trace does"), std::string::npos);
    write();
    std::string later = read(path());
    later[8] = 9;
    EXPECT_NE(refusal(later).find("version 9 of the trace format; this program knows 1"), std::string::npos);
    EXPECT_NE(Trace::open(path("none")).error().what.find("No such file"), std::string::npos);
    EXPECT_NE(Trace::open(folder_).error().what.find("is not a file"), std::string::npos);
}

TEST_F(TraceFile, TheWriterRefusesWhatWouldNotBeRead) {
    write();
    EXPECT_NE(Writer::create(path(), info()).error().what.find("exists already"), std::string::npos);
    EXPECT_FALSE(Writer::create(path("no/folder.vxt"), info()));
    auto writer = Writer::create(path("c.vxt"), info());
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->add(all_[1]));
    EXPECT_FALSE(writer->add(all_[1]));
    EXPECT_FALSE(writer->add(all_[0]));
    BlockBuilder builder;
    builder.add(all_[0]);
    EXPECT_FALSE(writer->add_block(builder.take()));
    builder.add(all_[2]);
    const Bytes block = builder.take();
    EXPECT_FALSE(writer->add_block(std::span(block).first(block.size() - 1)));
    EXPECT_TRUE(writer->add_block(block));
    EXPECT_TRUE(writer->add(all_[5]));
    EXPECT_TRUE(writer->finish());
    EXPECT_FALSE(writer->add(all_[6]));
    const auto trace = Trace::open(path("c.vxt"));
    ASSERT_TRUE(trace);
    EXPECT_TRUE(scanned(*trace) == (std::vector{all_[1], all_[2], all_[5]}));
    EXPECT_FALSE(trace->transition(4));  // a gap
}

TEST_F(TraceFile, AFullDiskIsAnErrorAndLeavesATrace) {
    write();
    const auto whole = std::filesystem::file_size(path());
    const auto old = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    for (const auto limit : {whole / 2, whole - 1}) {  // among the blocks; in the index
        auto writer = Writer::create(path("b.vxt"), info(), {.transitions = 20}, true);
        ASSERT_TRUE(writer);
        const rlimit small{limit, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
        Result<void> done;
        for (std::size_t i = 0; i < all_.size() && done; ++i) done = writer->add(all_[i]);
        if (done) done = writer->finish();
        const auto again = writer->add(all_.back());
        ::setrlimit(RLIMIT_FSIZE, &before);
        ASSERT_FALSE(done) << limit;
        EXPECT_NE(done.error().what.find("b.vxt cannot be written: File too large"), std::string::npos);
        ASSERT_FALSE(again);
        EXPECT_EQ(again.error().what, done.error().what);
        const auto trace = reopened();
        ASSERT_TRUE(trace);
        EXPECT_GE(trace->count(), 40u);
        EXPECT_TRUE(scanned(*trace) == first(trace->count()));
    }
    std::signal(SIGXFSZ, old);
}

}  // namespace
}  // namespace vmxscope::core::trace
