#include "plugins/kvm/refusals.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

namespace vmxscope::kvm {
namespace {

constexpr std::string_view kEvent = ": kvm_nested_vmenter_failed: ";
constexpr std::string_view kInstances = "instances/", kPrefix = "vmxscope-", kAgent = "vmxscope-agent";
constexpr std::size_t kMostKept = 256;      // refusals
constexpr std::size_t kLongestLine = 4096;  // bytes of trace_pipe
constexpr const char* kBufferKib = "32";    // for each processor

template <typename T>
std::optional<T> number(std::string_view digits) {
    T n{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return n;
}

/// tracefs, mounted nowhere: nothing of the system's changes.
core::Fd mount_tracefs() {
    const core::Fd context(::fsopen("tracefs", FSOPEN_CLOEXEC));
    if (!context || ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) return {};
    return core::Fd(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
}

bool put(const core::Fd& root, const std::string& path, std::string_view text) {
    const core::Fd file(::openat(root.get(), path.c_str(), O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Is this a running agent's number?
bool is_agent(std::string_view pid) {
    const core::Fd file(::open(fmt::format("/proc/{}/comm", pid).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 32> name{};
    const ssize_t n = file ? ::read(file.get(), name.data(), name.size()) : 0;
    return n > 0 && std::string_view(name.data(), static_cast<std::size_t>(n)).starts_with(kAgent);
}

void remove_stale(const core::Fd& root) {
    const int fd = ::openat(root.get(), std::string(kInstances).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* folder = fd < 0 ? nullptr : ::fdopendir(fd);
    if (!folder) return;
    std::vector<std::string> stale;
    while (const dirent* entry = ::readdir(folder)) {
        const std::string_view name = entry->d_name;
        if (name.starts_with(kPrefix) && !is_agent(name.substr(kPrefix.size()))) stale.emplace_back(name);
    }
    ::closedir(folder);
    for (const std::string& name : stale)
        ::unlinkat(root.get(), (std::string(kInstances) + name).c_str(), AT_REMOVEDIR);
}

/// What is said of the event here is heard by nobody else: "instances/vmxscope-PID" of tracefs.
class Instance {
  public:
    static core::Result<Instance> make();
    Instance(Instance&&) noexcept = default;
    Instance& operator=(Instance&&) = delete;
    ~Instance() {
        if (root_) ::unlinkat(root_.get(), name_.c_str(), AT_REMOVEDIR);
    }

    bool listen(bool yes) const { return put(root_, name_ + "/events/kvm/kvm_nested_vmenter_failed/enable", yes ? "1" : "0"); }
    core::Fd pipe() const { return core::Fd(::openat(root_.get(), (name_ + "/trace_pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)); }

  private:
    explicit Instance(core::Fd root) : root_(std::move(root)), name_(fmt::format("{}{}{}", kInstances, kPrefix, ::getpid())) {}

    core::Fd root_;  // of tracefs
    std::string name_;
};

tl::unexpected<core::Error> not_seen(std::string_view what) {
    return core::fail(fmt::format("KVM's reasons for refusing a nested entry are not seen: {} ({}).", what, std::strerror(errno)));
}

core::Result<Instance> Instance::make() {
    core::Fd root = mount_tracefs();
    if (!root) return not_seen("this kernel gives no tracefs");
    remove_stale(root);
    Instance made(std::move(root));
    if (::mkdirat(made.root_.get(), made.name_.c_str(), 0700) < 0 && errno != EEXIST) return not_seen("no trace instance could be made");
    // The TSC orders what is said here with the module's records.
    if (!put(made.root_, made.name_ + "/trace_clock", "x86-tsc")) return not_seen("the trace has no TSC clock");
    put(made.root_, made.name_ + "/buffer_size_kb", kBufferKib);
    return made;
}

core::Result<const Instance*> the_instance() {
    static std::optional<Instance> one;
    if (!one) {
        auto made = Instance::make();
        if (!made) return tl::unexpected(made.error());
        one.emplace(std::move(*made));
    }
    return &*one;
}

}  // namespace

/// "       CPU 0/KVM-123     [000] d..1. 12345678: kvm_nested_vmenter_failed: TEXT". A thread's name is 15 characters
/// of anything, too short to hold the event's name.
std::optional<Refusal> parse_refusal(std::string_view line) {
    const auto event = line.find(kEvent);
    if (event == std::string_view::npos) return std::nullopt;
    const std::string_view before = line.substr(0, event);
    const auto clock = before.rfind(' '), bracket = before.rfind(" [");
    if (clock == std::string_view::npos || bracket == std::string_view::npos) return std::nullopt;
    std::string_view task = before.substr(0, bracket);
    while (task.ends_with(' ')) task.remove_suffix(1);
    const auto dash = task.rfind('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto tid = number<std::uint32_t>(task.substr(dash + 1));
    const auto tsc = number<std::uint64_t>(before.substr(clock + 1));
    if (!tid || !tsc) return std::nullopt;
    return Refusal{*tid, *tsc, std::string(line.substr(event + kEvent.size()))};
}

core::Result<Refusals> Refusals::open() {
    const auto instance = the_instance();
    if (!instance) return tl::unexpected(instance.error());
    if (!(*instance)->listen(true)) return not_seen("KVM has no tracepoint for them");
    Refusals out((*instance)->pipe());
    if (!out.pipe_) return not_seen("the trace cannot be read");
    return out;
}

Refusals::~Refusals() {
    if (!pipe_) return;  // moved from
    if (const auto instance = the_instance()) (*instance)->listen(false);
}

/// Takes in what has been said.
void Refusals::read() {
    std::array<char, 4096> some{};
    for (ssize_t n; (n = ::read(pipe_.get(), some.data(), some.size())) > 0;) {
        rest_.append(some.data(), static_cast<std::size_t>(n));
        for (std::size_t end; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1))
            if (auto refusal = parse_refusal(std::string_view(rest_).substr(0, end)))
                come_.push_back(std::move(*refusal));
        if (rest_.size() > kLongestLine) rest_.clear();
        while (come_.size() > kMostKept) come_.pop_front();
    }
}

std::string Refusals::take(std::uint32_t tid, std::uint64_t after, std::uint64_t until) {
    read();
    std::string all;
    for (const Refusal& r : come_)
        if (r.tid == tid && r.tsc > after && r.tsc <= until) all += (all.empty() ? "" : "; ") + r.text;
    std::erase_if(come_, [&](const Refusal& r) { return r.tid == tid && r.tsc <= until; });
    return all;
}

}  // namespace vmxscope::kvm
