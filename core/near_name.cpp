#include "core/near_name.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>
#include <vector>

namespace vmxscope::core {
namespace {

bool same(char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
}

}  // namespace

std::size_t edits_between(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t changed = diagonal + (same(a[i], b[j]) ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates, std::size_t most) {
    std::string_view nearest;
    std::size_t fewest = most;
    for (const std::string_view candidate : candidates) {
        const std::size_t edits = edits_between(name, candidate);
        if (edits > fewest || (edits == fewest && !nearest.empty())) continue;
        nearest = candidate;
        fewest = edits;
    }
    return nearest;
}

}  // namespace vmxscope::core
