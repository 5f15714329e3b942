// What a block says of its transitions beyond its columns: images, values, evidence, texts, each as far as it is not as
// predicted. One function (walk.h) goes through a transition's values in both directions, so writer and reader cannot
// part.
#pragma once

#include <bitset>
#include <memory>
#include <span>

#include "core/trace/bytes.h"
#include "core/trace/model.h"

namespace vmxscope::core::trace {

/// By place in vmx::all_fields().
struct ChangedFields {
    std::bitset<vmx::kFieldCount> vmcs12, vmcs02;
    bool operator==(const ChangedFields&) const = default;
};

/// The streams of a payload, in the order of their section.
enum class Stream : std::uint8_t {
    Texts,
    Templates,
    Lists,  // of each transition, which of its lists are not the expected ones, and which they are
    Items,  // of lists that are new
    Misses,
    Skips,
    Codes,  // three: of fields, of numbers, of evidence
    Literals = Codes + 3,
    Count = Literals + 3,
};
inline constexpr std::size_t kStreams = static_cast<std::size_t>(Stream::Count);
enum class ValueOf : std::uint8_t { Field, Number, Evidence };

class PayloadWriter {
  public:
    PayloadWriter();
    ~PayloadWriter();

    void add(const nested::Transition& t);
    bool full() const;
    std::size_t bytes() const;
    std::span<const Bytes> streams() const;
    /// Of the VMCSs of each vCPU: what any transition changed, or was changed since the one before, also since that in
    /// the block before.
    const ChangedFields& changed() const;
    void clear();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

class PayloadReader {
  public:
    PayloadReader(std::array<std::span<const std::byte>, kStreams> streams, Fields fields);
    ~PayloadReader();
    PayloadReader(PayloadReader&&) noexcept;
    PayloadReader& operator=(PayloadReader&&) noexcept;

    /// The next transition, that of `row`; valid until the next call. nullptr when the payload is damaged.
    const nested::Transition* next(const Row& row);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What a transition's evidence and texts weigh (Model::charge()).
std::uint64_t weight_of(const nested::Transition& t);

}  // namespace vmxscope::core::trace
