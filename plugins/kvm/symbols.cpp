#include "plugins/kvm/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

namespace vmxscope::kvm {
namespace {

constexpr std::string_view kTracepoint = "__tracepoint_";

struct Line {
    std::uint64_t address;
    char kind;
    std::string_view name, module;
};

/// "ffffffffc0a3bec0 t vmx_vcpu_run	[kvm_intel]"
std::optional<Line> parse_line(std::string_view line) {
    Line out{};
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), out.address, 16);
    if (error != std::errc{}) return std::nullopt;
    const auto at = static_cast<std::size_t>(end - line.data());
    if (line.size() < at + 4 || line[at] != ' ' || line[at + 2] != ' ') return std::nullopt;
    out.kind = line[at + 1];
    std::string_view rest = line.substr(at + 3);
    const auto tab = rest.find_first_of("\t ");
    out.name = rest.substr(0, tab);
    if (tab == std::string_view::npos) return out;
    const auto open = rest.find('[', tab), close = rest.find(']', tab);
    if (open != std::string_view::npos && close != std::string_view::npos && open < close)
        out.module = rest.substr(open + 1, close - open - 1);
    return out;
}

tl::unexpected<core::Error> refused(const char* doing) {
    return core::fail(fmt::format("The kernel's code cannot be read: {} /proc/kcore: {}.", doing, std::strerror(errno)),
                      "Run the agent as root, on a kernel with CONFIG_PROC_KCORE=y and without lockdown.");
}

}  // namespace

core::Result<std::vector<Symbols>> Symbols::of_modules(std::span<const std::string_view> modules) {
    // By lines: the whole file is 10 MB, of which modules have a small part at the end.
    std::ifstream in("/proc/kallsyms");
    std::string text;
    for (std::string line; std::getline(in, line);)
        if (line.ends_with(']')) text += line + '\n';
    std::vector<Symbols> all;
    for (const std::string_view module : modules) {
        auto symbols = parse(text, module);
        if (!symbols) return tl::unexpected(symbols.error());
        all.push_back(std::move(*symbols));
    }
    return all;
}

core::Result<Symbols> Symbols::parse(std::string_view text, std::string_view module) {
    Symbols out;
    std::vector<std::uint64_t> starts;  // of symbols of any kind: each ends the one before
    bool hidden = false;
    while (!text.empty()) {
        const auto newline = text.find('\n');
        const auto line = parse_line(text.substr(0, newline));
        text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
        if (!line || line->module != module) continue;
        hidden |= line->address == 0;
        starts.push_back(line->address);
        if (line->kind == 't' || line->kind == 'T') out.functions_.push_back({std::string(line->name), line->address, 0});
        if (line->name.starts_with(kTracepoint)) out.tracepoints_.emplace(line->name.substr(kTracepoint.size()), line->address);
    }
    if (hidden)
        return core::fail("/proc/kallsyms hides the kernel's addresses.", "Run the agent as root (and with kernel.kptr_restrict below 2).");
    if (out.functions_.empty())
        return core::fail(fmt::format("The kernel has no module {} loaded.", module), fmt::format("Load it with: modprobe {}", module));
    std::sort(starts.begin(), starts.end());
    std::sort(out.functions_.begin(), out.functions_.end(), [](auto& a, auto& b) { return a.address < b.address; });
    for (Function& f : out.functions_) {
        const auto next = std::upper_bound(starts.begin(), starts.end(), f.address);
        f.size = next == starts.end() ? 0 : *next - f.address;
    }
    return out;
}

const Function* Symbols::find(std::string_view name) const {
    const auto it = std::find_if(functions_.begin(), functions_.end(), [&](auto& f) { return f.name == name; });
    return it == functions_.end() ? nullptr : &*it;
}

const Function* Symbols::find_with_suffix(std::string_view name) const {
    if (const Function* exact = find(name)) return exact;
    const std::string dotted = std::string(name) + ".";
    const auto it = std::find_if(functions_.begin(), functions_.end(), [&](auto& f) {
        return f.name.starts_with(dotted) && f.name.find(".cold") == std::string::npos;
    });
    return it == functions_.end() ? nullptr : &*it;
}

const Function* Symbols::at(std::uint64_t address) const {
    auto it = std::upper_bound(functions_.begin(), functions_.end(), address,
                               [](std::uint64_t a, const Function& f) { return a < f.address; });
    if (it == functions_.begin()) return nullptr;
    --it;
    return address - it->address < it->size ? &*it : nullptr;
}

std::optional<std::uint64_t> Symbols::tracepoint(std::string_view name) const {
    const auto found = tracepoints_.find(name);
    return found == tracepoints_.end() ? std::nullopt : std::optional(found->second);
}

core::Result<KernelMemory> KernelMemory::open() {
    KernelMemory out;
    out.file_ = core::Fd(::open("/proc/kcore", O_RDONLY | O_CLOEXEC));
    if (!out.file_) return refused("open");
    Elf64_Ehdr header;
    if (::pread(out.file_.get(), &header, sizeof header, 0) != sizeof header || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return refused("read the header of");
    std::vector<Elf64_Phdr> table(header.e_phnum);
    const auto bytes = static_cast<ssize_t>(table.size() * sizeof(Elf64_Phdr));
    if (::pread(out.file_.get(), table.data(), static_cast<std::size_t>(bytes), static_cast<off_t>(header.e_phoff)) != bytes)
        return refused("read the segments of");
    for (const Elf64_Phdr& s : table)
        if (s.p_type == PT_LOAD)
            out.segments_.push_back({s.p_vaddr, s.p_memsz, s.p_offset, s.p_paddr == ~0ull ? std::nullopt : std::optional(s.p_paddr)});
    return out;
}

std::optional<std::uint64_t> KernelMemory::read_physical(std::uint64_t physical) const {
    std::uint64_t value = 0;
    for (const Segment& s : segments_) {
        if (!s.physical || physical < *s.physical || physical - *s.physical >= s.size || s.size - (physical - *s.physical) < sizeof value) continue;
        const auto at = static_cast<off_t>(s.offset + (physical - *s.physical));
        if (::pread(file_.get(), &value, sizeof value, at) == sizeof value) return value;
    }
    return std::nullopt;
}

core::Result<std::vector<std::byte>> KernelMemory::read(std::uint64_t address, std::size_t size) const {
    for (const Segment& s : segments_) {
        if (address < s.address || address - s.address >= s.size || size > s.size - (address - s.address)) continue;
        std::vector<std::byte> bytes(size);
        if (::pread(file_.get(), bytes.data(), size, static_cast<off_t>(s.offset + (address - s.address))) != static_cast<ssize_t>(size))
            return refused("read");
        return bytes;
    }
    return core::fail(fmt::format("/proc/kcore has no memory at {:#x}.", address));
}

}  // namespace vmxscope::kvm
