#include "core/query/evaluator.h"

#include <algorithm>

#include "core/query/names.h"

namespace vmxscope::core::query {
namespace {

struct Batch {
    std::span<const trace::Digest> digests;
    std::span<const Durations> durations;  // as many, or none when no Op asks for one
    const Whole* whole = nullptr;          // of the only row
    std::uint64_t tsc_khz = 0;
    std::size_t rows = 1;
};

/// Without overflow where the result has 64 bits; frequencies come from files.
Cell nanoseconds(std::uint64_t cycles, std::uint64_t khz) {
    constexpr std::uint64_t most_khz = 1'000'000'000;
    if (khz == 0 || khz > most_khz) return {};
    return known(cycles / khz * 1'000'000 + cycles % khz * 1'000'000 / khz);
}

/// The operators, on lanes of `n` rows. Without branches: what is not known has bits 0.
class Machine {
  public:
    Machine(const Program& program, const Batch& batch, std::span<Lane> stack)
        : program_(program), batch_(batch), stack_(stack), n_(batch.rows) {}

    const Lane& run(std::size_t begin) {
        for (std::size_t at = begin; at < program_.code.size(); ++at) {
            const Op& op = program_.code[at];
            if (op.code == Code::SkipIfFalse || op.code == Code::SkipIfTrue) {
                if (all_are(op.code == Code::SkipIfTrue)) at = op.immediate - 1;
            } else {
                step(op);
            }
        }
        return top();
    }

  private:
    Lane& top() { return stack_[used_ - 1]; }
    Lane& push() { return stack_[used_++]; }

    bool all_are(bool truth) {
        const Lane& lane = top();
        std::uint64_t same = 1;
        for (std::size_t i = 0; i < n_; ++i) same &= lane.known[i] & (lane.bits[i] == truth);
        return same != 0;
    }

    void step(const Op& op) {
        switch (op.code) {
            case Code::Constant: return fill(push(), known(op.immediate));
            case Code::Digests: return op.source->digests(push(), batch_.digests);
            case Code::Duration: return duration(op);
            case Code::Whole:
                return fill(push(), batch_.whole
                                        ? op.source->whole(*batch_.whole, static_cast<std::uint32_t>(op.immediate))
                                        : Cell{});
            case Code::TextEqual:
            case Code::TextMatch: return fill(push(), text(op));
            case Code::In: return in(program_.sets[op.index]);
            case Code::Known:
            case Code::Unknown: return known_or_not(op);
            case Code::Both:
            case Code::Either: return logic(op.code == Code::Both);
            case Code::Divide:
            case Code::Modulo: return divide(op.code == Code::Divide);
            case Code::Bits:
            case Code::ToTruth:
            case Code::Not:
            case Code::Negate:
            case Code::Complement: return unary_step(op);
            default: return binary_step(op.code);
        }
    }

    void unary_step(const Op& op) {
        const unsigned low = op.immediate & 0xff, width = op.immediate >> 8 & 0xff;
        const std::uint64_t mask = width >= 64 ? ~0ull : (1ull << width) - 1;
        switch (op.code) {
            case Code::Bits: return unary([=](std::uint64_t a) { return a >> low & mask; });
            case Code::ToTruth: return unary([](std::uint64_t a) { return std::uint64_t{a != 0}; });
            case Code::Not: return unary([](std::uint64_t a) { return std::uint64_t{a == 0}; });
            case Code::Negate: return unary([](std::uint64_t a) { return 0 - a; });
            default: return unary([](std::uint64_t a) { return ~a; });
        }
    }

    void binary_step(Code code) {
        using U = std::uint64_t;
        switch (code) {
            case Code::Add: return binary([](U a, U b) { return a + b; });
            case Code::Subtract: return binary([](U a, U b) { return a - b; });
            case Code::Multiply: return binary([](U a, U b) { return a * b; });
            case Code::ShiftLeft: return binary([](U a, U b) { return b < 64 ? a << b : 0; });
            case Code::ShiftRight: return binary([](U a, U b) { return b < 64 ? a >> b : 0; });
            case Code::BitAnd: return binary([](U a, U b) { return a & b; });
            case Code::BitOr: return binary([](U a, U b) { return a | b; });
            case Code::BitXor: return binary([](U a, U b) { return a ^ b; });
            case Code::Equal: return binary([](U a, U b) { return U{a == b}; });
            case Code::NotEqual: return binary([](U a, U b) { return U{a != b}; });
            case Code::Less: return binary([](U a, U b) { return U{a < b}; });
            case Code::LessEqual: return binary([](U a, U b) { return U{a <= b}; });
            case Code::Greater: return binary([](U a, U b) { return U{a > b}; });
            default: return binary([](U a, U b) { return U{a >= b}; });
        }
    }

    template <typename F>
    void unary(F f) {
        Lane& a = top();
        for (std::size_t i = 0; i < n_; ++i) a.bits[i] = f(a.bits[i]) & (0 - std::uint64_t{a.known[i]});
    }

    template <typename F>
    void binary(F f) {
        const Lane& b = stack_[--used_];
        Lane& a = top();
        for (std::size_t i = 0; i < n_; ++i) {
            a.known[i] &= b.known[i];
            a.bits[i] = f(a.bits[i], b.bits[i]) & (0 - std::uint64_t{a.known[i]});
        }
    }

    void fill(Lane& lane, Cell cell) const {
        std::fill_n(lane.bits.begin(), n_, cell.known ? cell.bits : 0);
        std::fill_n(lane.known.begin(), n_, std::uint8_t{cell.known});
    }

    /// Kleene's: false && unknown is false.
    void logic(bool both) {
        const Lane& b = stack_[--used_];
        Lane& a = top();
        for (std::size_t i = 0; i < n_; ++i) {
            const bool decided_a = a.known[i] && a.bits[i] != both, decided_b = b.known[i] && b.bits[i] != both;
            a.bits[i] = both ? a.bits[i] & b.bits[i] : a.bits[i] | b.bits[i];
            a.known[i] = static_cast<std::uint8_t>((a.known[i] & b.known[i]) | decided_a | decided_b);
        }
    }

    void divide(bool quotient) {
        const Lane& b = stack_[--used_];
        Lane& a = top();
        for (std::size_t i = 0; i < n_; ++i) {
            a.known[i] = a.known[i] && b.known[i] && b.bits[i] != 0;
            if (a.known[i])
                a.bits[i] = quotient ? a.bits[i] / b.bits[i] : a.bits[i] % b.bits[i];
            else
                a.bits[i] = 0;
        }
    }

    void in(const Ranges& ranges) {
        Lane& a = top();
        std::array<std::uint8_t, kLane> inside{};
        for (const auto& [first, last] : ranges)
            for (std::size_t i = 0; i < n_; ++i) inside[i] |= a.bits[i] - first <= last - first;
        for (std::size_t i = 0; i < n_; ++i) a.bits[i] = inside[i] & a.known[i];
    }

    /// Of something that only the whole transition has, a digest cannot say that it is unknown.
    void known_or_not(const Op& op) {
        const bool undecided = op.index == 1 && !batch_.whole;
        Lane& a = top();
        for (std::size_t i = 0; i < n_; ++i) {
            const std::uint8_t was_known = a.known[i];
            a.known[i] = was_known || !undecided;
            a.bits[i] = a.known[i] & (was_known == (op.code == Code::Known));
        }
    }

    void duration(const Op& op) {
        Lane& lane = push();
        const auto member = op.source->duration;
        for (std::size_t i = 0; i < n_; ++i) {
            const std::optional<std::uint64_t>& cycles =
                i < batch_.durations.size() ? batch_.durations[i].*member : std::nullopt;
            const Cell cell = !cycles ? Cell{} : op.index == 1 ? known(*cycles) : nanoseconds(*cycles, batch_.tsc_khz);
            lane.bits[i] = cell.bits;
            lane.known[i] = cell.known;
        }
    }

    Cell text(const Op& op) const {
        constexpr std::size_t most = 4096;  // bytes that are looked at: texts come over the wire
        if (!batch_.whole) return {};
        auto s = op.source->text(*batch_.whole);
        if (!s) return {};
        if (op.code == Code::TextEqual) return known(*s == program_.strings[op.index]);
        if (s->size() > most) s->resize(most);
        return known(std::regex_search(*s, program_.patterns[op.index]));
    }

    const Program& program_;
    const Batch& batch_;
    std::span<Lane> stack_;
    std::size_t n_, used_ = 0;
};

Truth truth_of(const Lane& lane, std::size_t i) {
    return !lane.known[i] ? Truth::Unknown : lane.bits[i] ? Truth::Yes : Truth::No;
}

}  // namespace

Evaluator::Evaluator(Query query, std::uint64_t tsc_khz)
    : query_(std::move(query)), tsc_khz_(tsc_khz), stack_(query_.program().depth) {}

void Evaluator::truths(std::span<const trace::Digest> digests, std::span<const Durations> durations,
                       std::vector<Truth>& out) {
    out.resize(digests.size());
    for (std::size_t begin = 0; begin < digests.size(); begin += kLane) {
        const std::size_t n = std::min(kLane, digests.size() - begin);
        const Batch batch{digests.subspan(begin, n), durations.empty() ? durations : durations.subspan(begin, n),
                          nullptr, tsc_khz_, n};
        const Lane& result = Machine(query_.program(), batch, stack_).run(0);
        for (std::size_t i = 0; i < n; ++i) out[begin + i] = truth_of(result, i);
    }
}

Cell Evaluator::value(const Row& row) {
    std::optional<Whole> whole;
    if (row.transition) whole.emplace(*row.transition);
    const Batch batch{{row.digest, 1}, {&row.durations, 1}, whole ? &*whole : nullptr, tsc_khz_, 1};
    const Lane& result = Machine(query_.program(), batch, stack_).run(0);
    return {result.bits[0], result.known[0] != 0};
}

Truth Evaluator::truth(const Row& row) {
    const Cell cell = value(row);
    return !cell.known ? Truth::Unknown : cell.bits ? Truth::Yes : Truth::No;
}

std::optional<std::string> Evaluator::text(const Row& row) {
    if (!row.transition) return std::nullopt;
    return query_.program().code.front().source->text(Whole(*row.transition));
}

Truth Watch::take(const nested::Transition& t, const trace::Digest& digest) {
    return evaluator_.truth({&digest, moments_.take(digest), &t});
}

bool may_hold(const Query& query, nested::Kind kind) {
    // Everything but what the kind alone decides becomes a value of a whole transition, and there is none: unknown.
    Program program = query.program();
    for (Op& op : program.code) {
        const bool by_kind = op.code == Code::Digests && (op.source->digests == name_by("kind")->source.digests ||
                                                          op.source->digests == name_by("level")->source.digests);
        if (op.code == Code::Digests && !by_kind) op.code = Code::Whole;
        if (op.code == Code::Known || op.code == Code::Unknown) op.index = 1;
    }
    std::vector<Lane> stack(program.depth);
    trace::Digest digest;
    digest.kind = kind;
    const Batch batch{{&digest, 1}, {}, nullptr, 0, 1};
    const Lane& result = Machine(program, batch, stack).run(0);
    return !result.known[0] || result.bits[0];
}

Cell constant_value(const Program& program, std::size_t begin) {
    std::vector<Lane> stack(program.depth);
    const Batch batch;
    const Lane& result = Machine(program, batch, stack).run(begin);
    return {result.bits[0], result.known[0] != 0};
}

}  // namespace vmxscope::core::query
