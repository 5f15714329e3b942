// Goes through a past in a thread of its own: that of a trace file, or of the session under way, which it keeps within
// a bound. All slots run in that thread; stop() and hurry() may be called from elsewhere. A `ticket` comes back with
// the answer.
#pragma once

#include <QObject>
#include <QStringList>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/bookmarks.h"
#include "core/query/evaluator.h"
#include "core/session_log.h"
#include "core/timeline.h"
#include "core/timeline_stretch.h"
#include "ui/session_worker.h"
#include "ui/shown.h"
#include "ui/strip_picture.h"

class QTimer;

namespace vmxscope::ui {

/// What a trace file says of itself.
struct OpenedTrace {
    QString file;
    core::trace::TraceInfo info;
    Runs rows;
    QStringList damage;
};

/// The changes of one field in vmcs12 and vmcs02, oldest first.
struct FieldChanges {
    struct Row {
        core::Which vmcs{};
        core::FieldChange change;
    };
    vmx::Field field{};
    std::vector<Row> rows;
    QString error;
};

struct StateDifferences {
    quint64 a = 0, b = 0;
    std::vector<core::Difference> rows;
    QString error;
};

/// As go_to() takes them: "#12", "12", "1.5 ms".
bool is_number_or_time(const QString& where);

class TravelWorker : public QObject {
    Q_OBJECT

  public:
    static constexpr std::size_t kPastBytes = 64u << 20;      // of the session under way
    static constexpr std::uint64_t kMostMatches = 4'000'000;  // of a filter: rows far apart take 24 bytes each
    static constexpr std::size_t kMostChanges = 1'000;        // of a field, the newest

    TravelWorker();
    ~TravelWorker() override;

    /// Ends the search under way. Any thread.
    void stop() { ++search_; }
    /// Somebody waits for something short: what can be begun again later makes way. Any thread.
    void hurry() { ++urgent_; }

  public slots:
    void open(const QString& file);
    void begin(const vmxscope::core::trace::TraceInfo& info);
    void feed(const vmxscope::ui::PastBlock& block);
    /// Nothing is there any more.
    void close();
    /// Sessions that begin from now on are recorded as they go, in files of that folder (core::SessionLog).
    void keep_in(const QString& folder) { folder_ = folder; }
    /// The session has ended: its file is whole, with its notes beside it.
    void keep();
    void save(const QString& file);
    /// A bookmark's note, which may be empty. Of a trace it is kept beside the file at once, of a session together with
    /// it.
    void set_note(quint64 seq, const QString& note);
    void remove_note(quint64 seq);

    void fetch_rows(const vmxscope::ui::Runs& rows);
    void show(quint64 seq);
    void step(quint64 from, vmxscope::core::StepKind kind, vmxscope::core::Way way);
    /// Empty: no filter. The text was parsed before.
    void filter(const QString& text, quint64 ticket);
    void search(const QString& text, quint64 from, vmxscope::core::Way way);
    /// A number ("#12"), a time since the first transition ("1.5 ms"), or else a condition.
    void go_to(const QString& text, quint64 from);
    void go_to_tsc(quint64 tsc);
    void history(vmxscope::vmx::Field field, quint32 vcpu);
    void last_change(vmxscope::vmx::Field field, quint32 vcpu, quint64 from);
    void compare(quint64 a, quint64 b);
    void sample(const vmxscope::ui::StripRequest& request);

  signals:
    void opened(const vmxscope::ui::OpenedTrace& trace);
    void open_failed(const QString& what, const QString& remedy);
    void began();
    /// `first`: the oldest that is still kept.
    void grown(const vmxscope::ui::Runs& more, quint64 first, quint64 dropped);
    /// Transitions with findings, and how many nested entries and exits had none.
    void findings(const QList<vmxscope::ui::TransitionPtr>& with, quint64 without);
    /// All of a file was looked through for findings and marks.
    void surveyed();
    void rows(const vmxscope::ui::Digests& digests);
    void shown(const vmxscope::ui::ShownPtr& shown);
    /// `fresh`: begins the list anew. `done` < 1: there is more to come.
    void filtered(quint64 ticket, const vmxscope::ui::Runs& more, bool fresh, double done);
    void searching(double done);
    /// To be shown.
    void found(quint64 seq);
    void not_found(const QString& why);
    void history_of(const vmxscope::ui::FieldChanges& changes);
    void compared(const vmxscope::ui::StateDifferences& differences);
    void sampled(const vmxscope::ui::StripPicture& picture);
    void notes(const std::map<std::uint64_t, std::string>& notes);
    void saved(const QString& file, bool asked);
    void failed(const QString& what, const QString& remedy);

  private:
    struct Filter {
        quint64 ticket = 0;
        core::query::Evaluator evaluator;
        core::query::Moments moments;
        std::uint64_t next = 0;  // the lowest that was not looked at
        std::uint64_t matches = 0;
        bool begun = false;
    };
    void begin_filter(const core::query::Query& query, quint64 ticket);
    void filter_on();
    core::Result<Runs> matches_of(const core::Stretch& stretch);
    void survey_on();
    void answer(const core::Result<std::optional<std::uint64_t>>& found, const QString& none);
    core::Searching searching_of(quint64 mine);
    void tell_notes();
    std::vector<StripMark> marks_between(quint64 from, quint64 to);
    core::Result<void> write_notes(const std::filesystem::path& trace) const;
    void log(core::Result<void> done);
    core::Result<void> save_notes() const;
    core::Result<void> write(const QString& file, bool replace);

    std::unique_ptr<core::trace::Past> past_;  // of a session; null: of a file, or nothing
    core::trace::TraceInfo info_;
    std::unique_ptr<core::Timeline> line_;
    std::uint64_t taken_ = 0;  // of a session: the newest that was fed
    std::optional<core::SessionLog> log_;  // of a session
    QTimer* flush_;                        // what came is on the disk soon
    ShownMaker maker_;
    std::optional<Filter> filter_;
    QTimer* work_;              // the filter's, and the survey's: a little at a time
    std::uint64_t survey_ = 0;  // of a file: the lowest that was not yet looked at for findings; 0: done
    std::vector<StripMark> marks_, note_marks_;
    bool notes_placed_ = false;  // note_marks_ is of notes_
    core::Bookmarks notes_;
    bool notes_stay_ = false;  // there is a file of notes that could not be read: it is not written over
    std::atomic<quint64> search_ = 0, urgent_ = 0;
    QString folder_;
};

}  // namespace vmxscope::ui
