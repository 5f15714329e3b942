// What a parsed expression is: a program for a machine whose registers are lanes, one value for each of many rows. So
// an expression over digests runs at the speed of memory, and the same program runs on a single transition.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/query/moments.h"
#include "core/trace/digest.h"
#include "nested/flow.h"
#include "nested/transition.h"

namespace vmxscope::core::query {

/// A truth is 0 or 1; a time is in nanoseconds; a word is one of a vocabulary's, by its number.
enum class Type : std::uint8_t { Truth, Number, Time, Word, Text };
enum class Vocabulary : std::uint8_t { None, Kind, ExitReason, Did, Is, Level };

struct Cell {
    std::uint64_t bits = 0;  // 0 when not known
    bool known = false;
};
constexpr Cell known(std::uint64_t bits) {
    return {bits, true};
}

inline constexpr std::size_t kLane = 256;  // rows
struct Lane {
    std::array<std::uint64_t, kLane> bits;  // 0 where not known
    std::array<std::uint8_t, kLane> known;  // 0 or 1
};

/// A transition with what is derived from it, made when it is first asked for.
class Whole {
  public:
    explicit Whole(const nested::Transition& transition) : t(transition) {}
    const nested::Flow& flow() const {
        if (!flow_) flow_ = std::make_unique<nested::Flow>(nested::flow_of(t));
        return *flow_;
    }
    const nested::Transition& t;

  private:
    mutable std::unique_ptr<nested::Flow> flow_;
};

/// Where a value comes from; exactly one is set.
struct Source {
    void (*digests)(Lane& out, std::span<const trace::Digest> rows) = nullptr;
    std::optional<std::uint64_t> Durations::*duration = nullptr;
    Cell (*whole)(const Whole& w, std::uint32_t parameter) = nullptr;
    std::optional<std::string> (*text)(const Whole& w) = nullptr;
};

enum class Code : std::uint8_t {
    Constant,   // immediate
    Digests,    // source
    Duration,   // source, as ns; index 1: in cycles
    Whole,      // source, with immediate as parameter
    TextEqual,  // source, is strings[index]
    TextMatch,  // source, matches patterns[index]
    Bits,       // immediate: lowest bit, and << 8 the width
    ToTruth,    // is not 0
    Not,
    Negate,
    Complement,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    ShiftLeft,
    ShiftRight,
    BitAnd,
    BitOr,
    BitXor,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,           // sets[index]
    Both,         // &&
    Either,       // ||
    SkipIfFalse,  // when every row is false: to immediate
    SkipIfTrue,
    Known,  // index 1: of something that a digest alone cannot give
    Unknown,
};

struct Op {
    Code code;
    std::uint32_t index = 0;
    std::uint64_t immediate = 0;
    const Source* source = nullptr;
};

using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // first and last

struct Program {
    std::vector<Op> code;   // each takes its operands from a stack of lanes, and leaves its result there
    std::size_t depth = 0;  // of that stack at most
    std::vector<Ranges> sets;
    std::vector<std::string> strings;
    std::vector<std::regex> patterns;
    bool digest_only = true;
    bool uses_durations = false;
};

}  // namespace vmxscope::core::query
