// One format of an export: takes the transitions of a scan in order. export.h drives it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "core/query/columns.h"
#include "core/query/scan.h"
#include "core/result.h"
#include "core/trace/trace.h"

namespace vmxscope::core::exporting {

class Exporter {
  public:
    /// What each row that is selected must have.
    struct Needs {
        bool whole = true;        // its transition
        bool durations = false;   // its durations
        bool everything = false;  // take() wants the rows that are not selected, too: their digests
    };
    virtual ~Exporter() = default;
    virtual Needs needs() const { return {}; }
    virtual Result<void> take(const query::Row& row, bool selected) = 0;
    /// After the last row; without it nothing is left of the export.
    virtual Result<void> finish() = 0;
};

/// Where an export goes.
struct Destination {
    std::filesystem::path path;
    bool replace = false;  // what is there
};

/// What the head of a report says of the selection.
struct Selected {
    std::string where, limits;      // as they were written; "" for none
    std::uint64_t transitions = 0;  // that are shown
    bool more = false;              // match
};

Result<std::unique_ptr<Exporter>> perfetto_exporter(const trace::Trace& trace, const Destination& to);
Result<std::unique_ptr<Exporter>> ctf_exporter(const trace::Trace& trace, const Destination& to);
/// Of each transition all (core/transition_json.h), or only the columns, if there are any.
Result<std::unique_ptr<Exporter>> jsonl_exporter(const trace::Trace& trace, const Destination& to,
                                                 const std::vector<query::Query>& columns);
Result<std::unique_ptr<Exporter>> csv_exporter(const trace::Trace& trace, const Destination& to,
                                               const std::vector<query::Query>& columns);
Result<std::unique_ptr<Exporter>> html_exporter(const trace::Trace& trace, const Destination& to,
                                                const std::vector<query::Query>& columns, const Selected& selected);

}  // namespace vmxscope::core::exporting
