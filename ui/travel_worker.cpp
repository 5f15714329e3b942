#include "ui/travel_worker.h"

#include <QTimer>
#include <algorithm>

#include "core/timeline_stretch.h"
#include "core/trace/block.h"
#include "ui/text.h"

namespace vmxscope::ui {

namespace {

using core::trace::Digest;

constexpr int kStretchesAtOnce = 16;  // of a filter or a survey, before other work has its turn
constexpr std::size_t kMostMarks = 10'000;
constexpr std::size_t kMostFindings = 1'000;  // transitions of a file that are decoded for the list of findings
constexpr int kFlushMs = 2'000;

/// The rows of a trace: from the heads of its blocks; only blocks with gaps are looked into.
Runs rows_of(const core::trace::Trace& trace) {
    Runs rows;
    for (std::size_t i = 0; i < trace.blocks(); ++i) {
        const core::trace::BlockHead& head = trace.block(i);
        if (head.count == head.last_seq - head.first_seq + 1) {
            rows.add(head.first_seq, head.count);
        } else if (const auto digests = trace.digests(i)) {
            for (const Digest& d : *digests) rows.add(d.seq);
        }
    }
    return rows;
}

std::optional<StripMark> mark_of(const Digest& d) {
    const bool undefined = d.has_verdict && (d.vmcs12 == nested::Is::Undefined || d.vmcs02 == nested::Is::Undefined);
    if (!undefined && d.findings == 0) return std::nullopt;
    return StripMark{d.tsc, d.seq, d.alarm ? StripMark::What::Alarm : StripMark::What::Undefined, {}};
}

}  // namespace

TravelWorker::TravelWorker() : flush_(new QTimer(this)), work_(new QTimer(this)) {
    flush_->setSingleShot(true);
    flush_->setInterval(kFlushMs);
    connect(flush_, &QTimer::timeout, this, [this] {
        if (log_) log(log_->flush());
    });
    work_->setInterval(0);
    connect(work_, &QTimer::timeout, this, [this] {
        if (filter_) return filter_on();
        if (survey_) return survey_on();
        work_->stop();
    });
}

TravelWorker::~TravelWorker() = default;

void TravelWorker::close() {
    work_->stop();
    keep();
    log_.reset();
    filter_.reset();
    maker_.forget();
    line_.reset();
    past_.reset();
    marks_.clear();
    taken_ = survey_ = 0;
    notes_ = {};
    notes_stay_ = false;
}

void TravelWorker::open(const QString& file) {
    auto trace = core::trace::Trace::open(file.toStdString());
    if (!trace) {
        emit open_failed(qs(trace.error().what), qs(trace.error().remedy));
        return;
    }
    if (trace->count() == 0) {
        emit open_failed(QStringLiteral("There is no transition in %1.").arg(file), QStringLiteral("Record one anew."));
        return;
    }
    close();
    OpenedTrace opened{file, trace->info(), rows_of(*trace), {}};
    for (const std::string& damage : trace->damage()) opened.damage << qs(damage);
    info_ = trace->info();
    line_ = core::timeline_of(std::move(*trace));
    survey_ = line_->first();
    work_->start();
    emit this->opened(opened);
    auto notes = core::Bookmarks::of(file.toStdString());
    notes_stay_ = !notes;
    if (notes)
        notes_ = std::move(*notes);
    else
        emit failed(qs(notes.error().what), qs(notes.error().remedy));
    tell_notes();
}

void TravelWorker::begin(const core::trace::TraceInfo& info) {
    close();
    info_ = info;
    past_ = std::make_unique<core::trace::Past>(kPastBytes);
    line_ = core::timeline_of(*past_, info_);
    if (!folder_.isEmpty()) log_.emplace(folder_.toStdString(), info_);
    emit began();
    tell_notes();
}

void TravelWorker::feed(const PastBlock& block) {
    if (!past_) return;
    Runs more;
    QList<TransitionPtr> with;
    quint64 without = 0;
    const auto decoded = core::trace::decode_block(*block.bytes, [&](const nested::Transition& t) {
        if (t.seq < block.first || t.seq <= taken_) return true;
        if (t.seq > block.last) return false;
        taken_ = t.seq;
        past_->add(t);
        if (log_) log(log_->add(t));
        more.add(t.seq);
        const Digest d = core::trace::digest_of(t);
        if (const auto mark = mark_of(d); mark && marks_.size() < kMostMarks) marks_.push_back(*mark);
        if (d.findings > 0)
            with << std::make_shared<const nested::Transition>(t);
        else
            without += nested::direction_of(t.kind).has_value();
        return true;
    });
    if (!decoded) emit failed(qs(decoded.error().what), qs(decoded.error().remedy));
    if (more.empty()) return;
    if (log_ && !flush_->isActive()) flush_->start();
    emit grown(more, past_->first(), past_->dropped());
    emit findings(with, without);
    if (filter_) work_->start();
}

void TravelWorker::survey_on() {
    QList<TransitionPtr> with;
    quint64 without = 0;
    for (int i = 0; i < kStretchesAtOnce && survey_ != 0; ++i) {
        const auto stretch = core::stretch_from(*line_, survey_);
        if (!stretch || stretch->empty()) {
            survey_ = 0;
            break;
        }
        for (const Digest& d : *stretch) {
            if (d.seq < survey_) continue;
            if (const auto mark = mark_of(d); mark && marks_.size() < kMostMarks) marks_.push_back(*mark);
            if (d.findings == 0) {
                without += nested::direction_of(d.kind).has_value();
            } else if (static_cast<std::size_t>(with.size()) < kMostFindings) {
                if (auto t = line_->transition(d.seq))
                    with << std::make_shared<const nested::Transition>(std::move(*t));
            }
        }
        survey_ = stretch->back().seq >= line_->last() ? 0 : stretch->back().seq + 1;
    }
    emit findings(with, without);
    if (survey_ == 0) emit surveyed();
}

void TravelWorker::fetch_rows(const Runs& rows) {
    if (!line_) return;
    Digests digests;
    for (const Runs::Run& run : rows.runs()) {
        std::uint64_t at = run.first;
        const std::uint64_t end = run.first + run.count;
        while (at < end) {
            const auto stretch = line_->digests_at(at);
            if (!stretch || stretch->empty()) break;
            for (const Digest& d : *stretch)
                if (d.seq >= at && d.seq < end) digests.push_back(d);
            if (stretch->back().seq < at) break;
            at = stretch->back().seq + 1;
        }
    }
    if (!digests.empty()) emit this->rows(digests);
}

void TravelWorker::show(quint64 seq) {
    if (!line_) return;
    auto made = maker_.make(*line_, seq);
    if (made)
        emit shown(*made);
    else
        emit failed(qs(made.error().what), qs(made.error().remedy));
}

core::Result<void> TravelWorker::write(const QString& file, bool replace) {
    auto writer = core::trace::Writer::create(file.toStdString(), info_, {}, replace);
    if (!writer) return tl::unexpected(writer.error());
    if (auto done = past_->save(*writer); !done) return done;
    if (auto done = writer->finish(); !done) return done;
    return write_notes(file.toStdString());
}

/// Beside a file that the session is in.
core::Result<void> TravelWorker::write_notes(const std::filesystem::path& trace) const {
    auto beside = core::Bookmarks::of(trace);
    if (!beside) return tl::unexpected(beside.error());
    const auto old = beside->all();
    for (const auto& [seq, note] : old) beside->remove(seq);
    for (const auto& [seq, note] : notes_.all())
        if (auto done = beside->set(seq, note); !done) return done;
    return beside->save();
}

void TravelWorker::tell_notes() {
    notes_placed_ = false;
    emit notes(notes_.all());
}

void TravelWorker::set_note(quint64 seq, const QString& note) {
    if (!line_ || notes_stay_) return tell_notes();
    auto done = notes_.set(seq, note.toStdString());
    if (done) done = save_notes();
    if (!done) emit failed(qs(done.error().what), qs(done.error().remedy));
    tell_notes();
}

void TravelWorker::remove_note(quint64 seq) {
    if (!line_ || notes_stay_ || !notes_.remove(seq)) return tell_notes();
    if (auto done = save_notes(); !done) emit failed(qs(done.error().what), qs(done.error().remedy));
    tell_notes();
}

core::Result<void> TravelWorker::save_notes() const {
    if (!past_) return notes_.save();
    return log_ && !log_->file().empty() ? write_notes(log_->file()) : core::Result<void>{};
}

void TravelWorker::save(const QString& file) {
    if (!past_ || past_->first() == 0) {
        emit failed(QStringLiteral("There is no session to save."), QStringLiteral("Attach and step first."));
        return;
    }
    if (auto done = write(file, true); !done)
        emit failed(qs(done.error().what), qs(done.error().remedy));
    else
        emit saved(file, true);
}

void TravelWorker::keep() {
    if (!log_ || log_->file().empty()) return;
    log(log_->finish());
    emit saved(qs(log_->file().string()), false);
}

/// What fails is told once; the session goes on.
void TravelWorker::log(core::Result<void> done) {
    if (!done) emit failed(qs(done.error().what), qs(done.error().remedy));
}

}  // namespace vmxscope::ui
