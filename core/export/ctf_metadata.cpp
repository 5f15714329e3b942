#include "core/export/ctf_metadata.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/export/text.h"

namespace vmxscope::core::exporting::ctf {
namespace {

constexpr std::string_view kTypes = R"(/* CTF 1.8 */

typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 64; align = 8; signed = false; base = 16; } := hex_t;

trace {
    major = 1;
    minor = 8;
    byte_order = le;
    packet.header := struct {
        uint32_t magic;
        uint32_t stream_id;
        uint64_t stream_instance_id;
    };
};
)";

constexpr std::string_view kStream = R"(
typealias integer { size = 64; align = 8; signed = false; map = clock.tsc.value; } := tsc_t;

/* What a VMCS field or a register had; bits mean something only where it is known. */
struct value {
    enum : uint8_t { not_read = 0, known = 1, unsupported = 2, faulted = 3 } state;
    hex_t bits;
};
enum truth : uint8_t { no = 0, yes = 1, unknown = 2 };

stream {
    id = 0;
    packet.context := struct {
        tsc_t timestamp_begin;
        tsc_t timestamp_end;
        uint64_t content_size;
        uint64_t packet_size;
        uint64_t packet_seq_num;
        uint64_t events_discarded;
        uint32_t vcpu;
    };
    event.header := struct {
        uint8_t id;
        tsc_t timestamp;
    };
};
)";
static_assert(static_cast<int>(vmx::Known::NotRead) == 0 && static_cast<int>(vmx::Known::Yes) == 1 &&
              static_cast<int>(vmx::Known::Unsupported) == 2 && static_cast<int>(vmx::Known::Faulted) == 3);

/// The members of an event's payload, from the very calls that write it.
class Declaration : public FactSink {
  public:
    void number(std::string_view name, std::uint64_t) override { add("uint64_t", name); }
    void value(std::string_view name, const vmx::Value&) override { add("struct value", name); }
    void truth(std::string_view name, std::optional<bool>) override { add("enum truth", name); }
    void text(std::string_view name, const std::string&) override { add("string { encoding = UTF8; }", name); }
    std::string event(std::uint8_t id, std::string_view name) const {
        return fmt::format(
            "\nevent {{\n    id = {};\n    name = \"{}\";\n    stream_id = 0;\n    fields := struct {{\n{}    "
            "}};\n}};\n",
            id, name, members_);
    }

  private:
    void add(std::string_view type, std::string_view name) { members_ += fmt::format("        {} {};\n", type, name); }
    std::string members_;
};

/// In quotes; of one line.
std::string in_quotes(std::string_view text) {
    std::string out = "\"";
    for (const char c : clean(text)) {
        if (c == '"' || c == '\\') out += '\\';
        out += c == '\n' ? ' ' : c;
    }
    return out + '"';
}

std::string clock(const trace::TraceInfo& info) {
    const std::string_view description = info.tsc_khz ? "TSC of L0's processor, from the beginning of the trace"
                                                      : "TSC cycles shown as nanoseconds: its frequency is not known";
    return fmt::format(
        "\nclock {{\n    name = tsc;\n    description = \"{}\";\n    freq = {};\n    precision = 1;\n    offset = "
        "0;\n}};\n",
        description, info.tsc_khz ? std::min(info.tsc_khz, ~std::uint64_t{0} / 1000) * 1000 : 1'000'000'000);
}

}  // namespace

std::string metadata(const trace::TraceInfo& info) {
    std::string text(kTypes);
    text += fmt::format(
        "\nenv {{\n    domain = \"vmx\";\n    tracer_name = {};\n    hostname = {};\n    target = {};\n    kernel = "
        "{};\n"
        "    cpu = {};\n    recorded = \"{}\";\n}};\n",
        in_quotes(info.program), in_quotes(info.host), in_quotes(info.target.name), in_quotes(info.target.kernel),
        in_quotes(info.target.cpu), utc_text(info.started_ns));
    text += clock(info);
    text += kStream;
    for (unsigned kind = 0; kind <= static_cast<unsigned>(nested::Kind::NestedEntryFailed); ++kind) {
        nested::Transition sample;
        sample.kind = static_cast<nested::Kind>(kind);
        Declaration declaration;
        tell(sample, declaration);
        text += declaration.event(static_cast<std::uint8_t>(kind), name_of(sample.kind));
    }
    Declaration lost;
    tell(Gap{}, lost);
    return text + lost.event(kLostEvent, "records-lost");
}

void Payload::number(std::string_view, std::uint64_t n) {
    append(bytes_, n);
}

void Payload::value(std::string_view, const vmx::Value& v) {
    append(bytes_, static_cast<std::uint8_t>(v.state));
    append(bytes_, v.bits);
}

void Payload::truth(std::string_view, std::optional<bool> truth) {
    append(bytes_, static_cast<std::uint8_t>(truth ? *truth : 2));
}

void Payload::text(std::string_view, const std::string& text) {
    // Never "": where there is none, babeltrace2 up to 2.0.4 shows the text of an earlier event (its change 4528).
    bytes_ += text.empty() ? "-" : clean(text);
    bytes_ += '\0';
}

}  // namespace vmxscope::core::exporting::ctf
