#include "core/trace/writer.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "core/trace/file_format.h"

namespace vmxscope::core::trace {

struct Writer::State {
    Fd file;
    std::filesystem::path path;
    BlockBuilder builder;
    std::vector<IndexEntry> blocks;
    std::uint64_t at = 0;  // where the file ends as far as it is whole
    std::uint64_t last_seq = 0, written = 0;
    std::optional<Error> failed;
    bool finished = false;

    State(Fd f, std::filesystem::path p, const BlockLimits& limits)
        : file(std::move(f)), path(std::move(p)), builder(limits) {}

    Result<void> ready() const;
    Result<void> append(std::span<const std::byte> bytes);
    Result<void> append_block(std::span<const std::byte> block, const BlockHead& head);
    Result<void> flush();
};

Result<void> Writer::State::ready() const {
    if (failed) return tl::unexpected(*failed);
    if (finished) return fail(fmt::format("The trace {} is finished already.", path.string()));
    return {};
}

Result<void> Writer::State::append(std::span<const std::byte> bytes) {
    std::uint64_t end = at;
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(end));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int error = n < 0 ? errno : ENOSPC;
            // What was written of it is no use. If it cannot be removed either, a reader steps over it.
            (void)!::ftruncate(file.get(), static_cast<off_t>(at));
            failed =
                Error{fmt::format("The trace {} cannot be written: {}.", path.string(), std::strerror(error)),
                      fmt::format("What was recorded up to transition {} is in it.", blocks.empty() ? 0 : last_seq)};
            return tl::unexpected(*failed);
        }
        end += static_cast<std::uint64_t>(n);
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    at = end;
    return {};
}

Result<void> Writer::State::append_block(std::span<const std::byte> block, const BlockHead& head) {
    IndexEntry entry{at, {}};
    std::ranges::copy(block.first(kBlockHeadSize), entry.head.begin());
    if (auto appended = append(block); !appended) return appended;
    blocks.push_back(entry);
    last_seq = head.last_seq;
    written += head.count;
    return {};
}

Result<void> Writer::State::flush() {
    const Bytes block = builder.take();
    if (block.empty()) return {};
    return append_block(block, *block_head(block));
}

Writer::Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Writer::Writer(Writer&&) noexcept = default;
Writer& Writer::operator=(Writer&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}
Writer::~Writer() {
    if (state_) (void)finish();
}

Result<Writer> Writer::create(const std::filesystem::path& path, const TraceInfo& info, BlockLimits limits,
                              bool replace) {
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (replace ? O_TRUNC : O_EXCL);
    Fd file(::open(path.c_str(), flags, 0644));
    if (!file && errno == EEXIST)
        return fail(fmt::format("{} exists already.", path.string()), "Name another file, or have it replaced.");
    if (!file) return fail(fmt::format("The trace {} cannot be made: {}.", path.string(), std::strerror(errno)));
    auto state = std::make_unique<State>(std::move(file), path, limits);
    if (const auto head = state->append(file_head(info)); !head) return tl::unexpected(head.error());
    return Writer(std::move(state));
}

Result<void> Writer::add(const nested::Transition& t) {
    State& s = *state_;
    if (auto ready = s.ready(); !ready) return ready;
    const std::uint64_t last = s.builder.count() ? s.builder.last_seq() : s.last_seq;
    if (t.seq <= last)
        return fail(
            fmt::format("Transition {} cannot follow transition {} in the trace {}.", t.seq, last, s.path.string()));
    return s.builder.add(t) ? s.flush() : Result<void>{};
}

Result<void> Writer::add_block(std::span<const std::byte> block) {
    State& s = *state_;
    if (auto flushed = flush(); !flushed) return flushed;
    const auto head = block_head(block);
    if (!head) return tl::unexpected(head.error());
    if (head->size != block.size()) return fail("The block is not as long as its head says.");
    if (head->first_seq <= s.last_seq)
        return fail(fmt::format("Transition {} cannot follow transition {} in the trace {}.", head->first_seq,
                                s.last_seq, s.path.string()));
    return s.append_block(block, *head);
}

Result<void> Writer::flush() {
    if (auto ready = state_->ready(); !ready) return ready;
    return state_->flush();
}

Result<void> Writer::finish() {
    State& s = *state_;
    if (s.finished) return {};
    if (auto flushed = flush(); !flushed) return flushed;
    if (auto index = s.append(file_index(s.blocks, s.at)); !index) return index;
    s.finished = true;
    s.file.reset();
    return {};
}

std::uint64_t Writer::transitions() const {
    return state_->written + state_->builder.count();
}

std::uint64_t Writer::bytes() const {
    return state_->at;
}

}  // namespace vmxscope::core::trace
