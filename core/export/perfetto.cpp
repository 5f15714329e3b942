// Perfetto's own trace format: https://perfetto.dev/docs/reference/synthetic-track-event. A track for each vCPU, under
// it one each for L0, L1 and L2, which are where the vCPU is; the nested operations are instants on L0's.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/export/exporter.h"
#include "core/export/facts.h"
#include "core/export/output.h"
#include "core/export/protobuf.h"
#include "core/export/text.h"
#include "core/transition_text.h"
#include "vmx/exit_reason.h"

namespace vmxscope::core::exporting {
namespace {

using nested::Kind;

// Numbers of the fields in perfetto's protos/perfetto/trace: trace.proto, trace_packet.proto and track_event/*.proto.
namespace in_trace {
constexpr std::uint32_t kPacket = 1;
}
namespace in_packet {
constexpr std::uint32_t kTimestamp = 8, kSequenceId = 10, kTrackEvent = 11, kSequenceFlags = 13, kTrackDescriptor = 60;
constexpr std::uint64_t kStateCleared = 1;  // SEQ_INCREMENTAL_STATE_CLEARED
}  // namespace in_packet
namespace in_descriptor {
constexpr std::uint32_t kUuid = 1, kName = 2, kParentUuid = 5;
}
namespace in_event {
constexpr std::uint32_t kDebugAnnotations = 4, kType = 9, kTrackUuid = 11, kCategories = 22, kName = 23;
}
namespace in_annotation {
constexpr std::uint32_t kBool = 2, kUint = 3, kString = 6, kName = 10;
}
enum EventType : std::uint64_t { kBegin = 1, kEnd = 2, kInstant = 3 };

constexpr std::uint64_t kSequence = 1;  // all packets are of one

/// Facts as debug annotations of an event. What there is none of is left out.
class Annotations : public FactSink {
  public:
    explicit Annotations(Message& event) : event_(event) {}
    void number(std::string_view name, std::uint64_t n) override {
        add(Message().bytes(in_annotation::kName, name).number(in_annotation::kUint, n));
    }
    void value(std::string_view name, const vmx::Value& v) override { text(name, value_text(v)); }
    void truth(std::string_view name, std::optional<bool> truth) override {
        if (!truth) return text(name, "unknown");
        add(Message().bytes(in_annotation::kName, name).number(in_annotation::kBool, *truth));
    }
    void text(std::string_view name, const std::string& text) override {
        if (!text.empty()) add(Message().bytes(in_annotation::kName, name).bytes(in_annotation::kString, clean(text)));
    }

  private:
    void add(const Message& annotation) { event_.message(in_event::kDebugAnnotations, annotation); }
    Message& event_;
};

/// The level that runs from this crossing on; L0 while KVM handles an exit.
unsigned level_after(Kind kind) {
    return kind == Kind::L1Entry ? 1 : kind == Kind::L2Entry ? 2 : 0;
}

std::string span_name(const nested::Transition& t) {
    const unsigned level = level_after(t.kind);
    if (level > 0) return fmt::format("L{}", level);
    if (!t.exit.reason.known()) return "exit";
    return vmx::describe_exit_reason(static_cast<std::uint32_t>(t.exit.reason.bits));
}

class Perfetto : public Exporter {
  public:
    Perfetto(const trace::Trace& trace, OutputFile file)
        : course_(trace), target_(clean(trace.info().target.name)), file_(std::move(file)) {}

    Needs needs() const override { return {.everything = true}; }

    Result<void> take(const query::Row& row, bool selected) override {
        const trace::Digest& d = *row.digest;
        const auto m = course_.take(d);
        if (!m) return tl::unexpected(m.error());
        now_ = std::max(now_, m->cycles);
        if (m->gap.missing)
            for (auto& [id, vcpu] : vcpus_)
                if (id != d.vcpu) missed(id, vcpu, m->gap.missing);
        Vcpu& v = vcpu_of(d.vcpu);
        v.newest = m->cycles;
        if (m->gap) {
            end(v, m->newest, "records are missing after it");
            lost(d.vcpu, m->cycles, m->gap);
        }
        const bool nests = nested::direction_of(d.kind).has_value();
        if (!nests) {
            end(v, m->cycles);
            v.runs = true;
        }
        if (selected) event(*row.transition, v, m->cycles, nests);
        return write();
    }

    Result<void> finish() override {
        for (auto& [id, v] : vcpus_) end(v, now_, "the selection ends");
        if (auto written = write(); !written) return written;
        return file_.finish();
    }

  private:
    struct Vcpu {
        std::uint64_t newest = 0;        // cycles
        std::uint64_t track = 0;         // of L0; those of L1 and L2 follow
        std::optional<unsigned> opened;  // a span on this level's track
        bool runs = false;               // where it is is known
    };

    Message packet(std::uint64_t cycles) {
        Message p;
        p.number(in_packet::kTimestamp, course_.ns(cycles)).number(in_packet::kSequenceId, kSequence);
        return p;
    }
    void add(const Message& packet) { pending_ += Message().message(in_trace::kPacket, packet).bytes(); }

    void track(std::uint64_t uuid, std::uint64_t parent, std::string_view name) {
        Message d;
        d.number(in_descriptor::kUuid, uuid).bytes(in_descriptor::kName, name);
        if (parent) d.number(in_descriptor::kParentUuid, parent);
        Message p;
        p.number(in_packet::kSequenceId, kSequence).message(in_packet::kTrackDescriptor, d);
        if (first_) p.number(in_packet::kSequenceFlags, in_packet::kStateCleared);
        first_ = false;
        add(p);
    }

    static std::uint64_t track_of(std::uint32_t vcpu) { return (std::uint64_t{vcpu} + 1) * 4; }

    Vcpu& vcpu_of(std::uint32_t id) {
        const auto [at, fresh] = vcpus_.try_emplace(id);
        if (fresh) {
            const std::uint64_t parent = track_of(id);
            at->second.track = parent + 1;
            track(parent, 0,
                  fmt::format("vCPU {}{}{}{}", id, target_.empty() ? "" : " of ", target_,
                              course_.timed() ? "" : " (times are TSC cycles, not ns)"));
            for (unsigned level = 0; level < 3; ++level) track(parent + 1 + level, parent, fmt::format("L{}", level));
        }
        return at->second;
    }

    void end(Vcpu& v, std::uint64_t cycles, std::string_view cut = {}) {
        v.runs = false;
        if (!v.opened) return;
        Message e;
        e.number(in_event::kType, kEnd).number(in_event::kTrackUuid, v.track + *v.opened);
        if (!cut.empty()) Annotations(e).text("cut", std::string(cut));
        add(packet(cycles).message(in_packet::kTrackEvent, e));
        v.opened.reset();
    }

    void lost(std::uint32_t vcpu, std::uint64_t cycles, const Gap& gap) {
        Message e;
        e.number(in_event::kType, kInstant).number(in_event::kTrackUuid, track_of(vcpu));
        e.bytes(in_event::kCategories, "lost").bytes(in_event::kName, "records lost");
        Annotations annotations(e);
        tell(gap, annotations);
        add(packet(cycles).message(in_packet::kTrackEvent, e));
    }

    /// Transitions are missing, which may have been of this vCPU. Told once, until it is known again where it is.
    void missed(std::uint32_t id, Vcpu& v, std::uint64_t transitions) {
        if (!v.runs) return;
        end(v, v.newest, "transitions are missing after it");
        lost(id, v.newest, {.missing = transitions});
    }

    void event(const nested::Transition& t, Vcpu& v, std::uint64_t cycles, bool nests) {
        const unsigned level = level_after(t.kind);
        Message e;
        e.number(in_event::kType, nests ? kInstant : kBegin).number(in_event::kTrackUuid, v.track + level);
        e.bytes(in_event::kCategories, name_of(t.kind));
        e.bytes(in_event::kName, nests ? name_of(t.kind) : span_name(t));
        Annotations annotations(e);
        tell(t, annotations);
        add(packet(cycles).message(in_packet::kTrackEvent, e));
        if (!nests) v.opened = level;
    }

    Result<void> write() {
        auto written = file_.write(pending_);
        pending_.clear();
        return written;
    }

    Course course_;
    std::string target_;
    OutputFile file_;
    std::map<std::uint32_t, Vcpu> vcpus_;
    std::uint64_t now_ = 0;  // cycles
    std::string pending_;    // packets that are not written yet
    bool first_ = true;
};

}  // namespace

Result<std::unique_ptr<Exporter>> perfetto_exporter(const trace::Trace& trace, const Destination& to) {
    auto file = OutputFile::create(to.path, to.replace);
    if (!file) return tl::unexpected(file.error());
    return std::make_unique<Perfetto>(trace, std::move(*file));
}

}  // namespace vmxscope::core::exporting
