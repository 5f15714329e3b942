#include <bit>
#include <unordered_map>

#include <xxhash.h>

#include "core/trace/walk.h"

namespace vmxscope::core::trace {
namespace {

using nested::Transition;
using vmx::Value;
using vmx::VmcsImage;

constexpr std::size_t kFullBytes = 8u << 20;
constexpr std::size_t kMostCarried = 512;  // vCPUs whose VMCSs are remembered from one block to the next

class ValueWriter {
  public:
    explicit ValueWriter(std::array<Bytes, kStreams>& streams) : streams_(streams) {}

    template <typename Guess>
    Value value(ValueOf of, Cell& cell, const Value& near, const Value& given, Guess guess) {
        const Value actual = given.known() ? given : Value{0, given.state};  // as the reader will have it
        if (guess(cell, cell.source) == actual)
            ++hits_;
        else
            miss(of, cell, near, actual, guess);
        cell.update(actual);
        return actual;
    }
    /// The transition's values are complete.
    void end() {
        put_number(stream(Stream::Misses), misses_);
        misses_ = hits_ = 0;
    }
    Bytes& stream(Stream s, ValueOf of = ValueOf::Field) {
        return streams_[static_cast<std::size_t>(s) + static_cast<std::size_t>(of)];
    }

  private:
    template <typename Guess>
    void miss(ValueOf of, Cell& cell, const Value& near, const Value& actual, Guess guess) {
        ++misses_;
        put_number(stream(Stream::Skips), hits_);
        hits_ = 0;
        for (std::uint8_t s = 0; s < kSources; ++s) {
            if (guess(cell, static_cast<Source>(s)) != actual) continue;
            cell.source = static_cast<Source>(s);
            return put_byte(stream(Stream::Codes, of), s);
        }
        literal(stream(Stream::Codes, of), stream(Stream::Literals, of), near, actual);
    }
    static void literal(Bytes& codes, Bytes& literals, const Value& near, const Value& actual) {
        if (!actual.known())
            return put_byte(codes, static_cast<std::uint8_t>(kCodeState + static_cast<unsigned>(actual.state)));
        const auto bytes = [](std::uint64_t n) { return static_cast<std::size_t>(std::bit_width(n) + 7) / 8; };
        const std::uint64_t difference = fold(actual.bits - near.bits);
        const bool as_difference = difference != 0 && bytes(difference) < bytes(actual.bits);
        const std::uint64_t written = as_difference ? difference : actual.bits;
        put_byte(codes, static_cast<std::uint8_t>((as_difference ? kCodeDifference : kCodeBits) + bytes(written)));
        put_fixed(literals, written, bytes(written));
    }

    std::array<Bytes, kStreams>& streams_;
    std::uint64_t misses_ = 0, hits_ = 0;
};

/// Padding may make equal images seem different to memcmp; then they are looked at field by field.
void differences(const VmcsImage& a, const VmcsImage& b, std::vector<std::uint32_t>& places) {
    places.clear();
    if (std::memcmp(static_cast<const void*>(&a), static_cast<const void*>(&b), sizeof a) == 0) return;
    for (std::uint32_t i = 0; i < vmx::kFieldCount; ++i)
        if (a.at_index(i) != b.at_index(i)) places.push_back(i);
}

struct Carried {
    VmcsImage vmcs12, vmcs02;
};

}  // namespace

struct PayloadWriter::State {
    std::array<Bytes, kStreams> streams;
    Model model{Fields{}};
    ValueWriter io{streams};
    NumberPlaces places = number_places(model.fields);
    std::unordered_map<std::string, std::uint32_t> texts;
    std::unordered_map<std::uint64_t, std::uint32_t> templates;
    std::array<std::unordered_multimap<std::uint64_t, std::uint32_t>, 3> lists;  // by hash: of images, evidence, notes
    std::array<std::vector<std::uint32_t>, kLists> wanted;
    std::unordered_map<std::uint32_t, Carried> carried;
    ChangedFields changed;

    void clear();
    std::uint32_t text(const std::string& s);
    std::uint32_t template_of(const nested::Evidence& e);
    void want(const Transition& t, const VcpuModel& vcpu, const Slot& slot, bool known_vcpu);
    void put_lists(Slot& slot);
    std::uint32_t find_list(std::size_t list, bool& is_new);
    void put_items(std::span<const std::uint32_t> items, std::span<const std::uint32_t> like);
    void note_changes(const Transition& t, bool known_vcpu);
};

void PayloadWriter::State::clear() {
    for (std::size_t i = 0; i < model.vcpu_count(); ++i) {
        const VcpuModel& v = *model.vcpus()[i];
        if (carried.size() >= kMostCarried && !carried.contains(v.id)) carried.clear();
        carried[v.id] = {v.vmcs12_after.known, v.vmcs02_after.known};
    }
    for (Bytes& stream : streams) stream.clear();
    model.clear();
    texts.clear();
    templates.clear();
    for (auto& map : lists) map.clear();
    changed = {};
}

std::uint32_t PayloadWriter::State::text(const std::string& s) {
    if (s.empty()) return 0;
    const auto [at, is_new] = texts.try_emplace(s, static_cast<std::uint32_t>(model.texts.size()));
    if (is_new) {
        model.texts.push_back(s);
        put_number(io.stream(Stream::Texts), s.size());
        put_text(io.stream(Stream::Texts), s);
    }
    return at->second;
}

std::uint32_t PayloadWriter::State::template_of(const nested::Evidence& e) {
    const std::uint32_t at = text(e.at);
    const auto flags = static_cast<std::uint8_t>(static_cast<unsigned>(e.op) | (e.vmcs02 ? 2u : 0u));
    const std::uint64_t key =
        static_cast<std::uint64_t>(at) << 24 | static_cast<std::uint64_t>(flags) << 16 | e.encoding;
    const auto [found, is_new] = templates.try_emplace(key, static_cast<std::uint32_t>(model.templates.size()));
    if (is_new) {
        model.templates.push_back({e.op, e.vmcs02, e.encoding, at, model.fields.place_of(e.encoding), {}});
        Bytes& out = io.stream(Stream::Templates);
        put_byte(out, flags);
        put_fixed(out, e.encoding, 2);
        put_number(out, at);
    }
    return found->second;
}

/// What each list of `t` is.
void PayloadWriter::State::want(const Transition& t, const VcpuModel& vcpu, const Slot& slot, bool known_vcpu) {
    differences(t.vmcs01, vcpu.vmcs01[static_cast<std::size_t>(t.kind)].known, wanted[kVmcs01]);
    differences(t.vmcs12_before, vcpu.vmcs12_after.known, wanted[kVmcs12Before]);
    differences(t.vmcs02_before, vcpu.vmcs02_after.known, wanted[kVmcs02Before]);
    differences(t.vmcs12_after, t.vmcs12_before, wanted[kVmcs12After]);
    differences(t.vmcs02_after, t.vmcs02_before, wanted[kVmcs02After]);
    note_changes(t, known_vcpu);
    const auto expected = model.evidence_lists[slot.lists[kEvidence]];
    std::vector<std::uint32_t>& evidence = wanted[kEvidence];
    evidence.clear();
    for (std::size_t i = 0; i < t.evidence.size(); ++i) {
        const nested::Evidence& e = t.evidence[i];
        if (i < expected.size()) {
            const Template& guess = model.templates[expected[i]];
            if (guess.op == e.op && guess.vmcs02 == e.vmcs02 && guess.encoding == e.encoding &&
                model.texts[guess.at] == e.at) {
                evidence.push_back(expected[i]);
                continue;
            }
        }
        evidence.push_back(template_of(e));
    }
    wanted[kNotes].clear();
    for (const std::string& note : t.notes) wanted[kNotes].push_back(text(note));
}

void PayloadWriter::State::note_changes(const Transition& t, bool known_vcpu) {
    const auto add = [](std::bitset<vmx::kFieldCount>& to, const std::vector<std::uint32_t>& fields) {
        for (const std::uint32_t place : fields) to.set(place);
    };
    add(changed.vmcs12, wanted[kVmcs12After]);
    add(changed.vmcs02, wanted[kVmcs02After]);
    if (known_vcpu) {
        add(changed.vmcs12, wanted[kVmcs12Before]);
        add(changed.vmcs02, wanted[kVmcs02Before]);
    } else if (const auto before = carried.find(t.vcpu); before != carried.end()) {
        std::vector<std::uint32_t> since;
        differences(t.vmcs12_before, before->second.vmcs12, since);
        add(changed.vmcs12, since);
        differences(t.vmcs02_before, before->second.vmcs02, since);
        add(changed.vmcs02, since);
    }
}

std::uint32_t PayloadWriter::State::find_list(std::size_t list, bool& is_new) {
    const std::vector<std::uint32_t>& items = wanted[list];
    is_new = false;
    if (items.empty()) return 0;
    ListBook& book = model.book(list);
    auto& map = lists[list < kImages ? 0 : list - kImages + 1];
    const std::uint64_t hash = XXH3_64bits(items.data(), items.size() * sizeof items[0]);
    for (auto [at, end] = map.equal_range(hash); at != end; ++at)
        if (book.lists[at->second] == items) return at->second;
    const auto number = static_cast<std::uint32_t>(book.used);
    map.emplace(hash, number);
    book.add() = items;
    model.charge(8 * items.size());
    is_new = true;
    return number;
}

/// The beginning and the end of a list are mostly those of the one that was expected.
void PayloadWriter::State::put_items(std::span<const std::uint32_t> items, std::span<const std::uint32_t> like) {
    const std::size_t most = std::min(items.size(), like.size());
    std::size_t head = 0, tail = 0;
    while (head < most && items[head] == like[head]) ++head;
    while (tail < most - head && items[items.size() - 1 - tail] == like[like.size() - 1 - tail]) ++tail;
    Bytes& out = io.stream(Stream::Items);
    put_number(out, head);
    put_number(out, tail);
    put_number(out, items.size() - head - tail);
    std::uint64_t last = head ? items[head - 1] : 0;
    for (const std::uint32_t item : items.subspan(head, items.size() - head - tail)) {
        put_number(out, fold(item - last));
        last = item;
    }
}

void PayloadWriter::State::put_lists(Slot& slot) {
    Bytes& out = io.stream(Stream::Lists);
    const std::size_t mask_at = out.size();
    unsigned mask = 0;
    put_byte(out, 0);
    for (std::size_t list = 0; list < kLists; ++list) {
        const auto expected = model.book(list)[slot.lists[list]];
        if (std::ranges::equal(wanted[list], expected)) continue;
        mask |= 1u << list;
        bool is_new = false;
        const std::uint32_t number = find_list(list, is_new);
        put_number(out, is_new ? 0 : number + 1);
        if (is_new) put_items(wanted[list], model.book(list)[slot.lists[list]]);
        slot.lists[list] = number;
    }
    out[mask_at] = static_cast<std::byte>(mask);
}

PayloadWriter::PayloadWriter() : state_(std::make_unique<State>()) {}
PayloadWriter::~PayloadWriter() = default;

void PayloadWriter::add(const Transition& t) {
    State& s = *state_;
    const Row row{t.seq, t.tsc, t.vcpu, t.kind, t.exit.reason, t.lost_before};
    const bool known_vcpu = s.model.find_vcpu(t.vcpu) != nullptr;
    VcpuModel& vcpu = s.model.vcpu(t.vcpu);
    Slot& slot = s.model.slot(vcpu, row);
    s.want(t, vcpu, slot, known_vcpu);
    s.put_lists(slot);
    s.model.charge(weight_of(t));
    Walk walk(s.io, s.model, vcpu, slot, row);
    walk.begin();
    walk.image(kVmcs01, &t.vmcs01);
    walk.image(kVmcs12Before, &t.vmcs12_before);
    walk.image(kVmcs02Before, &t.vmcs02_before);
    walk.image(kVmcs12After, &t.vmcs12_after);
    walk.image(kVmcs02After, &t.vmcs02_after);
    Numbers numbers;
    std::size_t i = 0;
    const std::uint64_t reason = s.text(t.kvm_reason);
    each_number(t, reason, [&](const auto& member, std::uint16_t) { numbers[i++] = number_of(member); });
    walk.numbers(numbers, s.places);
    walk.evidence(t.evidence, {});
    s.io.end();
}

bool PayloadWriter::full() const {
    const Model& m = state_->model;
    return bytes() >= kFullBytes || m.weight >= kFullWeight || m.vcpu_count() >= kMostVcpus - 1 ||
           m.slot_count() >= kMostSlots - 1;
}

std::size_t PayloadWriter::bytes() const {
    std::size_t all = 0;
    for (const Bytes& stream : state_->streams) all += stream.size();
    return all;
}

std::span<const Bytes> PayloadWriter::streams() const {
    return state_->streams;
}

const ChangedFields& PayloadWriter::changed() const {
    return state_->changed;
}

void PayloadWriter::clear() {
    state_->clear();
}

NumberPlaces number_places(const Fields& fields) {
    NumberPlaces places{};
    std::size_t i = 0;
    const Transition t;
    const std::uint64_t reason = 0;
    each_number(t, reason, [&](const auto&, std::uint16_t encoding) { places[i++] = fields.place_of(encoding); });
    return places;
}

std::uint64_t weight_of(const Transition& t) {
    std::uint64_t weight = t.kvm_reason.size();
    for (const nested::Evidence& e : t.evidence) weight += 64 + e.at.size();
    for (const std::string& note : t.notes) weight += 64 + note.size();
    return weight;
}

}  // namespace vmxscope::core::trace
