#include "core/trace/block.h"

#include <algorithm>
#include <cassert>
#include <optional>

#include <fmt/format.h>
#include <xxhash.h>

#include "core/trace/block_parts.h"

namespace vmxscope::core::trace {
namespace {

using nested::Transition;

// The head, byte by byte; docs/trace-format.md.
constexpr std::uint32_t kMagic = 0x42545856;  // "VXTB"
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kColumnsSize = 52, kColumnsSum = 60, kBodySum = 64, kHeadSum = 68;
static_assert(kHeadSum + 4 == kBlockHeadSize);

std::uint32_t checksum(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size()));
}

struct Sums {
    std::uint32_t columns = 0, body = 0;
};

/// But for the checksums: seal_block().
void put_head(Bytes& out, const BlockHead& head) {
    put_fixed(out, kMagic, 4);
    put_fixed(out, kVersion, 1);
    put_fixed(out, 0, 3);
    for (const std::uint64_t n : {head.first_seq, head.last_seq, head.first_tsc, head.last_tsc, head.lost})
        put_fixed(out, n, 8);
    put_fixed(out, head.count, 4);
    put_fixed(out, head.columns - kBlockHeadSize, 4);
    put_fixed(out, head.size - head.columns, 4);
    out.resize(kBlockHeadSize);
}

Sums sums_of(std::span<const std::byte> head) {
    return {static_cast<std::uint32_t>(get_fixed(head.subspan(kColumnsSum, 4))),
            static_cast<std::uint32_t>(get_fixed(head.subspan(kBodySum, 4)))};
}

tl::unexpected<Error> damaged(const BlockHead& head, std::string_view what) {
    return fail(fmt::format("The block of transitions {}-{} is damaged: {}.", head.first_seq, head.last_seq, what),
                "The other blocks of the trace can still be read.");
}

}  // namespace

Result<void> open_columns(ColumnsReader& columns, std::span<const std::byte> block, const BlockHead& head) {
    if (block.size() < head.columns) return damaged(head, "it ends too early");
    const auto section = block.subspan(kBlockHeadSize, head.columns - kBlockHeadSize);
    if (checksum(section) != sums_of(block).columns) return damaged(head, "its columns are not what was written");
    return columns.open(section, {head.first_seq, head.first_tsc, head.count}).map_error([&](const Error& e) {
        return damaged(head, e.what).value();
    });
}

void seal_block(std::span<std::byte> block) {
    const auto put = [&](std::size_t at, std::uint32_t sum) {
        for (std::size_t i = 0; i < 4; ++i) block[at + i] = static_cast<std::byte>(sum >> (8 * i));
    };
    const auto sections = block.subspan(kBlockHeadSize);
    const auto columns = std::min<std::size_t>(get_fixed(block.subspan(kColumnsSize, 4)), sections.size());
    put(kColumnsSum, checksum(sections.first(columns)));
    put(kBodySum, checksum(sections.subspan(columns)));
    put(kHeadSum, checksum(block.first(kHeadSum)));
}

struct BlockBuilder::State {
    BlockLimits limits;
    Compressor compressor;
    ColumnsWriter columns;
    PayloadWriter payload;
    std::uint64_t last_seq = 0;

    explicit State(const BlockLimits& l) : limits(l), compressor(l.level) {
        limits.transitions = std::clamp<std::size_t>(limits.transitions, 1, kMostTransitions);
    }
    void add(const Transition& t);
    Bytes block(bool compress);
};

void BlockBuilder::State::add(const Transition& t) {
    const Row row{t.seq, t.tsc, t.vcpu, t.kind, t.exit.reason, t.lost_before};
    if (limits.digests) {
        const Digest digest = digest_of(t);
        columns.add(row, &digest);
    } else {
        columns.add(row, nullptr);
    }
    payload.add(t);
}

Bytes BlockBuilder::State::block(bool compress) {
    if (columns.count() == 0) return {};
    BlockHead head;
    head.first_seq = columns.first().seq;
    head.last_seq = columns.last().seq;
    head.first_tsc = columns.lowest_tsc();
    head.last_tsc = columns.highest_tsc();
    head.lost = columns.lost();
    head.count = static_cast<std::uint32_t>(columns.count());
    Bytes sections;
    const Begin begin{head.first_seq, head.first_tsc, head.count};
    compressor.section(sections, columns.streams(begin, payload.changed(), limits.digests), compress);
    head.columns = kBlockHeadSize + sections.size();
    compressor.section(sections, payload.streams(), compress);
    head.size = kBlockHeadSize + sections.size();
    Bytes out;
    out.reserve(head.size);
    put_head(out, head);
    out.insert(out.end(), sections.begin(), sections.end());
    seal_block(out);
    return out;
}

BlockBuilder::BlockBuilder(BlockLimits limits) : state_(std::make_unique<State>(limits)) {}
BlockBuilder::~BlockBuilder() = default;
BlockBuilder::BlockBuilder(BlockBuilder&&) noexcept = default;
BlockBuilder& BlockBuilder::operator=(BlockBuilder&&) noexcept = default;

bool BlockBuilder::add(const Transition& t) {
    State& s = *state_;
    assert(s.columns.count() == 0 || t.seq > s.last_seq);
    s.last_seq = t.seq;
    if (const std::uint64_t weight = weight_of(t); weight <= kMostWeightOfOne) {
        s.add(t);
    } else {
        Transition less = t;
        less.notes.assign(
            {fmt::format("{}its {} VMREADs and VMWRITEs and {} notes take {} bytes, more than a trace keeps of "
                         "one transition.",
                         nested::kEvidenceIncomplete, t.evidence.size(), t.notes.size(), weight)});
        less.evidence.clear();
        less.kvm_reason.resize(std::min<std::size_t>(less.kvm_reason.size(), 4096));
        s.add(less);
    }
    return s.columns.count() >= s.limits.transitions || s.payload.full() || bytes() >= s.limits.bytes;
}

std::size_t BlockBuilder::count() const {
    return state_->columns.count();
}

std::size_t BlockBuilder::bytes() const {
    return state_->columns.bytes() + state_->payload.bytes();
}

std::uint64_t BlockBuilder::last_seq() const {
    return state_->last_seq;
}

Bytes BlockBuilder::take() {
    Bytes block = state_->block(true);
    state_->columns.clear();
    state_->payload.clear();
    return block;
}

Bytes BlockBuilder::peek() const {
    return state_->block(false);
}

Result<BlockHead> block_head(std::span<const std::byte> bytes) {
    if (bytes.size() < kBlockHeadSize) return fail("This is too short for a block of transitions.");
    Cursor in(bytes.first(kBlockHeadSize));
    if (in.fixed(4) != kMagic) return fail("This is not a block of transitions.");
    const std::uint64_t version = in.fixed(1);
    in.take(3);
    if (checksum(bytes.first(kHeadSum)) != get_fixed(bytes.subspan(kHeadSum, 4)))
        return fail("The head of a block is damaged: its checksum does not fit.");
    if (version != kVersion)
        return fail(
            fmt::format("The block has version {} of the trace format; this program knows {}.", version, kVersion),
            "A newer vmxscope reads it.");
    BlockHead head;
    for (std::uint64_t* n : {&head.first_seq, &head.last_seq, &head.first_tsc, &head.last_tsc, &head.lost})
        *n = in.fixed(8);
    head.count = static_cast<std::uint32_t>(in.fixed(4));
    const std::size_t columns = in.fixed(4), body = in.fixed(4);
    if (head.count == 0 || head.count > kMostTransitions || columns > kMostRaw + 1024 || body > kMostRaw + 1024 ||
        head.last_seq < head.first_seq || head.last_seq - head.first_seq < head.count - 1)
        return fail("The head of a block claims what no block can hold.");
    head.columns = kBlockHeadSize + columns;
    head.size = head.columns + body;
    return head;
}

struct BlockReader::State {
    Bytes bytes;
    BlockHead head;
    Section body;
    std::array<std::span<const std::byte>, kStreams> streams;
    Fields fields;
    std::vector<Row> rows;
    std::optional<PayloadReader> payload;
    std::size_t next = 0;
    const Transition* now = nullptr;  // of the row before `next`

    Result<void> open();
    void rewind();
    Result<const Transition*> read();
};

Result<void> BlockReader::State::open() {
    const auto read = block_head(bytes);
    if (!read) return tl::unexpected(read.error());
    head = *read;
    if (bytes.size() != head.size) return damaged(head, "it is not as long as its head says");
    ColumnsReader columns;
    if (auto opened = open_columns(columns, bytes, head); !opened) return opened;
    const auto section = std::span<const std::byte>(bytes).subspan(head.columns);
    if (checksum(section) != sums_of(bytes).body) return damaged(head, "its payload is not what was written");
    if (const auto done = columns.rows(rows); !done) return damaged(head, done.error().what);
    auto listed = columns.fields();
    if (!listed) return damaged(head, listed.error().what);
    fields = std::move(*listed);
    if (const auto opened = body.open(section); !opened) return damaged(head, opened.error().what);
    for (std::size_t i = 0; i < kStreams; ++i) {
        const auto stream = body.stream(i);
        if (!stream) return damaged(head, stream.error().what);
        streams[i] = *stream;
    }
    rewind();
    return {};
}

void BlockReader::State::rewind() {
    payload.emplace(streams, fields);
    next = 0;
    now = nullptr;
}

Result<const Transition*> BlockReader::State::read() {
    if (next == rows.size()) return nullptr;
    now = payload->next(rows[next++]);
    if (now) return now;
    const std::uint64_t seq = rows[next - 1].seq;
    next = rows.size();
    return damaged(head, fmt::format("what it says of transition {} makes no sense", seq));
}

BlockReader::BlockReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlockReader::BlockReader(BlockReader&&) noexcept = default;
BlockReader& BlockReader::operator=(BlockReader&&) noexcept = default;
BlockReader::~BlockReader() = default;

Result<BlockReader> BlockReader::open(Bytes block) {
    auto state = std::make_unique<State>();
    state->bytes = std::move(block);
    if (const auto opened = state->open(); !opened) return tl::unexpected(opened.error());
    return BlockReader(std::move(state));
}

const BlockHead& BlockReader::head() const {
    return state_->head;
}

Result<const Transition*> BlockReader::next() {
    return state_->read();
}

Result<const Transition*> BlockReader::find(std::uint64_t seq) {
    State& s = *state_;
    const auto row = std::ranges::lower_bound(s.rows, seq, {}, &Row::seq);
    if (row == s.rows.end() || row->seq != seq) return nullptr;
    const auto wanted = static_cast<std::size_t>(row - s.rows.begin()) + 1;
    if (s.next > wanted || (s.next == wanted && !s.now)) s.rewind();
    while (s.next < wanted)
        if (const auto t = s.read(); !t) return t;
    return s.now;
}

Result<void> decode_block(std::span<const std::byte> block, const std::function<bool(const Transition&)>& each) {
    auto reader = BlockReader::open(Bytes(block.begin(), block.end()));
    if (!reader) return tl::unexpected(reader.error());
    while (true) {
        const auto t = reader->next();
        if (!t) return tl::unexpected(t.error());
        if (!*t || !each(**t)) return {};
    }
}

Result<std::vector<Digest>> block_digests(std::span<const std::byte> block) {
    const auto head = block_head(block);
    if (!head) return tl::unexpected(head.error());
    ColumnsReader columns;
    if (const auto opened = open_columns(columns, block, *head); !opened) return tl::unexpected(opened.error());
    std::vector<Digest> digests;
    const auto there = columns.digests(digests);
    if (!there) return damaged(*head, there.error().what);
    if (*there) return digests;
    const auto decoded = decode_block(block, [&](const Transition& t) {
        digests.push_back(digest_of(t));
        return true;
    });
    if (!decoded) return tl::unexpected(decoded.error());
    return digests;
}

Result<ChangedFields> block_changes(std::span<const std::byte> block) {
    const auto head = block_head(block);
    if (!head) return tl::unexpected(head.error());
    ColumnsReader columns;
    if (const auto opened = open_columns(columns, block, *head); !opened) return tl::unexpected(opened.error());
    const auto changed = columns.changed();
    if (!changed) return damaged(*head, changed.error().what);
    return *changed;
}

}  // namespace vmxscope::core::trace
