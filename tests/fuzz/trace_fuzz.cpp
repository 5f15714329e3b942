// The bytes are a trace file, or a block of one; of a block the checksums are made right first, as nothing else would
// come past them. What can be read must come back the same when it is written and read again.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/fd.h"
#include "core/trace/block_parts.h"
#include "core/trace/trace.h"

namespace {

using namespace vmxscope::core;
using namespace vmxscope::core::trace;
using vmxscope::nested::Transition;

constexpr std::size_t kMostKept = 16;  // transitions of a block that are written again

void write_again(const std::vector<Transition>& all) {
    BlockBuilder builder({.level = 1});
    std::size_t at = 0;
    for (const Transition& t : all) {
        const bool full = builder.add(t);
        if (!full && &t != &all.back()) continue;
        const auto read = decode_block(
            builder.take(), [&](const Transition& again) { return again == all[at++] || (std::abort(), false); });
        if (!read) std::abort();
    }
    if (at != all.size()) std::abort();
}

void block(Bytes bytes) {
    if (bytes.size() < kBlockHeadSize) return;
    seal_block(bytes);
    std::vector<Transition> all;
    std::size_t count = 0;
    const auto read = decode_block(bytes, [&](const Transition& t) {
        if (all.size() < kMostKept && weight_of(t) < 1u << 20) all.push_back(t);
        ++count;
        return true;
    });
    if (read && count != block_head(bytes)->count) std::abort();
    if (!all.empty()) write_again(all);
    const auto digests = block_digests(bytes);
    if (digests && digests->size() != block_head(bytes)->count) std::abort();
    (void)block_changes(bytes);
}

void file(std::span<const std::byte> bytes) {
    const Fd fd(::memfd_create("trace", MFD_CLOEXEC));
    if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) return;
    const auto trace = Trace::open("/proc/self/fd/" + std::to_string(fd.get()));
    if (!trace) return;
    trace->verify();
    (void)trace->at_tsc(trace->count() / 2);
    (void)trace->transition(trace->last());
    for (std::size_t i = 0; i < trace->blocks(); ++i) {
        (void)trace->digests(i);
        (void)trace->changed(i);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    block(Bytes(bytes.begin(), bytes.end()));
    file(bytes);
    return 0;
}
