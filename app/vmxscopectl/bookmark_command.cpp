#include "app/vmxscopectl/bookmark_command.h"

#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/seen.h"
#include "core/bookmarks.h"
#include "core/transition_json.h"
#include "core/transition_text.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string file, note;
    std::optional<std::uint64_t> seq;
    bool remove = false, json = false;
};

/// Notes may come from elsewhere: nothing in them reaches the terminal but text.
std::string printable(std::string text) {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    return text;
}

int list(const core::Timeline& line, const core::Bookmarks& bookmarks, bool json) {
    for (const auto& [seq, note] : bookmarks.all()) {
        const auto t = line.transition(seq);
        const std::string text = t ? core::headline(*t) : fmt::format("#{}: {}", seq, t.error().what);
        if (!say(json ? core::to_line({{"seq", seq}, {"note", note}}) + "\n"
                      : fmt::format("{}\n{}", text, note.empty() ? "" : "    " + printable(note) + "\n")))
            break;
    }
    if (bookmarks.all().empty()) remark("There are no bookmarks yet.");
    return kDone;
}

int bookmark(const Options& o) {
    const std::string file = trace_file_of(o.file).value_or(o.file);
    const auto seen = Seen::of_file(file);
    if (!seen) return complain(seen.error());
    auto bookmarks = core::Bookmarks::of(file);
    if (!bookmarks) return complain(bookmarks.error());
    if (!o.seq) return list(seen->line(), *bookmarks, o.json);
    if (o.remove) {
        if (!bookmarks->remove(*o.seq)) return complain({fmt::format("Transition {} has no bookmark.", *o.seq), ""});
    } else {
        if (const auto t = seen->line().transition(*o.seq); !t) return complain(t.error());
        if (const auto ok = bookmarks->set(*o.seq, o.note); !ok) return complain(ok.error());
    }
    const auto saved = bookmarks->save();
    return saved ? kDone : complain(saved.error());
}

}  // namespace

void add_bookmark_command(CLI::App& app, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("bookmark", "List, make or remove notes on transitions of a trace");
    command->add_option("FILE", o->file, "The trace; the notes are beside it, in FILE.notes.json")->required();
    auto* seq = command->add_option("SEQ", o->seq, "The transition to be noted");
    auto* note = command->add_option("NOTE", o->note, "What is to be said of it");
    command->add_flag("--remove", o->remove, "Remove its note")->needs(seq)->excludes(note);
    command->add_flag("--json", o->json, "One JSON object a line");
    command->footer(
        "Examples:\n"
        "  vmxscopectl bookmark boot.vxt\n"
        "  vmxscopectl bookmark boot.vxt 1200 'L1 turns PAE on here'\n"
        "  vmxscopectl bookmark boot.vxt 1200 --remove");
    command->callback([o, &run] { run = [o] { return bookmark(*o); }; });
}

}  // namespace vmxscope::app
