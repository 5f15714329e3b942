// What writer and reader of a block both know at every point in it, and predict the next value from.
// docs/trace-format.md.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nested/transition.h"

namespace vmxscope::core::trace {

// Limits of one block, for whoever reads one from outside. A block is full before it comes near them.
inline constexpr std::size_t kMostTransitions = 65536;
inline constexpr std::size_t kMostVcpus = 256 + 1;
inline constexpr std::size_t kMostSlots = 1024 + 1;
inline constexpr std::size_t kMostFields = 512;
/// Of what the block's evidence and texts take once decoded, in bytes as Model::charge() counts them.
inline constexpr std::uint64_t kMostWeight = 128u << 20;
inline constexpr std::uint64_t kFullWeight = 64u << 20;
inline constexpr std::uint64_t kMostWeightOfOne = 6u << 20;  // transition; what is more is left out, and a note says so

/// What the columns say of a transition, before its payload is looked at.
struct Row {
    std::uint64_t seq = 0, tsc = 0;
    std::uint32_t vcpu = 0;
    nested::Kind kind = nested::Kind::L1Exit;
    vmx::Value reason;
    std::uint64_t lost_before = 0;
};

/// The fields that a block's images have, by their place in the block's list. Those that this program knows are at
/// their place in vmx::all_fields(), the others behind them.
class Fields {
  public:
    /// The program's own list.
    Fields();
    /// A block's list: encodings, ascending.
    explicit Fields(std::span<const std::uint16_t> encodings);

    std::size_t listed() const { return places_.size(); }
    std::size_t place(std::size_t listed) const { return places_[listed]; }
    std::size_t places() const { return vmx::kFieldCount + others_.size(); }
    std::size_t others() const { return others_.size(); }
    /// kNone for an encoding that neither this program nor the block has.
    std::size_t place_of(std::uint16_t encoding) const;
    static constexpr std::size_t kNone = SIZE_MAX;

  private:
    std::vector<std::size_t> places_;
    std::vector<std::uint16_t> others_;
};

/// A VMCS with the fields that this program does not know.
struct Image {
    vmx::VmcsImage known;
    std::vector<vmx::Value> others;

    vmx::Value at(std::size_t place) const {
        if (place < vmx::kFieldCount) return known.at_index(place);
        return place - vmx::kFieldCount < others.size() ? others[place - vmx::kFieldCount] : vmx::Value{};
    }
    void set(std::size_t place, const vmx::Value& v) {
        if (place < vmx::kFieldCount)
            known.at_index(place) = v;
        else
            others[place - vmx::kFieldCount] = v;
    }
};

/// Where a value may be predicted from.
enum class Source : std::uint8_t {
    Last,         // what it was the last time
    Stride,       // that, and once more the difference from the time before
    Beside,       // a register or number: in the vCPU's previous transition; a field: advanced by the instruction's
                  // length; evidence: the value of the evidence before it
    Vmcs02After,  // the field of the same encoding
    Vmcs12After,
    Vmcs02Before,
    Vmcs12Before,
    Vmcs01,
};
inline constexpr std::uint8_t kSources = 8;

/// The past of one value.
struct Cell {
    std::uint64_t last = 0, stride = 0;
    vmx::Known state = vmx::Known::NotRead;
    Source source = Source::Last;  // that was right when one was named last

    vmx::Value value() const { return {last, state}; }
    vmx::Value next() const { return state == vmx::Known::Yes ? vmx::Value::of(last + stride) : vmx::Value{}; }
    void update(const vmx::Value& v) {
        stride = v.bits - last;
        last = v.bits;
        state = v.state;
    }
};

enum ImageOf : std::uint8_t { kVmcs01, kVmcs12Before, kVmcs02Before, kVmcs12After, kVmcs02After, kImages };
/// The lists of a transition: the changed fields of each image, the evidence, the notes.
enum ListOf : std::uint8_t { kEvidence = kImages, kNotes, kLists };

/// Lists of numbers that come again and again, by number; 0 is the empty one.
struct ListBook {
    std::vector<std::vector<std::uint32_t>> lists;
    std::size_t used = 1;  // lists behind that are kept for their memory

    ListBook() : lists(1) {}
    std::span<const std::uint32_t> operator[](std::size_t i) const { return lists[i]; }
    std::vector<std::uint32_t>& add();
    void clear() { used = 1; }
};

inline constexpr std::size_t kNumbers = 67;  // a transition's single values: numbers.h

/// What is remembered of a vCPU's transitions of one kind and exit reason.
struct Slot {
    std::array<std::uint32_t, kLists> lists{};
    std::array<Cell, kNumbers> numbers{};
    std::array<std::vector<Cell>, kImages> fields;  // empty until one of that image changes here
};

struct VcpuModel {
    std::uint32_t id = 0;
    std::array<Image, 7> vmcs01;  // by kind
    Image vmcs12_before, vmcs12_after, vmcs02_before, vmcs02_after;
    std::array<vmx::Value, kNumbers> numbers{};  // of the previous transition
    std::array<Slot*, 7 * 128> by_reason{};
    std::array<Slot*, 7> newest{};               // of a kind
    std::uint8_t reason = 0;                     // the newest exit's, its lowest seven bits
    std::uint32_t changed12 = 0, changed02 = 0;  // lists: what the transition before changed from before to after

    Image& image(ImageOf which, nested::Kind kind);
};

/// A VMREAD or VMWRITE of KVM's without its value.
struct Template {
    nested::Evidence::Op op = nested::Evidence::Op::Vmread;
    bool vmcs02 = true;
    std::uint16_t encoding = 0;
    std::uint32_t at = 0;  // text
    std::size_t place = 0;
    Cell cell;
};

struct Model {
    Fields fields;
    std::vector<std::string> texts{std::string()};  // 0 is the empty one
    std::vector<Template> templates;
    ListBook image_lists, evidence_lists, note_lists;
    std::uint64_t weight = 0;

    explicit Model(Fields f) : fields(std::move(f)) {}
    void clear();  // as new, but for the memory

    ListBook& book(std::size_t list) {
        return list < kImages ? image_lists : list == kEvidence ? evidence_lists : note_lists;
    }
    void charge(std::uint64_t bytes) { weight += bytes; }
    VcpuModel* find_vcpu(std::uint32_t id);  // none yet: nullptr
    VcpuModel& vcpu(std::uint32_t id);
    /// That of the kind and the reason, made like the newest of the kind if it is not there yet.
    Slot& slot(VcpuModel& vcpu, const Row& row);
    std::vector<Cell>& cells(Slot& slot, std::size_t image);
    std::size_t vcpu_count() const { return vcpus_used_; }
    std::size_t slot_count() const { return slots_used_; }
    std::span<const std::unique_ptr<VcpuModel>> vcpus() const { return std::span(vcpus_).first(vcpus_used_); }

  private:
    std::vector<std::unique_ptr<VcpuModel>> vcpus_;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::size_t vcpus_used_ = 0, slots_used_ = 0;
    VcpuModel* newest_vcpu_ = nullptr;
};

}  // namespace vmxscope::core::trace
