// Goes through the values of one transition, for the writer and for the reader of a payload. Io::value() writes the
// actual value, or reads it; both bring the model to the same state.
#pragma once

#include "core/trace/numbers.h"
#include "core/trace/payload.h"

namespace vmxscope::core::trace {

// How a value that was not predicted is written: by its source, its state, or its bytes, all of them or of the
// difference.
inline constexpr std::uint8_t kCodeState = 8;        // + NotRead, Unsupported, Faulted
inline constexpr std::uint8_t kCodeBits = 16;        // + 0 … 8 bytes
inline constexpr std::uint8_t kCodeDifference = 32;  // + 1 … 8 bytes, folded

/// The places of what each number is predicted from.
using NumberPlaces = std::array<std::size_t, kNumbers>;
NumberPlaces number_places(const Fields& fields);

template <typename Io>
class Walk {
  public:
    Walk(Io& io, Model& model, VcpuModel& vcpu, Slot& slot, const Row& row)
        : io_(io), model_(model), vcpu_(vcpu), slot_(slot), row_(row) {}

    /// The VMCSs before this transition are those after the last.
    void begin() {
        carry(vcpu_.changed12, vcpu_.vmcs12_after, vcpu_.vmcs12_before);
        carry(vcpu_.changed02, vcpu_.vmcs02_after, vcpu_.vmcs02_before);
        vcpu_.changed12 = slot_.lists[kVmcs12After];
        vcpu_.changed02 = slot_.lists[kVmcs02After];
    }

    /// The fields in the slot's list of an image; `actual` for the writer.
    void image(ImageOf which, const vmx::VmcsImage* actual) {
        const auto changed = model_.image_lists[slot_.lists[which]];
        if (changed.empty()) return;
        Image& image = vcpu_.image(which, row_.kind);
        Image* const after = which == kVmcs12Before   ? &vcpu_.vmcs12_after
                             : which == kVmcs02Before ? &vcpu_.vmcs02_after
                                                      : nullptr;
        const vmx::Value length = image.known[vmx::Field::VM_EXIT_INSTRUCTION_LEN];
        std::vector<Cell>& cells = model_.cells(slot_, which);
        for (const std::uint32_t listed : changed) {
            const std::size_t place = model_.fields.place(listed);
            const vmx::Value was = image.at(place);
            const auto guess = [&](const Cell& cell, Source source) {
                if (source == Source::Beside)
                    return was.known() && length.known() ? vmx::Value::of(was.bits + length.bits) : vmx::Value{};
                return guess_of(cell, source, place);
            };
            const vmx::Value now =
                io_.value(ValueOf::Field, cells[place], was, actual ? actual->at_index(place) : vmx::Value{}, guess);
            image.set(place, now);
            if (after) after->set(place, now);
        }
    }

    /// In place: in for the writer, out for the reader.
    void numbers(Numbers& numbers, const NumberPlaces& places) {
        for (std::size_t i = 0; i < kNumbers; ++i) {
            Cell& cell = slot_.numbers[i];
            const auto guess = [&](const Cell& c, Source source) {
                if (source == Source::Beside) return vcpu_.numbers[i];
                if (source > Source::Beside && places[i] == Fields::kNone) return vmx::Value::of(row_.seq);
                return guess_of(c, source, places[i]);
            };
            numbers[i] = io_.value(ValueOf::Number, cell, cell.value(), numbers[i], guess);
        }
        vcpu_.numbers = numbers;
    }

    void evidence(std::span<const nested::Evidence> actual, std::span<nested::Evidence> out) {
        const auto list = model_.evidence_lists[slot_.lists[kEvidence]];
        vmx::Value beside;
        for (std::size_t i = 0; i < list.size(); ++i) {
            Template& t = model_.templates[list[i]];
            const auto guess = [&](const Cell& c, Source source) {
                if (source == Source::Beside) return beside;
                return guess_of(c, source, t.place);
            };
            beside = io_.value(ValueOf::Evidence, t.cell, t.cell.value(),
                               actual.empty() ? vmx::Value{} : actual[i].value, guess);
            if (!out.empty()) out[i].value = beside;
        }
    }

  private:
    void carry(std::uint32_t list, const Image& from, Image& to) {
        for (const std::uint32_t listed : model_.image_lists[list]) {
            const std::size_t place = model_.fields.place(listed);
            to.set(place, from.at(place));
        }
    }
    vmx::Value guess_of(const Cell& cell, Source source, std::size_t place) {
        switch (source) {
            case Source::Last: return cell.value();
            case Source::Stride: return cell.next();
            case Source::Beside: return {};
            case Source::Vmcs02After: return vcpu_.vmcs02_after.at(place);
            case Source::Vmcs12After: return vcpu_.vmcs12_after.at(place);
            case Source::Vmcs02Before: return vcpu_.vmcs02_before.at(place);
            case Source::Vmcs12Before: return vcpu_.vmcs12_before.at(place);
            case Source::Vmcs01: return vcpu_.vmcs01[static_cast<std::size_t>(row_.kind)].at(place);
        }
        return {};
    }

    Io& io_;
    Model& model_;
    VcpuModel& vcpu_;
    Slot& slot_;
    const Row& row_;
};

}  // namespace vmxscope::core::trace
