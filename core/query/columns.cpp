#include "core/query/columns.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/query/names.h"

namespace vmxscope::core::query {

std::string time_text(std::uint64_t ns) {
    if (ns < 1000) return fmt::format("{}ns", ns);
    const auto amount = static_cast<double>(ns);
    if (amount < 1e6) return fmt::format("{:.4g}us", amount / 1e3);
    if (amount < 1e9) return fmt::format("{:.4g}ms", amount / 1e6);
    return fmt::format("{:.6g}s", amount / 1e9);
}

std::string value_text(const Query& query, std::uint64_t bits) {
    switch (query.type()) {
        case Type::Truth: return bits ? "true" : "false";
        case Type::Time: return time_text(bits);
        case Type::Word:
            for (const Word& word : words_of(query.vocabulary()))
                if (word.value == bits) return word.name;
            break;
        default: break;
    }
    return query.hex() ? fmt::format("{:#x}", bits) : fmt::format("{}", bits);
}

std::string csv_cell(const std::string& text) {
    std::string cell =
        !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos ? "'" + text : text;
    if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
    std::string quoted = "\"";
    for (const char c : cell) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + '"';
}

Columns::Columns(const std::vector<Query>& queries, std::uint64_t tsc_khz) {
    for (const Query& q : queries) evaluators_.emplace_back(q, tsc_khz);
}

bool Columns::digest_only() const {
    return std::all_of(evaluators_.begin(), evaluators_.end(),
                       [](const Evaluator& e) { return e.query().digest_only(); });
}

bool Columns::uses_durations() const {
    return std::any_of(evaluators_.begin(), evaluators_.end(),
                       [](const Evaluator& e) { return e.query().uses_durations(); });
}

std::string Columns::text(std::size_t i, const Row& row) {
    if (query(i).type() == Type::Text) return evaluators_[i].text(row).value_or("");
    const Cell cell = evaluators_[i].value(row);
    return cell.known ? value_text(query(i), cell.bits) : "";
}

std::string Columns::csv_head() const {
    std::string head;
    for (std::size_t i = 0; i < size(); ++i) head += (i ? "," : "") + csv_cell(query(i).text());
    return head;
}

std::string Columns::csv_line(const Row& row) {
    std::string line;
    for (std::size_t i = 0; i < size(); ++i) {
        if (i) line += ',';
        const bool time = query(i).type() == Type::Time;  // ns: a program reads it
        const Cell cell = time ? evaluators_[i].value(row) : Cell{};
        line += time ? (cell.known ? fmt::format("{}", cell.bits) : "") : csv_cell(text(i, row));
    }
    return line;
}

Json Columns::json(const Row& row) {
    Json object = Json::object();
    for (std::size_t i = 0; i < size(); ++i) {
        Json& member = object[query(i).text()];
        if (query(i).type() == Type::Text) {
            if (const auto t = evaluators_[i].text(row)) member = *t;
            continue;
        }
        const Cell cell = evaluators_[i].value(row);
        if (!cell.known) continue;
        const Type type = query(i).type();
        if (type == Type::Truth)
            member = cell.bits != 0;
        else if (type == Type::Time || (type == Type::Number && !query(i).hex()))
            member = cell.bits;
        else
            member = value_text(query(i), cell.bits);
    }
    return object;
}

}  // namespace vmxscope::core::query
