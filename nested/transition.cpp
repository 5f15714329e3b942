#include "nested/transition.h"

#include <iterator>

namespace vmxscope::nested {
namespace {

struct KindName {
    std::string_view name, levels;
};

// By the value of Kind. A nested entry or exit is KVM moving the vCPU between L1 and L2; the crossings are with L0.
constexpr KindName kKinds[] = {
    {"l1-exit", "L1->L0"},
    {"nested-entry", "L1->L2"},
    {"l2-entry", "L0->L2"},
    {"l2-exit", "L2->L0"},
    {"nested-exit", "L2->L1"},
    {"l1-entry", "L0->L1"},
    {"nested-entry-failed", "L1->L1"},
};

// By the value of EvidenceScope.
constexpr std::string_view kScopes[] = {"none", "pdptr", "all"};

}  // namespace

std::string_view name_of(Kind kind) {
    const auto i = static_cast<std::size_t>(kind);
    return i < std::size(kKinds) ? kKinds[i].name : "?";
}

std::optional<Kind> kind_by_name(std::string_view name) {
    for (std::size_t i = 0; i < std::size(kKinds); ++i)
        if (kKinds[i].name == name) return static_cast<Kind>(i);
    return std::nullopt;
}

std::string_view name_of(EvidenceScope scope) {
    const auto i = static_cast<std::size_t>(scope);
    return i < std::size(kScopes) ? kScopes[i] : "?";
}

std::optional<EvidenceScope> evidence_scope_by_name(std::string_view name) {
    for (std::size_t i = 0; i < std::size(kScopes); ++i)
        if (kScopes[i] == name) return static_cast<EvidenceScope>(i);
    return std::nullopt;
}

std::string_view levels_of(Kind kind) {
    const auto i = static_cast<std::size_t>(kind);
    return i < std::size(kKinds) ? kKinds[i].levels : "?";
}

}  // namespace vmxscope::nested
