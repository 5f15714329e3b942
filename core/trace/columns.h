// The columns of a block: for each transition where it stands and of what class it is (kind, reason, and what is
// derived from it), apart from its payload, so that a question about millions of transitions reads little.
#pragma once

#include <unordered_map>

#include "core/result.h"
#include "core/trace/digest.h"
#include "core/trace/payload.h"
#include "core/trace/section.h"

namespace vmxscope::core::trace {

/// The streams of the columns, in the order of their section.
enum class Column : std::uint8_t { Fields, Classes, ClassOf, Seq, Tsc, Vcpus, VcpuOf, Lost, Changed, Count };
inline constexpr std::size_t kColumns = static_cast<std::size_t>(Column::Count);

/// What a block's head gives the columns to begin from.
struct Begin {
    std::uint64_t seq = 0, tsc = 0;
    std::uint32_t count = 0;
};

/// Collects the columns of a block.
class ColumnsWriter {
  public:
    /// `digest` nullptr: the block has none.
    void add(const Row& row, const Digest* digest);
    std::size_t count() const { return count_; }
    std::size_t bytes() const;
    /// The streams, once each column is complete; `begin` as the head has it.
    std::array<Bytes, kColumns> streams(const Begin& begin, const ChangedFields& changed, bool digests) const;
    const Row& first() const { return first_; }
    const Row& last() const { return last_; }
    std::uint64_t lowest_tsc() const { return lowest_; }
    std::uint64_t highest_tsc() const { return highest_; }
    std::uint64_t lost() const { return lost_; }
    void clear();

  private:
    std::uint32_t class_of(const Row& row, const Digest* digest);
    std::uint32_t vcpu_of(std::uint32_t id);

    std::size_t count_ = 0;
    Row first_, last_;
    std::uint64_t lowest_ = 0, highest_ = 0, lost_ = 0;
    Bytes classes_, class_of_, seq_, tsc_, vcpus_, vcpu_of_, lost_of_;
    std::unordered_map<std::string, std::uint32_t> class_numbers_;
    std::vector<std::uint32_t> vcpu_ids_;
    bool one_class_ = true;
};

/// Reads them, from what is an enemy's.
class ColumnsReader {
  public:
    /// The bytes must outlive this.
    Result<void> open(std::span<const std::byte> section, const Begin& begin);

    Result<Fields> fields();
    Result<void> rows(std::vector<Row>& rows);
    /// False: the block has no digests by the rules of this program.
    Result<bool> digests(std::vector<Digest>& digests);
    Result<ChangedFields> changed();

  private:
    struct Class {
        nested::Kind kind = nested::Kind::L1Exit;
        vmx::Value reason;
        Digest digest;
    };
    Result<void> read_classes();
    Result<void> read_vcpus();
    Result<std::vector<std::uint16_t>> encodings();
    template <typename Each>
    Result<void> each_row(Each each);
    Result<Cursor> column(Column c);

    Section section_;
    Begin begin_;
    std::vector<Class> classes_;
    std::vector<std::uint32_t> vcpus_;
    bool has_digests_ = false;
};

}  // namespace vmxscope::core::trace
