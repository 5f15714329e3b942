#include "core/trace/model.h"

#include <algorithm>

namespace vmxscope::core::trace {

Fields::Fields() {
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) places_.push_back(i);
}

Fields::Fields(std::span<const std::uint16_t> encodings) {
    for (const std::uint16_t encoding : encodings) {
        if (const auto known = vmx::index_of(static_cast<vmx::Field>(encoding))) {
            places_.push_back(*known);
        } else {
            places_.push_back(vmx::kFieldCount + others_.size());
            others_.push_back(encoding);
        }
    }
}

std::size_t Fields::place_of(std::uint16_t encoding) const {
    if (const auto known = vmx::index_of(static_cast<vmx::Field>(encoding))) return *known;
    const auto other = std::lower_bound(others_.begin(), others_.end(), encoding);
    if (other == others_.end() || *other != encoding) return kNone;
    return vmx::kFieldCount + static_cast<std::size_t>(other - others_.begin());
}

std::vector<std::uint32_t>& ListBook::add() {
    if (used == lists.size()) lists.emplace_back();
    lists[used].clear();
    return lists[used++];
}

Image& VcpuModel::image(ImageOf which, nested::Kind kind) {
    switch (which) {
        case kVmcs12Before: return vmcs12_before;
        case kVmcs12After: return vmcs12_after;
        case kVmcs02Before: return vmcs02_before;
        case kVmcs02After: return vmcs02_after;
        default: return vmcs01[static_cast<std::size_t>(kind)];
    }
}

void Model::clear() {
    texts.resize(1);
    templates.clear();
    image_lists.clear();
    evidence_lists.clear();
    note_lists.clear();
    weight = 0;
    vcpus_used_ = slots_used_ = 0;
    newest_vcpu_ = nullptr;
}

VcpuModel* Model::find_vcpu(std::uint32_t id) {
    if (newest_vcpu_ && newest_vcpu_->id == id) return newest_vcpu_;
    for (std::size_t i = 0; i < vcpus_used_; ++i)
        if (vcpus_[i]->id == id) return newest_vcpu_ = vcpus_[i].get();
    return nullptr;
}

VcpuModel& Model::vcpu(std::uint32_t id) {
    if (VcpuModel* known = find_vcpu(id)) return *known;
    if (vcpus_used_ == vcpus_.size()) vcpus_.push_back(std::make_unique<VcpuModel>());
    VcpuModel& v = *vcpus_[vcpus_used_++];
    v = VcpuModel{};
    v.id = id;
    for (Image* image : {&v.vmcs12_before, &v.vmcs12_after, &v.vmcs02_before, &v.vmcs02_after})
        image->others.resize(fields.others());
    for (Image& image : v.vmcs01) image.others.resize(fields.others());
    newest_vcpu_ = &v;
    return v;
}

Slot& Model::slot(VcpuModel& vcpu, const Row& row) {
    if (row.reason.known()) vcpu.reason = static_cast<std::uint8_t>(row.reason.bits & 0x7f);
    const auto kind = static_cast<std::size_t>(row.kind);
    Slot*& slot = vcpu.by_reason[kind * 128 + vcpu.reason];
    if (!slot) {
        if (slots_used_ == slots_.size()) slots_.push_back(std::make_unique<Slot>());
        slot = slots_[slots_used_++].get();
        if (vcpu.newest[kind]) {
            *slot = *vcpu.newest[kind];
        } else {
            slot->lists = {};
            slot->numbers = {};
            for (auto& cells : slot->fields) cells.clear();
        }
    }
    return *(vcpu.newest[kind] = slot);
}

std::vector<Cell>& Model::cells(Slot& slot, std::size_t image) {
    std::vector<Cell>& cells = slot.fields[image];
    if (cells.empty()) cells.resize(fields.places());
    return cells;
}

}  // namespace vmxscope::core::trace
