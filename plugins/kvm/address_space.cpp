#include "plugins/kvm/address_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace vmxscope::kvm {
namespace {

using core::Result;
using core::Space;

constexpr std::uint64_t kPage = 4096;

std::string_view words_of(Space space) {
    switch (space) {
        case Space::L1Physical: return "L1-physical";
        case Space::L1Linear: return "L1-linear";
        case Space::L2Physical: return "L2-physical";
        case Space::L2Linear: break;
    }
    return "L2-linear";
}

class Translator {
  public:
    Translator(const Translation& t, const ReadL1& read_l1) : t_(t), read_l1_(read_l1) {}

    /// The L1-physical address behind one of `space`.
    Result<std::uint64_t> l1_physical(Space space, std::uint64_t address) const {
        switch (space) {
            case Space::L1Physical: return address;
            case Space::L1Linear: return through(space, t_.l1, address, Space::L1Physical);
            case Space::L2Physical: return through_ept12(address);
            case Space::L2Linear: break;
        }
        const auto physical = through(space, t_.l2, address, Space::L2Physical);
        return physical ? through_ept12(*physical) : physical;
    }

  private:
    std::optional<std::uint64_t> qword(Space space, std::uint64_t address) const {
        std::uint64_t value = 0;
        const auto at = l1_physical(space, address);
        if (!at || !read_l1_(*at, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
        return value;
    }

    /// By a guest's own tables, which lie in `tables`.
    Result<std::uint64_t> through(Space space, const std::optional<vmx::LinearMode>& mode, std::uint64_t address,
                                  Space tables) const {
        if (!mode) return core::fail(t_.why);
        return result(space, address, vmx::walk_linear(*mode, address, t_.maxphyaddr, [&](std::uint64_t at) {
                          return qword(tables, at);
                      }));
    }

    Result<std::uint64_t> through_ept12(std::uint64_t address) const {
        if (!t_.nested_ept) return address;
        if (!t_.ept12) return core::fail(t_.why);
        return result(Space::L2Physical, address,
                      vmx::walk_ept(*t_.ept12, address, t_.maxphyaddr,
                                    [&](std::uint64_t at) { return qword(Space::L1Physical, at); }));
    }

    static Result<std::uint64_t> result(Space space, std::uint64_t address, const vmx::Walk& walk) {
        if (walk.physical) return *walk.physical;
        const std::string where = walk.steps.empty()
                                      ? ""
                                      : fmt::format(" (entry {:#x} at {:#x}, level {})", walk.steps.back().entry,
                                                    walk.steps.back().address, walk.steps.back().level);
        return core::fail(fmt::format("The {} address {:#x} is not mapped: {}{}.", words_of(space), address,
                                      name_of(walk.fault), where));
    }

    const Translation& t_;
    const ReadL1& read_l1_;
};

/// A part of a range that lies in one page.
struct Piece {
    std::uint64_t physical = 0;  // L1's
    std::size_t offset = 0, size = 0;  // in the range
};

Result<std::vector<Piece>> pieces(Space space, std::uint64_t address, std::size_t size, const Translation& translation,
                                  const ReadL1& read_l1) {
    if (size && address > ~0ull - (size - 1))
        return core::fail(fmt::format("There are no {} bytes from {:#x} on.", size, address));
    const Translator translator(translation, read_l1);
    std::vector<Piece> out;
    for (std::size_t done = 0; done < size;) {
        const std::uint64_t at = address + done;
        const auto physical = translator.l1_physical(space, at);
        if (!physical) return tl::unexpected(physical.error());
        out.push_back({*physical, done, std::min<std::uint64_t>(size - done, kPage - at % kPage)});
        done += out.back().size;
    }
    return out;
}

}  // namespace

Result<std::vector<std::byte>> read_space(Space space, std::uint64_t address, std::size_t size,
                                          const Translation& translation, const ReadL1& read_l1) {
    if (size > core::kMostMemory)
        return core::fail(fmt::format("At most {} bytes are read at once.", core::kMostMemory));
    const auto all = pieces(space, address, size, translation, read_l1);
    if (!all) return tl::unexpected(all.error());
    std::vector<std::byte> out(size);
    for (const Piece& p : *all)
        if (const auto read = read_l1(p.physical, std::span(out).subspan(p.offset, p.size)); !read)
            return tl::unexpected(read.error());
    return out;
}

Result<void> write_space(Space space, std::uint64_t address, std::span<const std::byte> bytes,
                         const Translation& translation, const ReadL1& read_l1, const WriteL1& write_l1) {
    if (bytes.size() > core::kMostWritten)
        return core::fail(fmt::format("At most {} bytes are written at once.", core::kMostWritten));
    const auto all = pieces(space, address, bytes.size(), translation, read_l1);
    if (!all) return tl::unexpected(all.error());
    for (const Piece& p : *all)
        if (const auto written = write_l1(p.physical, bytes.subspan(p.offset, p.size)); !written) return written;
    return {};
}

}  // namespace vmxscope::kvm
