#include "plugins/replay/vcpu_places.h"

#include <set>

#include <fmt/format.h>

#include "core/timeline_stretch.h"

namespace vmxscope::replay {
namespace {

using core::trace::Digest;

constexpr std::size_t kMostVcpus = 4096;  // KVM_MAX_VCPUS on x86, by far

}  // namespace

core::Result<VcpuPlaces> VcpuPlaces::of(const core::Timeline& line, const core::Progress& progress) {
    VcpuPlaces places;
    bool too_many = false;
    const auto searching = [&](double done) { return !progress || progress("looking through the recording", done); };
    const auto looked =
        core::each_stretch(line, 0, core::Way::Forth, searching,
                           [&](const core::Stretch& stretch) -> core::Result<std::optional<std::uint64_t>> {
                               for (const Digest& d : stretch) {
                                   if (places.vcpus_.size() == kMostVcpus && !places.vcpus_.contains(d.vcpu))
                                       too_many = true;
                                   if (!too_many) places.vcpus_.try_emplace(d.vcpu, Place{d.seq, 0, 1});
                               }
                               return too_many ? std::optional(stretch.front().seq) : std::nullopt;
                           });
    if (!looked) return tl::unexpected(looked.error());
    if (too_many) return core::fail(fmt::format("The recording claims to be of more than {} vCPUs.", kMostVcpus));
    return places;
}

core::Result<std::vector<core::Vcpu>> VcpuPlaces::at(const core::Timeline& line, std::uint64_t seq) {
    // Backward from `seq`, until each vCPU that had begun is found, or where the last call left it still holds.
    std::size_t open = 0;
    for (auto& [id, v] : vcpus_) open += v.first <= seq;
    const std::uint64_t before = seq_ <= seq ? seq_ : 0;
    std::set<std::uint32_t> found;
    const auto looked =
        core::each_stretch(line, seq + 1, core::Way::Back, {},
                           [&](const core::Stretch& stretch) -> core::Result<std::optional<std::uint64_t>> {
                               for (std::size_t i = stretch.size(); i-- > 0 && found.size() < open;) {
                                   const Digest& d = stretch[i];
                                   if (d.seq > seq) continue;
                                   if (d.seq <= before) return d.seq;
                                   if (found.contains(d.vcpu)) continue;
                                   const auto v = vcpus_.find(d.vcpu);
                                   if (v == vcpus_.end()) continue;
                                   v->second.newest = d.seq;
                                   v->second.level = core::level_after(d.kind);
                                   found.insert(d.vcpu);
                               }
                               return found.size() == open ? std::optional(seq) : std::nullopt;
                           });
    if (!looked) return tl::unexpected(looked.error());
    seq_ = seq;
    std::vector<core::Vcpu> all;
    for (auto& [id, v] : vcpus_) {
        if (v.first > seq) v.newest = 0;
        all.push_back({.id = id, .tid = 0, .state = core::VcpuState::Held, .level = {}, .last_seq = v.newest});
        if (v.newest != 0) all.back().level = v.level;
    }
    return all;
}

}  // namespace vmxscope::replay
