// The part of the worker that looks for something: filters, searches, changes of a field, and samples for the strip.
#include <QRegularExpression>
#include <QTimer>
#include <algorithm>
#include <cmath>
#include <map>

#include "ui/text.h"
#include "ui/travel_worker.h"

namespace vmxscope::ui {

namespace {

using core::query::Truth;
using core::trace::Digest;

constexpr int kStretchesAtOnce = 16;
constexpr int kMostPixels = 8'192;
constexpr std::size_t kMostLanes = 64;

const QRegularExpression& number_form() {
    static const QRegularExpression form(QStringLiteral("^#?\\s*([0-9]{1,19})$"));
    return form;
}

const QRegularExpression& time_form() {
    static const QRegularExpression form(QStringLiteral("^([0-9]{1,12}(?:\\.[0-9]{1,9})?)\\s*(s|ms|us|µs|ns)$"));
    return form;
}

/// Who runs after it: 0, 1 or 2.
std::size_t level_after(nested::Kind kind) {
    return kind == nested::Kind::L1Entry ? 1 : kind == nested::Kind::L2Entry ? 2 : 0;
}

}  // namespace

bool is_number_or_time(const QString& where) {
    return number_form().match(where.trimmed()).hasMatch() || time_form().match(where.trimmed()).hasMatch();
}

void TravelWorker::filter(const QString& text, quint64 ticket) {
    filter_.reset();
    if (!line_) return;
    const auto query = core::query::Query::parse(text.toStdString());
    if (query) begin_filter(*query, ticket);
}

void TravelWorker::begin_filter(const core::query::Query& query, quint64 ticket) {
    std::uint64_t start = 0;
    if (const auto begin = line_->digests_at(line_->first()); begin && !begin->empty()) start = begin->front().tsc;
    filter_.emplace(Filter{ticket, core::query::Evaluator(query, info_.tsc_khz), core::query::Moments(start),
                           std::max<std::uint64_t>(line_->first(), 1), 0, false});
    work_->start();
}

core::Result<Runs> TravelWorker::matches_of(const core::Stretch& stretch) {
    Filter& f = *filter_;
    const core::query::Query& query = f.evaluator.query();
    core::Stretch fresh;
    std::vector<core::query::Durations> durations;
    for (const Digest& d : stretch) {
        if (d.seq < f.next) continue;
        fresh.push_back(d);
        if (query.uses_durations()) durations.push_back(f.moments.take(d));
    }
    std::vector<Truth> truths;
    f.evaluator.truths(fresh, durations, truths);
    Runs matches;
    for (std::size_t i = 0; i < fresh.size() && f.matches < kMostMatches; ++i) {
        Truth truth = truths[i];
        if (truth == Truth::Unknown && !query.digest_only()) {
            const auto t = line_->transition(fresh[i].seq);
            if (!t) continue;  // damaged: the file was said to be so
            truth = f.evaluator.truth({&fresh[i], durations.empty() ? core::query::Durations{} : durations[i], &*t});
        }
        if (truth != Truth::Yes) continue;
        matches.add(fresh[i].seq);
        ++f.matches;
    }
    return matches;
}

void TravelWorker::filter_on() {
    Filter& f = *filter_;
    Runs more;
    bool end = false;
    for (int i = 0; i < kStretchesAtOnce && !end; ++i) {
        end = f.next > line_->last() || f.matches >= kMostMatches;
        if (end) break;
        const auto stretch = core::stretch_from(*line_, f.next);
        end = !stretch || stretch->empty();
        if (end) break;
        if (const auto matches = matches_of(*stretch)) more.add(*matches);
        f.next = std::max(f.next, stretch->back().seq) + 1;
    }
    const double first = static_cast<double>(line_->first()), all = static_cast<double>(line_->last()) - first + 1;
    const double done = end || all <= 0 ? 1.0 : std::min(0.999, (static_cast<double>(f.next) - first) / all);
    emit filtered(f.ticket, more, !f.begun, done);
    f.begun = true;
    if (!end) return;
    if (survey_)
        survey_on();
    else
        work_->stop();  // a session's next transitions begin it again
}

core::Searching TravelWorker::searching_of(quint64 mine) {
    return [this, mine](double done) {
        emit searching(done);
        return search_ == mine;
    };
}

void TravelWorker::answer(const core::Result<std::optional<std::uint64_t>>& result, const QString& none) {
    emit searching(1);
    if (result && *result)
        emit found(**result);
    else
        emit not_found(result ? none : qs(result.error().what));
}

void TravelWorker::step(quint64 from, core::StepKind kind, core::Way way) {
    if (!line_) return;
    answer(core::step_from(*line_, from, kind, way), way == core::Way::Back
                                                         ? QStringLiteral("There is none before #%1.").arg(from)
                                                         : QStringLiteral("There is none after #%1.").arg(from));
}

void TravelWorker::search(const QString& text, quint64 from, core::Way way) {
    if (!line_) return;
    const quint64 mine = ++search_;
    const auto query = core::query::Query::parse(text.toStdString());
    if (!query) {
        emit not_found(qs(query.error().what));
        return;
    }
    const auto nearest = core::find_from(*line_, from, *query, way, searching_of(mine));
    if (search_ != mine) return emit searching(1);  // it was stopped
    answer(nearest,
           way == core::Way::Back ? QStringLiteral("No match before #%1.").arg(from)
                                  : QStringLiteral("No match after #%1.").arg(from));
}

void TravelWorker::go_to(const QString& text, quint64 from) {
    if (!line_ || line_->last() == 0) return;
    const QString asked = text.trimmed();
    if (const auto match = number_form().match(asked); match.hasMatch()) {
        const quint64 seq = std::clamp<quint64>(match.captured(1).toULongLong(), line_->first(), line_->last());
        const auto stretch = core::stretch_from(*line_, seq);
        if (stretch)
            for (const Digest& d : *stretch)
                if (d.seq >= seq) return answer(std::optional(d.seq), {});
        return answer(std::optional<std::uint64_t>(), QStringLiteral("#%1 is not kept.").arg(seq));
    }
    if (const auto match = time_form().match(asked); match.hasMatch()) {
        if (info_.tsc_khz == 0)
            return answer(std::optional<std::uint64_t>(),
                          QStringLiteral("How fast the TSC ran is not known. Go to a number instead."));
        const QString unit = match.captured(2);
        const double seconds = match.captured(1).toDouble() * (unit == u"s"    ? 1
                                                               : unit == u"ms" ? 1e-3
                                                               : unit == u"ns" ? 1e-9
                                                                               : 1e-6);
        const auto begin = line_->digests_at(line_->first());
        if (!begin || begin->empty()) return;
        const double tsc =
            static_cast<double>(begin->front().tsc) + std::round(seconds * 1e3 * static_cast<double>(info_.tsc_khz));
        return answer(std::optional(line_->at_tsc(tsc >= 0x1p63 ? 1ULL << 63 : static_cast<std::uint64_t>(tsc))), {});
    }
    search(asked, from, core::Way::Forth);
}

void TravelWorker::go_to_tsc(quint64 tsc) {
    if (line_ && line_->last() != 0) emit found(line_->at_tsc(tsc));
}

void TravelWorker::history(vmx::Field field, quint32 vcpu) {
    FieldChanges changes{field, {}, {}};
    const quint64 mine = ++search_, calm = urgent_;
    bool made_way = false;
    for (const core::Which which : {core::Which::Vmcs12, core::Which::Vmcs02}) {
        if (!line_) break;
        auto rows = core::field_history(*line_, which, field, vcpu, line_->last(), kMostChanges, [&](double) {
            made_way = urgent_ != calm;
            return search_ == mine && !made_way;
        });
        if (made_way || search_ != mine) break;
        if (!rows) {
            changes.error = qs(rows.error().what);
            break;
        }
        for (core::FieldChange& change : *rows) changes.rows.push_back({which, std::move(change)});
    }
    if (made_way && search_ == mine) {
        QMetaObject::invokeMethod(
            this,
            [this, field, vcpu, mine] {
                if (search_ == mine) history(field, vcpu);
            },
            Qt::QueuedConnection);
        return;
    }
    if (search_ != mine) return;
    std::stable_sort(changes.rows.begin(), changes.rows.end(),
                     [](const auto& a, const auto& b) { return a.change.seq < b.change.seq; });
    emit history_of(changes);
}

void TravelWorker::last_change(vmx::Field field, quint32 vcpu, quint64 from) {
    if (!line_) return;
    const quint64 mine = ++search_;
    std::optional<std::uint64_t> newest;
    for (const core::Which which : {core::Which::Vmcs12, core::Which::Vmcs02}) {
        const auto change = core::last_change(*line_, which, field, vcpu, from, true, searching_of(mine));
        if (search_ != mine) return emit searching(1);  // it was stopped
        if (!change) return answer(tl::unexpected(change.error()), {});
        if (*change) newest = std::max(newest.value_or(0), (*change)->seq);
    }
    answer(newest, QStringLiteral("No nested entry before #%1 changed %2.").arg(from).arg(qs(vmx::name_of(field))));
}

void TravelWorker::compare(quint64 a, quint64 b) {
    StateDifferences all{a, b, {}, {}};
    if (!line_) return;
    const auto first = line_->transition(a), second = line_->transition(b);
    if (!first || !second)
        all.error = qs((first ? second : first).error().text());
    else
        all.rows = core::differences(*first, *second);
    emit compared(all);
}

void TravelWorker::sample(const StripRequest& request) {
    StripPicture picture{request, 0, 0, {}, {}};
    if (!line_ || line_->last() == 0 || request.width < 1 || request.width > kMostPixels) return;
    const auto begin = core::stretch_from(*line_, line_->first()), end = core::stretch_from(*line_, line_->last());
    if (!begin || !end || begin->empty() || end->empty()) return;
    picture.first_tsc = begin->front().tsc;
    picture.last_tsc = std::max<quint64>(end->back().tsc, picture.first_tsc + 1);
    StripRequest& r = picture.request;
    if (r.to_tsc <= r.from_tsc) r = {picture.first_tsc, picture.last_tsc, r.width};
    const double per_pixel = static_cast<double>(r.to_tsc - r.from_tsc) / r.width;
    const quint64 calm = urgent_;
    std::map<quint32, StripPicture::Lane> lanes;
    struct Since {
        quint64 tsc;
        std::size_t level;
    };
    std::map<quint32, Since> since;
    core::Stretch stretch;
    std::size_t at = 0;
    for (int x = 0; x < r.width; ++x) {
        const quint64 from = r.from_tsc + static_cast<quint64>(per_pixel * x);
        const quint64 to = std::max(from + 1, r.from_tsc + static_cast<quint64>(per_pixel * (x + 1)));
        if (urgent_ != calm) {
            QMetaObject::invokeMethod(
                this, [this, request] { sample(request); }, Qt::QueuedConnection);
            return;
        }
        // The stretch that the pixel begins in; what lies between two pixels' stretches is passed over.
        if (stretch.empty() || at >= stretch.size() || stretch.back().tsc < from) {
            auto next = core::stretch_from(*line_, line_->at_tsc(from));
            if (!next || next->empty()) continue;
            stretch = std::move(*next);
            at = 0;
            since.clear();
        }
        std::map<quint32, std::array<double, 3>> shares;
        const auto spend = [&](quint32 vcpu, Since& s, quint64 until) {
            const quint64 begin_at = std::max(s.tsc, from), end_at = std::min(until, to);
            if (end_at > begin_at) shares[vcpu][s.level] += static_cast<double>(end_at - begin_at);
        };
        for (; at < stretch.size() && stretch[at].tsc < to; ++at) {
            const Digest& d = stretch[at];
            if (const auto s = since.find(d.vcpu); s != since.end()) spend(d.vcpu, s->second, d.tsc);
            since[d.vcpu] = {d.tsc, level_after(d.kind)};
        }
        for (auto& [vcpu, s] : since) spend(vcpu, s, to);
        for (const auto& [vcpu, share] : shares) {
            if (lanes.size() >= kMostLanes && !lanes.contains(vcpu)) continue;
            StripPicture::Lane& lane = lanes[vcpu];
            lane.vcpu = vcpu;
            lane.shares.resize(static_cast<std::size_t>(r.width));
            const double whole = share[0] + share[1] + share[2];
            for (std::size_t level = 0; level < 3 && whole > 0; ++level)
                lane.shares[static_cast<std::size_t>(x)][level] = static_cast<float>(share[level] / whole);
        }
    }
    for (auto& [vcpu, lane] : lanes) picture.lanes.push_back(std::move(lane));
    picture.marks = marks_between(r.from_tsc, r.to_tsc);
    emit sampled(picture);
}

/// What was noted first: where two lie together, that is what a click is for.
std::vector<StripMark> TravelWorker::marks_between(quint64 from, quint64 to) {
    if (!notes_placed_) {
        note_marks_.clear();
        for (const auto& [seq, note] : notes_.all()) {
            const auto stretch = line_->digests_at(seq);
            if (!stretch) continue;
            const auto at = std::ranges::find(*stretch, seq, &Digest::seq);
            if (at != stretch->end()) note_marks_.push_back({at->tsc, seq, StripMark::What::Bookmark, qs(note)});
        }
        notes_placed_ = true;
    }
    std::vector<StripMark> all;
    for (const auto* marks : {&note_marks_, &marks_})
        std::ranges::copy_if(*marks, std::back_inserter(all), [&](const StripMark& m) { return m.tsc >= from && m.tsc <= to; });
    return all;
}

}  // namespace vmxscope::ui
