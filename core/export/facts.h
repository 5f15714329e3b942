// What an event in a foreign trace format says of its transition, and when it was: one place for Perfetto and CTF.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/trace/digest.h"
#include "core/trace/trace.h"

namespace vmxscope::core::exporting {

/// Takes facts one by one. An unknown value, or an absent truth, is told as such.
class FactSink {
  public:
    virtual ~FactSink() = default;
    virtual void number(std::string_view name, std::uint64_t n) = 0;
    virtual void value(std::string_view name, const vmx::Value& v) = 0;  // of a field or register
    virtual void truth(std::string_view name, std::optional<bool> truth) = 0;
    virtual void text(std::string_view name, const std::string& text) = 0;  // "" = there is none
};

/// Which facts come, and in which order, depends on the transition's kind alone.
void tell(const nested::Transition& t, FactSink& sink);

/// What is missing just before a transition.
struct Gap {
    std::uint64_t lost = 0;     // records of its vCPU, for want of room
    std::uint64_t missing = 0;  // numbers: transitions of any vCPU that are not in the trace, or not readable
    bool back = false;          // the TSC is less than before
    explicit operator bool() const { return lost || missing || back; }
};
/// As tell() does.
void tell(const Gap& gap, FactSink& sink);

/// The times of a trace's transitions, as other programs demand them: from the trace's beginning, and on each vCPU
/// never less than before.
class Course {
  public:
    explicit Course(const trace::Trace& trace);

    struct Moment {
        std::uint64_t cycles = 0;
        std::uint64_t newest = 0;  // of this vCPU, before it
        Gap gap;
    };
    /// In order. An Error when there are more vCPUs than KVM has.
    Result<Moment> take(const trace::Digest& d);

    bool timed() const { return khz_ != 0; }
    std::uint64_t khz() const { return khz_; }
    /// Nanoseconds, of cycles; cycles, where the TSC's frequency is not known. At most 2^63 - 1.
    std::uint64_t ns(std::uint64_t cycles) const;

  private:
    std::uint64_t khz_, start_;
    std::uint64_t newest_seq_ = 0;
    struct Vcpu {
        std::uint64_t tsc = 0, cycles = 0;
    };
    std::map<std::uint32_t, Vcpu> vcpus_;
};

}  // namespace vmxscope::core::exporting
