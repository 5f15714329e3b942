// The numbers of many transitions in growing order, as runs without a gap: what the rows of a list of millions are.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace vmxscope::ui {

class Runs {
  public:
    struct Run {
        std::uint64_t first = 0, count = 0;
        std::uint64_t row = 0;  // of `first`
    };

    /// `first` must be beyond all that is here.
    void add(std::uint64_t first, std::uint64_t count = 1);
    void add(const Runs& more);
    /// Takes those before `seq` away; returns how many.
    std::uint64_t drop_before(std::uint64_t seq);

    std::uint64_t count() const { return runs_.empty() ? 0 : runs_.back().row + runs_.back().count; }
    bool empty() const { return runs_.empty(); }
    std::uint64_t first() const { return runs_.empty() ? 0 : runs_.front().first; }
    std::uint64_t last() const { return runs_.empty() ? 0 : runs_.back().first + runs_.back().count - 1; }
    /// `row` < count().
    std::uint64_t at(std::uint64_t row) const;
    std::optional<std::uint64_t> row_of(std::uint64_t seq) const;
    /// How many are before `seq`: the row that it has or would have.
    std::uint64_t rows_before(std::uint64_t seq) const;
    /// `count` rows from `row` on, or as many as there are.
    Runs slice(std::uint64_t row, std::uint64_t count) const;
    const std::vector<Run>& runs() const { return runs_; }

  private:
    std::vector<Run> runs_;
};

}  // namespace vmxscope::ui
