#include "ui/runs.h"

#include <algorithm>

namespace vmxscope::ui {

void Runs::add(std::uint64_t first, std::uint64_t count) {
    if (count == 0) return;
    if (!runs_.empty() && runs_.back().first + runs_.back().count == first)
        runs_.back().count += count;
    else
        runs_.push_back({first, count, this->count()});
}

void Runs::add(const Runs& more) {
    for (const Run& run : more.runs_) add(run.first, run.count);
}

std::uint64_t Runs::drop_before(std::uint64_t seq) {
    const std::uint64_t gone = rows_before(seq);
    if (gone == 0) return 0;
    std::erase_if(runs_, [&](const Run& run) { return run.first + run.count <= seq; });
    if (!runs_.empty() && runs_.front().first < seq) {
        Run& run = runs_.front();
        run.row += seq - run.first;
        run.count -= seq - run.first;
        run.first = seq;
    }
    for (Run& run : runs_) run.row -= gone;
    return gone;
}

std::uint64_t Runs::at(std::uint64_t row) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), row,
                                        [](std::uint64_t wanted, const Run& run) { return wanted < run.row; });
    const Run& run = *(after - 1);
    return run.first + (row - run.row);
}

std::uint64_t Runs::rows_before(std::uint64_t seq) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), seq,
                                        [](std::uint64_t wanted, const Run& run) { return wanted < run.first; });
    if (after == runs_.begin()) return 0;
    const Run& run = *(after - 1);
    return run.row + std::min(run.count, seq - run.first);
}

std::optional<std::uint64_t> Runs::row_of(std::uint64_t seq) const {
    const std::uint64_t row = rows_before(seq);
    if (row >= count() || at(row) != seq) return std::nullopt;
    return row;
}

Runs Runs::slice(std::uint64_t row, std::uint64_t count) const {
    Runs part;
    const std::uint64_t end = std::min(this->count(), row + count);
    while (row < end) {
        const auto after = std::upper_bound(runs_.begin(), runs_.end(), row,
                                            [](std::uint64_t wanted, const Run& run) { return wanted < run.row; });
        const Run& run = *(after - 1);
        const std::uint64_t take = std::min(end, run.row + run.count) - row;
        part.add(run.first + (row - run.row), take);
        row += take;
    }
    return part;
}

}  // namespace vmxscope::ui
