#include <algorithm>

#include "core/trace/walk.h"

namespace vmxscope::core::trace {
namespace {

using nested::Transition;
using vmx::Known;
using vmx::Value;

using Streams = std::array<Cursor, kStreams>;

class ValueReader {
  public:
    explicit ValueReader(Streams& streams) : streams_(streams) {}

    void begin() {
        misses_ = stream(Stream::Misses).number();
        next_miss();
    }
    bool end() const { return misses_ == 0; }

    template <typename Guess>
    Value value(ValueOf of, Cell& cell, const Value& near, const Value&, Guess guess) {
        Value v;
        if (hits_ > 0) {
            --hits_;
            v = guess(cell, cell.source);
        } else {
            v = miss(of, cell, near, guess);
            --misses_;
            next_miss();
        }
        cell.update(v);
        return v;
    }
    Cursor& stream(Stream s, ValueOf of = ValueOf::Field) {
        return streams_[static_cast<std::size_t>(s) + static_cast<std::size_t>(of)];
    }

  private:
    void next_miss() { hits_ = misses_ > 0 ? stream(Stream::Skips).number() : UINT64_MAX; }

    template <typename Guess>
    Value miss(ValueOf of, Cell& cell, const Value& near, Guess guess) {
        const std::uint8_t code = stream(Stream::Codes, of).byte();
        if (code < kSources) {
            cell.source = static_cast<Source>(code);
            return guess(cell, cell.source);
        }
        Cursor& literals = stream(Stream::Literals, of);
        if (code >= kCodeBits && code <= kCodeBits + 8) return Value::of(literals.fixed(code - kCodeBits));
        if (code > kCodeDifference && code <= kCodeDifference + 8)
            return Value::of(near.bits + unfold(literals.fixed(code - kCodeDifference)));
        const auto state = static_cast<Known>(code - kCodeState);
        if (code < kCodeBits && state <= Known::Faulted && state != Known::Yes) return {0, state};
        stream(Stream::Codes, of).spoil();
        return {};
    }

    Streams& streams_;
    std::uint64_t misses_ = 0, hits_ = 0;
};

}  // namespace

struct PayloadReader::State {
    Streams streams;
    Model model;
    ValueReader io{streams};
    NumberPlaces places;
    Transition t;
    std::vector<std::vector<nested::Evidence>> evidence;  // by list, so that its texts are copied once
    std::size_t lent = 0;                                 // of those, in `t`
    bool damaged = false;

    explicit State(Fields fields) : model(std::move(fields)), places(number_places(model.fields)) {}

    bool sound() const { return !damaged && model.weight <= kMostWeight && std::ranges::all_of(streams, &Cursor::ok); }
    void define_text();
    void define_template();
    void read_lists(Slot& slot);
    void read_items(std::size_t list, std::span<const std::uint32_t> like, std::vector<std::uint32_t>& items);
    std::uint32_t item(std::size_t list, std::uint64_t number);
    void read_texts(const Slot& slot);
    void read_values(const Row& row, VcpuModel& vcpu, Slot& slot);
    bool fill(const Row& row, VcpuModel& vcpu, const Numbers& numbers);
};

void PayloadReader::State::define_text() {
    Cursor& in = io.stream(Stream::Texts);
    const auto text = in.take(in.number(in.left()));
    model.texts.emplace_back(reinterpret_cast<const char*>(text.data()), text.size());
}

void PayloadReader::State::define_template() {
    Cursor& in = io.stream(Stream::Templates);
    const std::uint8_t flags = in.byte();
    Template made;
    if (flags > 3) in.spoil();
    made.op = flags & 1 ? nested::Evidence::Op::Vmwrite : nested::Evidence::Op::Vmread;
    made.vmcs02 = flags & 2;
    made.encoding = static_cast<std::uint16_t>(in.fixed(2));
    made.at = static_cast<std::uint32_t>(in.number(model.texts.size()));
    if (made.at == model.texts.size()) define_text();
    made.place = model.fields.place_of(made.encoding);
    model.templates.push_back(made);
}

/// Checks an item of a list that is new; the next text and the next template are defined by being named.
std::uint32_t PayloadReader::State::item(std::size_t list, std::uint64_t number) {
    const std::size_t known = list < kImages      ? model.fields.listed()
                              : list == kEvidence ? model.templates.size()
                                                  : model.texts.size();
    if (number == known && list == kEvidence)
        define_template();
    else if (number == known && list == kNotes)
        define_text();
    else if (number >= known)
        damaged = true;
    return damaged ? 0 : static_cast<std::uint32_t>(number);
}

void PayloadReader::State::read_items(std::size_t list, std::span<const std::uint32_t> like,
                                      std::vector<std::uint32_t>& items) {
    Cursor& in = io.stream(Stream::Items);
    const std::size_t head = in.number(like.size());
    const std::size_t tail = in.number(like.size() - head);
    const std::size_t middle = in.number(in.left());
    items.assign(like.begin(), like.begin() + static_cast<std::ptrdiff_t>(head));
    std::uint64_t last = head ? items.back() : 0;
    for (std::size_t i = 0; i < middle && sound(); ++i) items.push_back(item(list, last += unfold(in.number())));
    items.insert(items.end(), like.end() - static_cast<std::ptrdiff_t>(tail), like.end());
    const bool ascending = std::ranges::adjacent_find(items, std::greater_equal<>()) == items.end();
    if (list < kImages && !ascending) damaged = true;
    model.charge(8 * items.size());
}

void PayloadReader::State::read_lists(Slot& slot) {
    Cursor& in = io.stream(Stream::Lists);
    const unsigned mask = in.byte();
    if (mask >> kLists) in.spoil();
    std::vector<std::uint32_t> items;
    for (std::size_t list = 0; list < kLists && sound(); ++list) {
        if (!(mask >> list & 1)) continue;
        ListBook& book = model.book(list);
        const std::size_t number = in.number(book.used);
        if (number > 0) {
            slot.lists[list] = static_cast<std::uint32_t>(number - 1);
            continue;
        }
        read_items(list, book[slot.lists[list]], items);
        slot.lists[list] = static_cast<std::uint32_t>(book.used);
        book.add() = items;
    }
}

/// The evidence without its values, and the notes. Weighed before anything is made of them.
void PayloadReader::State::read_texts(const Slot& slot) {
    if (lent < evidence.size()) evidence[lent].swap(t.evidence);
    const std::size_t list = lent = slot.lists[kEvidence];
    const auto items = model.evidence_lists[list], notes = model.note_lists[slot.lists[kNotes]];
    for (const std::uint32_t i : items) model.charge(64 + model.texts[model.templates[i].at].size());
    for (const std::uint32_t i : notes) model.charge(64 + model.texts[i].size());
    if (!sound()) return;
    if (evidence.size() <= list) evidence.resize(model.evidence_lists.used);
    if (evidence[list].size() != items.size()) {
        for (const std::uint32_t i : items) {
            const Template& e = model.templates[i];
            evidence[list].push_back({e.op, e.encoding, {}, model.texts[e.at], e.vmcs02});
        }
    }
    t.evidence.swap(evidence[list]);
    t.notes.clear();
    for (const std::uint32_t i : notes) t.notes.push_back(model.texts[i]);
}

void PayloadReader::State::read_values(const Row& row, VcpuModel& vcpu, Slot& slot) {
    Walk walk(io, model, vcpu, slot, row);
    io.begin();
    walk.begin();
    for (const ImageOf which : {kVmcs01, kVmcs12Before, kVmcs02Before, kVmcs12After, kVmcs02After})
        walk.image(which, nullptr);
    Numbers numbers{};
    walk.numbers(numbers, places);
    walk.evidence({}, t.evidence);
    if (!io.end() || !fill(row, vcpu, numbers)) damaged = true;
}

bool PayloadReader::State::fill(const Row& row, VcpuModel& vcpu, const Numbers& numbers) {
    t.seq = row.seq;
    t.tsc = row.tsc;
    t.vcpu = row.vcpu;
    t.kind = row.kind;
    t.exit.reason = row.reason;
    t.lost_before = row.lost_before;
    t.vmcs01 = vcpu.vmcs01[static_cast<std::size_t>(row.kind)].known;
    t.vmcs12_before = vcpu.vmcs12_before.known;
    t.vmcs12_after = vcpu.vmcs12_after.known;
    t.vmcs02_before = vcpu.vmcs02_before.known;
    t.vmcs02_after = vcpu.vmcs02_after.known;
    std::uint64_t reason = 0;
    std::size_t i = 0;
    bool possible = true;
    each_number(t, reason, [&](auto& member, std::uint16_t) { possible &= take_number(member, numbers[i++]); });
    if (possible && reason == model.texts.size()) define_text();
    if (!possible || reason >= model.texts.size()) return false;
    model.charge(model.texts[reason].size());
    if (sound()) t.kvm_reason = model.texts[reason];
    return true;
}

PayloadReader::PayloadReader(std::array<std::span<const std::byte>, kStreams> streams, Fields fields)
    : state_(std::make_unique<State>(std::move(fields))) {
    for (std::size_t i = 0; i < kStreams; ++i) state_->streams[i] = Cursor(streams[i]);
}
PayloadReader::~PayloadReader() = default;
PayloadReader::PayloadReader(PayloadReader&&) noexcept = default;
PayloadReader& PayloadReader::operator=(PayloadReader&&) noexcept = default;

const Transition* PayloadReader::next(const Row& row) {
    State& s = *state_;
    if (!s.sound()) return nullptr;
    VcpuModel& vcpu = s.model.vcpu(row.vcpu);
    Slot& slot = s.model.slot(vcpu, row);
    if (s.model.vcpu_count() > kMostVcpus || s.model.slot_count() > kMostSlots) s.damaged = true;
    if (s.sound()) s.read_lists(slot);
    if (s.sound()) s.read_texts(slot);
    if (s.sound()) s.read_values(row, vcpu, slot);
    if (!s.sound()) s.damaged = true;
    return s.damaged ? nullptr : &s.t;
}

}  // namespace vmxscope::core::trace
