// A trace, or what of it matches a condition, in a format that other programs read. docs/exports.md describes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/export/exporter.h"

namespace vmxscope::core::exporting {

enum class Format : std::uint8_t { Perfetto, Ctf, Jsonl, Csv, Html };
std::optional<Format> format_by_name(std::string_view name);  // "perfetto", "ctf", "jsonl", "csv", "html"

/// What a table has where nobody names its columns.
inline constexpr std::string_view kColumns = "seq,time,vcpu,kind,exit_reason,wanted_by,pdptr,findings,lost";
inline constexpr std::uint64_t kHtmlLimit = 500;  // transitions; a browser holds them all

struct ExportOptions {
    Format format = Format::Jsonl;
    Destination to;
    query::Query where;
    query::ScanOptions limits = {};          // from and to; told how far it is
    std::string limits_text = {};            // as they were written
    std::vector<query::Query> columns = {};  // of jsonl (none: everything), csv and html
    std::uint64_t most = 0;                  // transitions; 0 = all
};

struct Exported {
    query::Scanned scanned;
    std::uint64_t transitions = 0;  // that were selected and are in the export
    bool cut = false;               // more match than `most`
};

/// Takes no more memory for a long trace than for a short one. After an Error, or when the progress asked for the end,
/// nothing is left of the export.
Result<Exported> export_trace(const trace::Trace& trace, const ExportOptions& options);

}  // namespace vmxscope::core::exporting
