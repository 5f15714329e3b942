#include "plugins/kvm/processes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace vmxscope::kvm {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint32_t> number(const std::string& text) {
    std::uint32_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return n;
}

std::string contents(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> arguments(std::uint32_t pid) {
    std::vector<std::string> out;
    std::string all = contents(fmt::format("/proc/{}/cmdline", pid));
    for (std::size_t at = 0; at < all.size();) {
        out.emplace_back(all.c_str() + at);
        at += out.back().size() + 1;
    }
    return out;
}

/// /sys/kernel/debug/kvm/PID-FD/nested_run: KVM counts every nested VM-entry of a VM there.
std::optional<std::uint64_t> nested_runs(std::uint32_t pid) {
    std::optional<std::uint64_t> sum;
    std::error_code error;
    for (const auto& dir : fs::directory_iterator("/sys/kernel/debug/kvm", error)) {
        if (!dir.path().filename().string().starts_with(fmt::format("{}-", pid))) continue;
        std::ifstream in(dir.path() / "nested_run");
        std::uint64_t n = 0;
        if (in >> n) sum = sum.value_or(0) + n;
    }
    return sum;
}

/// "guest=NAME,debug-threads=on" or "NAME"; in a name, QEMU writes a comma twice.
std::string guest_of(std::string text) {
    constexpr std::string_view kGuest = "guest=";
    if (text.starts_with(kGuest)) text.erase(0, kGuest.size());
    std::string name;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == ',' && (i + 1 == text.size() || text[++i] != ',')) break;
        name += text[i];
    }
    return name;
}

std::optional<KvmProcess> inspect(std::uint32_t pid) {
    KvmProcess p;
    p.pid = pid;
    bool vm = false;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), error)) {
        std::error_code unreadable;
        const std::string to = fs::read_symlink(entry.path(), unreadable).string();
        vm |= to == "anon_inode:kvm-vm";
        p.vcpus += to.starts_with("anon_inode:kvm-vcpu");
    }
    if (!vm) return std::nullopt;
    const auto args = arguments(pid);
    if (!args.empty()) p.name = fs::path(args[0]).filename();
    const auto name = std::find(args.begin(), args.end(), "-name");
    if (name != args.end() && name + 1 != args.end()) p.guest = guest_of(*(name + 1));
    // What libvirt calls its own monitor.
    p.libvirt = std::any_of(args.begin(), args.end(), [](const std::string& a) { return a.starts_with("chardev=charmonitor,"); });
    p.nested_runs = nested_runs(pid);
    return p;
}

std::string list_of(const std::vector<KvmProcess>& all) {
    std::vector<std::string> words;
    for (const KvmProcess& p : all) words.push_back(fmt::format("{} ({}{}{})", p.pid, p.name, p.guest.empty() ? "" : " ", p.guest));
    return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace

std::vector<KvmProcess> kvm_processes() {
    std::vector<KvmProcess> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc", error))
        if (const auto pid = number(entry.path().filename()))
            if (auto p = inspect(*pid)) out.push_back(std::move(*p));
    std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.pid < b.pid; });
    return out;
}

core::Result<void> check_host() {
    const std::string cpu = contents("/proc/cpuinfo");
    const auto flags = cpu.find("\nflags");
    if (flags == std::string::npos || cpu.substr(flags, cpu.find('\n', flags + 1) - flags).find(" vmx") == std::string::npos)
        return core::fail("This machine's processor has no VT-x (or it is switched off in the firmware), so KVM runs no VMX guests here.",
                          "Step a lab instead, which emulates such a processor: vmxscope lab:pae-ept.");
    if (!fs::exists("/sys/module/kvm_intel"))
        return core::fail("The kernel module kvm_intel is not loaded.", "Load it with: modprobe kvm_intel nested=1");
    const std::string nested = contents("/sys/module/kvm_intel/parameters/nested");
    if (!nested.starts_with('Y') && !nested.starts_with('1'))
        return core::fail("kvm_intel was loaded without nested virtualization.",
                          "Stop the guests and reload it: modprobe -r kvm_intel && modprobe kvm_intel nested=1");
    return {};
}

core::Result<KvmProcess> choose_process(std::uint32_t pid) {
    if (pid) {
        if (!fs::exists(fmt::format("/proc/{}", pid))) return core::fail(fmt::format("There is no process {}.", pid), "See the running ones with: vmxscopectl targets");
        if (auto p = inspect(pid)) return *p;
        return core::fail(fmt::format("Process {} runs no KVM guest.", pid), "Give the process id of QEMU, or of another VMM that uses KVM: vmxscopectl targets");
    }
    const auto all = kvm_processes();
    if (all.empty()) return core::fail("No process runs a KVM guest.", "Start a guest with VMX in its CPU model, or step a lab: vmxscope lab:pae-ept.");
    if (all.size() == 1) return all[0];
    std::vector<KvmProcess> nested;
    std::copy_if(all.begin(), all.end(), std::back_inserter(nested), [](auto& p) { return p.nested_runs.value_or(0) > 0; });
    if (nested.size() == 1) return nested[0];
    return core::fail(fmt::format("{} processes run KVM guests, and {} of them nested ones: {}.", all.size(), nested.size(), list_of(all)),
                      "Say which: kvm:PID.");
}

}  // namespace vmxscope::kvm
