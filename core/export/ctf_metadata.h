// The metadata of a CTF 1.8 trace (https://diamon.org/ctf/): what its streams consist of, in its own language, TSDL.
#pragma once

#include <string>

#include "core/export/facts.h"
#include "core/trace/trace_info.h"

namespace vmxscope::core::exporting::ctf {

inline constexpr std::uint32_t kMagic = 0xc1fc1fc1;
inline constexpr std::uint8_t kLostEvent = 255;  // its id; that of a transition's is its kind's number

std::string metadata(const trace::TraceInfo& info);

/// Facts as an event's payload, as metadata() declares it.
class Payload : public FactSink {
  public:
    explicit Payload(std::string& bytes) : bytes_(bytes) {}
    void number(std::string_view name, std::uint64_t n) override;
    void value(std::string_view name, const vmx::Value& v) override;
    void truth(std::string_view name, std::optional<bool> truth) override;
    void text(std::string_view name, const std::string& text) override;

  private:
    std::string& bytes_;
};

/// Appended as little-endian.
template <typename T>
void append(std::string& bytes, T n) {
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(n >> (8 * i) & 0xff);
}

}  // namespace vmxscope::core::exporting::ctf
