#include "core/trace/columns.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace vmxscope::core::trace {
namespace {

tl::unexpected<Error> wrong(std::string_view what) {
    return fail(fmt::format("The columns of a block are damaged: {}.", what));
}

constexpr std::uint8_t kDerivedSize = 11;

/// What is derived of a transition, as it stands in its class: behind its length, so that other rules may derive other
/// things.
void put_derived(Bytes& out, const Digest& d) {
    put_byte(out, kDerivedSize);
    for (const unsigned part :
         {unsigned{d.has_verdict}, static_cast<unsigned>(d.did), static_cast<unsigned>(d.by_rule),
          static_cast<unsigned>(d.by_evidence), static_cast<unsigned>(d.vmcs12), static_cast<unsigned>(d.vmcs02),
          unsigned{d.used}, unsigned{d.alarm}, unsigned{d.agree}, unsigned{d.routing}, unsigned{d.findings}})
        put_byte(out, static_cast<std::uint8_t>(part));
}

template <typename E>
E enumerator(Cursor& in, E last) {
    const std::uint8_t b = in.byte();
    if (b > static_cast<std::uint8_t>(last)) in.spoil();
    return static_cast<E>(b);
}

void get_derived(Cursor& in, Digest& d) {
    if (in.byte() != kDerivedSize) in.spoil();
    const auto flag = [&in] { return enumerator(in, std::uint8_t{1}) != 0; };
    d.has_verdict = flag();
    d.did = enumerator(in, nested::Did::Unknown);
    d.by_rule = enumerator(in, nested::Did::Unknown);
    d.by_evidence = enumerator(in, nested::Did::Unknown);
    d.vmcs12 = enumerator(in, nested::Is::Unknown);
    d.vmcs02 = enumerator(in, nested::Is::Unknown);
    d.used = enumerator(in, std::uint8_t{2});
    d.alarm = flag();
    d.agree = flag();
    d.routing = enumerator(in, std::uint8_t{2});
    d.findings = in.byte();
}

void put_places(Bytes& out, const std::bitset<vmx::kFieldCount>& places) {
    put_number(out, places.count());
    std::size_t last = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
        if (!places[i]) continue;
        put_number(out, i - last);
        last = i;
    }
}

/// A column that is 0 throughout is not written.
Bytes unless_zero(const Bytes& column) {
    return std::ranges::all_of(column, [](std::byte b) { return b == std::byte{0}; }) ? Bytes{} : column;
}

}  // namespace

void ColumnsWriter::add(const Row& row, const Digest* digest) {
    if (count_ == 0) {
        first_ = row;
        lowest_ = highest_ = row.tsc;
    } else {
        put_number(seq_, row.seq - last_.seq - 1);
        put_number(tsc_, fold(row.tsc - last_.tsc));
    }
    lowest_ = std::min(lowest_, row.tsc);
    highest_ = std::max(highest_, row.tsc);
    lost_ = row.lost_before > ~lost_ ? ~0ull : lost_ + row.lost_before;
    put_number(class_of_, class_of(row, digest));
    put_number(vcpu_of_, vcpu_of(row.vcpu));
    put_number(lost_of_, row.lost_before);
    last_ = row;
    ++count_;
}

std::uint32_t ColumnsWriter::class_of(const Row& row, const Digest* digest) {
    Bytes one;
    put_byte(one, static_cast<std::uint8_t>(row.kind));
    put_byte(one, static_cast<std::uint8_t>(row.reason.state));
    if (row.reason.known()) put_number(one, row.reason.bits);
    if (digest) put_derived(one, *digest);
    const std::string key(reinterpret_cast<const char*>(one.data()), one.size());
    const auto [at, is_new] = class_numbers_.try_emplace(key, static_cast<std::uint32_t>(class_numbers_.size()));
    if (is_new) classes_.insert(classes_.end(), one.begin(), one.end());
    return at->second;
}

std::uint32_t ColumnsWriter::vcpu_of(std::uint32_t id) {
    const auto at = std::ranges::find(vcpu_ids_, id);
    const auto number = static_cast<std::uint32_t>(at - vcpu_ids_.begin());
    if (at == vcpu_ids_.end()) vcpu_ids_.push_back(id);
    return number;
}

std::size_t ColumnsWriter::bytes() const {
    return classes_.size() + class_of_.size() + seq_.size() + tsc_.size() + vcpu_of_.size() + lost_of_.size();
}

std::array<Bytes, kColumns> ColumnsWriter::streams(const Begin& begin, const ChangedFields& changed,
                                                   bool digests) const {
    std::array<Bytes, kColumns> out;
    const auto column = [&out](Column c) -> Bytes& { return out[static_cast<std::size_t>(c)]; };
    Bytes& fields = column(Column::Fields);
    put_number(fields, vmx::kFieldCount);
    unsigned last = 0;
    for (const vmx::FieldInfo& info : vmx::all_fields()) {
        put_number(fields, static_cast<unsigned>(info.field) - last);
        last = static_cast<unsigned>(info.field);
    }
    put_number(column(Column::Classes), digests ? kDerivation : 0);
    put_number(column(Column::Classes), class_numbers_.size());
    column(Column::Classes).insert(column(Column::Classes).end(), classes_.begin(), classes_.end());
    column(Column::ClassOf) = unless_zero(class_of_);
    column(Column::Seq) = unless_zero(seq_);
    put_number(column(Column::Tsc), first_.tsc - begin.tsc);
    column(Column::Tsc).insert(column(Column::Tsc).end(), tsc_.begin(), tsc_.end());
    put_number(column(Column::Vcpus), vcpu_ids_.size());
    for (const std::uint32_t id : vcpu_ids_) put_number(column(Column::Vcpus), id);
    column(Column::VcpuOf) = unless_zero(vcpu_of_);
    column(Column::Lost) = unless_zero(lost_of_);
    put_places(column(Column::Changed), changed.vmcs12);
    put_places(column(Column::Changed), changed.vmcs02);
    return out;
}

void ColumnsWriter::clear() {
    *this = ColumnsWriter{};
}

Result<void> ColumnsReader::open(std::span<const std::byte> section, const Begin& begin) {
    begin_ = begin;
    classes_.clear();
    vcpus_.clear();
    return section_.open(section);
}

Result<Cursor> ColumnsReader::column(Column c) {
    const auto stream = section_.stream(static_cast<std::size_t>(c));
    if (!stream) return tl::unexpected(stream.error());
    return Cursor(*stream);
}

Result<std::vector<std::uint16_t>> ColumnsReader::encodings() {
    auto in = column(Column::Fields);
    if (!in) return tl::unexpected(in.error());
    const std::size_t count = in->number(kMostFields);
    std::vector<std::uint16_t> encodings;
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < count && in->ok(); ++i) {
        const std::uint64_t step = in->number(0xffff);
        last += step;
        if (last > 0xffff || (i > 0 && step == 0)) in->spoil();
        encodings.push_back(static_cast<std::uint16_t>(last));
    }
    if (!in->finished()) return wrong("the list of VMCS fields");
    return encodings;
}

Result<Fields> ColumnsReader::fields() {
    return encodings().map([](const auto& list) { return Fields(list); });
}

Result<void> ColumnsReader::read_classes() {
    if (!classes_.empty()) return {};
    auto in = column(Column::Classes);
    if (!in) return tl::unexpected(in.error());
    const std::uint64_t derivation = in->number();
    has_digests_ = derivation == kDerivation;
    const std::size_t count = in->number(begin_.count);
    for (std::size_t i = 0; i < count && in->ok(); ++i) {
        Class c;
        c.kind = enumerator(*in, nested::Kind::NestedEntryFailed);
        c.reason.state = enumerator(*in, vmx::Known::Faulted);
        if (c.reason.known()) c.reason.bits = in->number();
        c.digest.kind = c.kind;
        c.digest.has_reason = c.reason.known();
        c.digest.reason = static_cast<std::uint32_t>(c.reason.bits);
        if (has_digests_)
            get_derived(*in, c.digest);
        else if (derivation != 0)
            in->take(in->byte());
        classes_.push_back(c);
    }
    if (!in->finished()) return wrong("the classes");
    return {};
}

Result<void> ColumnsReader::read_vcpus() {
    if (!vcpus_.empty()) return {};
    auto in = column(Column::Vcpus);
    if (!in) return tl::unexpected(in.error());
    const std::size_t count = in->number(kMostVcpus);
    for (std::size_t i = 0; i < count && in->ok(); ++i)
        vcpus_.push_back(static_cast<std::uint32_t>(in->number(std::numeric_limits<std::uint32_t>::max())));
    if (!in->finished()) return wrong("the list of vCPUs");
    return {};
}

/// each(class, vcpu, seq, tsc, lost).
template <typename Each>
Result<void> ColumnsReader::each_row(Each each) {
    if (auto read = read_classes(); !read) return read;
    if (auto read = read_vcpus(); !read) return read;
    std::array<Cursor, kColumns> in;
    for (const Column c : {Column::ClassOf, Column::Seq, Column::Tsc, Column::VcpuOf, Column::Lost}) {
        auto cursor = column(c);
        if (!cursor) return tl::unexpected(cursor.error());
        in[static_cast<std::size_t>(c)] = *cursor;
    }
    Cursor &class_of = in[static_cast<std::size_t>(Column::ClassOf)], &seqs = in[static_cast<std::size_t>(Column::Seq)];
    Cursor &tscs = in[static_cast<std::size_t>(Column::Tsc)], &vcpu_of = in[static_cast<std::size_t>(Column::VcpuOf)];
    Cursor& lost_of = in[static_cast<std::size_t>(Column::Lost)];
    const bool any_class = class_of.left(), any_seq = seqs.left(), any_vcpu = vcpu_of.left(), any_lost = lost_of.left();
    std::uint64_t seq = begin_.seq, tsc = begin_.tsc;
    for (std::uint32_t i = 0; i < begin_.count; ++i) {
        const std::size_t c = any_class ? class_of.number() : 0, v = any_vcpu ? vcpu_of.number() : 0;
        if (c >= classes_.size() || v >= vcpus_.size()) return wrong("a row names what is not there");
        if (i > 0) {
            const std::uint64_t step = any_seq ? seqs.number() : 0;
            if (step >= ~seq) return wrong("the numbers of the transitions do not grow");
            seq += step + 1;
            tsc += unfold(tscs.number());
        } else {
            tsc += tscs.number();
        }
        each(classes_[c], vcpus_[v], seq, tsc, any_lost ? lost_of.number() : 0);
    }
    for (const Cursor& cursor : in)
        if (!cursor.finished()) return wrong("a column has not as many rows as the block has transitions");
    return {};
}

Result<void> ColumnsReader::rows(std::vector<Row>& rows) {
    rows.clear();
    return each_row([&](const Class& c, std::uint32_t vcpu, std::uint64_t seq, std::uint64_t tsc, std::uint64_t lost) {
        rows.push_back({seq, tsc, vcpu, c.kind, c.reason, lost});
    });
}

Result<bool> ColumnsReader::digests(std::vector<Digest>& digests) {
    if (auto read = read_classes(); !read) return tl::unexpected(read.error());
    if (!has_digests_) return false;
    digests.clear();
    digests.reserve(begin_.count);
    const auto read =
        each_row([&](const Class& c, std::uint32_t vcpu, std::uint64_t seq, std::uint64_t tsc, std::uint64_t lost) {
            Digest& d = digests.emplace_back(c.digest);
            d.seq = seq;
            d.tsc = tsc;
            d.vcpu = vcpu;
            d.lost_before = static_cast<std::uint32_t>(std::min<std::uint64_t>(lost, 0xffffffff));
        });
    if (!read) return tl::unexpected(read.error());
    return true;
}

Result<ChangedFields> ColumnsReader::changed() {
    const auto list = encodings();
    if (!list) return tl::unexpected(list.error());
    auto in = column(Column::Changed);
    if (!in) return tl::unexpected(in.error());
    ChangedFields changed;
    for (auto* places : {&changed.vmcs12, &changed.vmcs02}) {
        const std::size_t count = in->number(list->size());
        std::size_t at = 0;
        for (std::size_t i = 0; i < count && in->ok(); ++i) {
            at += in->number(list->size());
            if (at >= list->size()) return wrong("the list of changed fields");
            if (const auto known = vmx::index_of(static_cast<vmx::Field>((*list)[at]))) places->set(*known);
        }
    }
    if (!in->finished()) return wrong("the list of changed fields");
    return changed;
}

}  // namespace vmxscope::core::trace
