#include "core/trace/trace.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "core/fd.h"
#include "core/trace/block_parts.h"
#include "core/trace/file_format.h"

namespace vmxscope::core::trace {
namespace {

constexpr std::size_t kChunk = 1u << 20;  // of what is searched for a block at a time
constexpr std::string_view kBlockMagic = "VXTB";

}  // namespace

struct Trace::State {
    Fd file;
    std::filesystem::path path;
    std::uint64_t size = 0;
    TraceInfo info;
    std::vector<std::string> damage;
    std::vector<BlockHead> blocks;
    std::vector<std::uint64_t> offsets;
    std::uint64_t count = 0, lost = 0;
    // What was last looked into.
    std::optional<std::size_t> read_block, read_digests;
    std::optional<BlockReader> reader;
    Bytes columns_bytes;
    ColumnsReader columns;
    std::vector<Digest> digests;

    Result<void> open();
    Result<void> read(std::uint64_t at, std::size_t n, Bytes& into) const;
    bool add(std::uint64_t offset, const BlockHead& head);
    bool read_index();
    Result<void> walk(std::uint64_t from);
    std::optional<BlockHead> head_at(std::uint64_t at) const;
    Result<std::uint64_t> next_block(std::uint64_t from) const;
    void skipped(std::uint64_t from, std::uint64_t to);
    Result<Bytes> block(std::size_t i) const;
    Result<void> open_columns_of(std::size_t i);
    Result<void> look_into(std::size_t i);
    Error remember(Error error);
};

/// As many bytes as the file has there, at most n.
Result<void> Trace::State::read(std::uint64_t at, std::size_t n, Bytes& into) const {
    into.resize(static_cast<std::size_t>(std::min<std::uint64_t>(n, at < size ? size - at : 0)));
    for (std::size_t done = 0; done < into.size();) {
        const ssize_t got = ::pread(file.get(), into.data() + done, into.size() - done, static_cast<off_t>(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(fmt::format("{} cannot be read: {}.", path.string(), std::strerror(errno)));
        if (got == 0) return fail(fmt::format("{} became shorter while it was read.", path.string()));
        done += static_cast<std::size_t>(got);
    }
    return {};
}

Result<void> Trace::State::open() {
    struct stat st {};
    file = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file || ::fstat(file.get(), &st) < 0)
        return fail(fmt::format("{} cannot be opened: {}.", path.string(), std::strerror(errno)));
    if (!S_ISREG(st.st_mode)) return fail(fmt::format("{} is not a file.", path.string()));
    size = static_cast<std::uint64_t>(st.st_size);
    if (size == 0) return fail(fmt::format("{} is empty.", path.string()), "Nothing was recorded into it.");
    Bytes head_bytes;
    if (auto done = read(0, kFileHeadSize + kMostInfo, head_bytes); !done) return done;
    auto head = parse_file_head(head_bytes);
    if (!head)
        return fail(fmt::format("{} is not a trace that can be read. {}", path.string(), head.error().what),
                    head.error().remedy);
    info = std::move(head->info);
    if (!head->damage.empty()) damage.push_back(head->damage);
    if (!read_index())
        if (auto walked = walk(head->size); !walked) return walked;
    for (const BlockHead& block : blocks) {
        count += block.count;
        lost = block.lost > ~lost ? ~0ull : lost + block.lost;
    }
    return {};
}

/// False: the block does not follow those before it.
bool Trace::State::add(std::uint64_t offset, const BlockHead& head) {
    if (!blocks.empty() && (head.first_seq <= blocks.back().last_seq || offset < offsets.back() + blocks.back().size))
        return false;
    blocks.push_back(head);
    offsets.push_back(offset);
    return true;
}

bool Trace::State::read_index() {
    Bytes bytes;
    if (size < kTrailerSize || !read(size - kTrailerSize, kTrailerSize, bytes)) return false;
    const auto trailer = parse_trailer(bytes);
    const std::uint64_t end = size - kTrailerSize;
    if (!trailer || trailer->index_at > end || trailer->index_size != end - trailer->index_at) return false;
    if (!read(trailer->index_at, static_cast<std::size_t>(trailer->index_size), bytes)) return false;
    const auto entries = parse_index(bytes, *trailer);
    bool sound = entries.has_value();
    for (std::size_t i = 0; sound && i < entries->size(); ++i) {
        const IndexEntry& entry = (*entries)[i];
        const auto head = block_head(entry.head);
        sound = head && entry.offset <= trailer->index_at && head->size <= trailer->index_at - entry.offset &&
                add(entry.offset, *head);
    }
    if (sound) return true;
    blocks.clear();
    offsets.clear();
    return false;
}

std::optional<BlockHead> Trace::State::head_at(std::uint64_t at) const {
    Bytes bytes;
    if (!read(at, kBlockHeadSize, bytes)) return std::nullopt;
    const auto head = block_head(bytes);
    return head ? std::optional(*head) : std::nullopt;
}

/// Goes from block to block, and where there is none, to the next that there is.
Result<void> Trace::State::walk(std::uint64_t from) {
    damage.push_back("The index at the end is missing or damaged: it was made anew from the blocks.");
    std::uint64_t at = from;
    while (at < size) {
        const auto head = head_at(at);
        if (head && head->size > size - at) {
            damage.push_back(fmt::format("The file ends within the block of transitions {}-{}: they are missing.",
                                         head->first_seq, head->last_seq));
            return {};
        }
        if (head && add(at, *head)) {
            at += head->size;
            continue;
        }
        Bytes here;
        if (auto done = read(at, 16, here); !done) return done;
        if (is_index(here)) return {};
        const auto next = next_block(at + 1);
        if (!next) return tl::unexpected(next.error());
        skipped(at, *next);
        at = *next;
    }
    return {};
}

/// The next place from `from` on that has the head of a block, or the file's end.
Result<std::uint64_t> Trace::State::next_block(std::uint64_t from) const {
    Bytes chunk;
    for (std::uint64_t at = from; at < size; at += kChunk) {
        if (auto done = read(at, kChunk + kBlockHeadSize, chunk); !done) return tl::unexpected(done.error());
        const std::string_view text(reinterpret_cast<const char*>(chunk.data()), chunk.size());
        for (std::size_t i = text.find(kBlockMagic); i < kChunk; i = text.find(kBlockMagic, i + 1)) {
            const auto head = block_head(std::span<const std::byte>(chunk).subspan(i));
            if (head && (blocks.empty() || head->first_seq > blocks.back().last_seq)) return at + i;
        }
    }
    return size;
}

void Trace::State::skipped(std::uint64_t from, std::uint64_t to) {
    std::string missing;
    const std::uint64_t before = blocks.empty() ? 0 : blocks.back().last_seq;
    if (const auto next = head_at(to); next && next->first_seq > before + 1)
        missing = fmt::format("; transitions {}-{} are missing", before + 1, next->first_seq - 1);
    damage.push_back(fmt::format("{} bytes at offset {} are no block, or a damaged one{}.", to - from, from, missing));
}

Result<Bytes> Trace::State::block(std::size_t i) const {
    Bytes bytes;
    if (auto done = read(offsets[i], blocks[i].size, bytes); !done) return tl::unexpected(done.error());
    const auto head = block_head(bytes);
    if (!head) return tl::unexpected(head.error());
    if (*head != blocks[i])
        return fail(fmt::format("The block of transitions {}-{} is not the one that the index names.",
                                blocks[i].first_seq, blocks[i].last_seq));
    return bytes;
}

Result<void> Trace::State::open_columns_of(std::size_t i) {
    if (auto done = read(offsets[i], blocks[i].columns, columns_bytes); !done) return done;
    const auto head = block_head(columns_bytes);
    if (!head) return tl::unexpected(head.error());
    return open_columns(columns, columns_bytes, blocks[i]);
}

Result<void> Trace::State::look_into(std::size_t i) {
    if (read_block == i) return {};
    read_block.reset();
    auto bytes = block(i);
    if (!bytes) return tl::unexpected(remember(bytes.error()));
    auto opened = BlockReader::open(std::move(*bytes));
    if (!opened) return tl::unexpected(remember(opened.error()));
    reader = std::move(*opened);
    read_block = i;
    return {};
}

/// Damage that shows only when a block is read.
Error Trace::State::remember(Error error) {
    if (std::ranges::find(damage, error.what) == damage.end()) damage.push_back(error.what);
    return error;
}

Trace::Trace(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trace::Trace(Trace&&) noexcept = default;
Trace& Trace::operator=(Trace&&) noexcept = default;
Trace::~Trace() = default;

Result<Trace> Trace::open(const std::filesystem::path& path) {
    auto state = std::make_unique<State>();
    state->path = path;
    if (const auto opened = state->open(); !opened) return tl::unexpected(opened.error());
    return Trace(std::move(state));
}

const TraceInfo& Trace::info() const {
    return state_->info;
}
const std::filesystem::path& Trace::path() const {
    return state_->path;
}
const std::vector<std::string>& Trace::damage() const {
    return state_->damage;
}
std::uint64_t Trace::count() const {
    return state_->count;
}
std::uint64_t Trace::first() const {
    return state_->blocks.empty() ? 0 : state_->blocks.front().first_seq;
}
std::uint64_t Trace::last() const {
    return state_->blocks.empty() ? 0 : state_->blocks.back().last_seq;
}
std::uint64_t Trace::bytes() const {
    return state_->size;
}
std::uint64_t Trace::lost() const {
    return state_->lost;
}
std::size_t Trace::blocks() const {
    return state_->blocks.size();
}
const BlockHead& Trace::block(std::size_t i) const {
    return state_->blocks[i];
}

Result<nested::Transition> Trace::transition(std::uint64_t seq) const {
    State& s = *state_;
    const auto missing = [&] {
        return fail(
            fmt::format("The trace {} has no transition {}.", s.path.string(), seq),
            s.blocks.empty() ? "It has none at all." : fmt::format("It has those from {} to {}.", first(), last()));
    };
    const auto i = block_of(seq);
    if (!i || seq < s.blocks[*i].first_seq || seq > s.blocks[*i].last_seq) return missing();
    if (const auto looked = s.look_into(*i); !looked) return tl::unexpected(looked.error());
    const auto t = s.reader->find(seq);
    if (!t) return tl::unexpected(s.remember(t.error()));
    if (!*t) return missing();
    return **t;
}

std::uint64_t Trace::at_tsc(std::uint64_t tsc) const {
    for (std::size_t i = blocks(); i-- > 0;) {
        if (block(i).first_tsc > tsc) continue;
        const auto rows = digests(i);
        if (!rows) return block(i).first_seq;
        const auto found = std::find_if(rows->rbegin(), rows->rend(), [&](const Digest& d) { return d.tsc <= tsc; });
        if (found != rows->rend()) return found->seq;
    }
    return first();
}

Result<std::size_t> Trace::block_of(std::uint64_t seq) const {
    const auto& all = state_->blocks;
    const auto at = std::ranges::lower_bound(all, seq, {}, &BlockHead::last_seq);
    if (at == all.end())
        return fail(fmt::format("The trace {} ends before transition {}.", state_->path.string(), seq));
    return static_cast<std::size_t>(at - all.begin());
}

Result<Bytes> Trace::block_bytes(std::size_t i) const {
    auto bytes = state_->block(i);
    if (!bytes) return tl::unexpected(state_->remember(bytes.error()));
    return bytes;
}

Result<std::span<const Digest>> Trace::digests(std::size_t i) const {
    State& s = *state_;
    if (s.read_digests == i) return std::span<const Digest>(s.digests);
    s.read_digests.reset();
    if (const auto opened = s.open_columns_of(i); !opened) return tl::unexpected(s.remember(opened.error()));
    const auto there = s.columns.digests(s.digests);
    if (!there) return tl::unexpected(s.remember(there.error()));
    if (!*there) {
        auto bytes = block_bytes(i);
        if (!bytes) return tl::unexpected(bytes.error());
        auto made = block_digests(*bytes);
        if (!made) return tl::unexpected(s.remember(made.error()));
        s.digests = std::move(*made);
    }
    s.read_digests = i;
    return std::span<const Digest>(s.digests);
}

Result<ChangedFields> Trace::changed(std::size_t i) const {
    State& s = *state_;
    s.read_digests.reset();
    if (const auto opened = s.open_columns_of(i); !opened) return tl::unexpected(s.remember(opened.error()));
    auto changed = s.columns.changed();
    if (!changed) return tl::unexpected(s.remember(changed.error()));
    return changed;
}

Result<void> Trace::scan(std::uint64_t first, const std::function<bool(const nested::Transition&)>& each) const {
    State& s = *state_;
    const auto begin = block_of(first);
    if (!begin) return {};
    for (std::size_t i = *begin; i < blocks(); ++i) {
        bool more = true;
        const auto bytes = block_bytes(i);
        if (!bytes) continue;
        const auto decoded = decode_block(*bytes, [&](const nested::Transition& t) {
            if (t.seq >= first) more = each(t);
            return more;
        });
        if (!decoded) (void)s.remember(decoded.error());
        if (!more) return {};
    }
    return {};
}

void Trace::verify() const {
    for (std::size_t i = 0; i < blocks(); ++i) {
        const auto bytes = block_bytes(i);
        if (!bytes) continue;
        if (const auto opened = BlockReader::open(*bytes); !opened) (void)state_->remember(opened.error());
    }
}

}  // namespace vmxscope::core::trace
