#include "plugins/libvirt/domain_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>
#include <utility>

#include "plugins/libvirt/address.h"
#include "plugins/libvirt/connection.h"

namespace vmxscope::libvirt {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kOpenLimit{30}, kFirstRetry{5}, kLastRetry{60};
constexpr seconds kLookAgain{60};  // beside events: whatever no event tells of
constexpr int kMostDomains = 4096;

struct Free {
    void operator()(char* text) const { std::free(text); }
};

/// A list in the background must not ask for passwords on the terminal.
std::string without_questions(const std::string& uri) {
    if (uri.find("+ssh://") == std::string::npos || uri.find("no_tty") != std::string::npos) return uri;
    return uri + (uri.find('?') == std::string::npos ? "?" : "&") + "no_tty=1";
}

/// Empty for one that went meanwhile.
std::optional<ListedDomain> look_at(virDomainPtr domain) {
    ListedDomain listed;
    if (virDomainGetState(domain, &listed.state, &listed.reason, 0) < 0) return std::nullopt;
    const std::unique_ptr<char, Free> xml(virDomainGetXMLDesc(domain, 0));
    if (!xml) return std::nullopt;
    auto facts = parse_domain(xml.get());
    if (!facts) return std::nullopt;
    listed.facts = std::move(*facts);
    return listed;
}

core::Result<std::vector<ListedDomain>> ask(virConnectPtr connection) {
    virDomainPtr* all = nullptr;
    const int count = virConnectListAllDomains(connection, &all, 0);
    if (count < 0) return core::fail(fmt::format("libvirt does not list its domains: {}.", last_error()));
    std::vector<ListedDomain> out;
    for (int i = 0; i < count; ++i) {
        const DomainPtr domain(all[i]);
        if (i >= kMostDomains) continue;
        if (auto listed = look_at(domain.get())) out.push_back(std::move(*listed));
    }
    std::free(all);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.facts.name < b.facts.name; });
    return out;
}

}  // namespace

/// Of the list and its thread, which may outlive it while libvirtd keeps it waiting.
struct DomainList::Shared {
    explicit Shared(std::string u) : uri(std::move(u)) {}

    const std::string uri;
    std::mutex mutex;
    std::condition_variable answered;
    bool ending = false;
    DomainSnapshot snapshot;
    std::shared_ptr<Events> events;

    std::mutex listeners_mutex;  // held while they are called, so that one that was removed is called no more
    std::map<int, std::function<void()>> listeners;
    int last_listener = 0;

    void publish(DomainSnapshot now) {
        now.answered = true;
        {
            const std::lock_guard lock(mutex);
            if (ending) return;
            snapshot = std::move(now);
        }
        answered.notify_all();
        const std::lock_guard lock(listeners_mutex);
        for (const auto& [number, changed] : listeners) changed();
    }
    bool ends() {
        const std::lock_guard lock(mutex);
        return ending;
    }
    void run();
    void follow(virConnectPtr connection);
};

void DomainList::Shared::run() {
    for (seconds pause = kFirstRetry; !ends();) {
        const auto connection = open_connection(
            without_questions(uri), true, [this](auto, auto) { return !ends(); }, kOpenLimit);
        if (connection) {
            pause = kFirstRetry;
            follow(connection->get());
        } else {
            publish({.answered = true, .trouble = connection.error(), .qemu = false, .host = {}, .domains = {}});
        }
        std::unique_lock lock(mutex);
        answered.wait_for(lock, pause, [this] { return ending; });
        if (!connection) pause = std::min(kLastRetry, pause * 2);
    }
}

void DomainList::Shared::follow(virConnectPtr connection) {
    const auto ours = Events::of(connection);
    {
        const std::lock_guard lock(mutex);
        events = ours;
    }
    const char* type = virConnectGetType(connection);
    const bool qemu = type && std::string_view(type) == "QEMU";
    while (!ends() && !ours->closed()) {
        auto domains = ask(connection);
        HostFacts host = this_host();
        if (!is_local(uri)) host = {.local = false, .kvm_intel = false, .nested = {}};
        DomainSnapshot now{.answered = true, .trouble = {}, .qemu = qemu, .host = host, .domains = {}};
        if (domains)
            now.domains = std::move(*domains);
        else
            now.trouble = domains.error();
        publish(std::move(now));
        if (!domains && virConnectIsAlive(connection) != 1) break;
        ours->wait(kLookAgain);
    }
    Events::leave(ours, connection);
    if (!ends())
        publish({.answered = true,
                 .trouble = core::Error{fmt::format("libvirt at {} has closed the connection.", uri), ""},
                 .qemu = false,
                 .host = {},
                 .domains = {}});
}

DomainList::DomainList(std::string uri) : shared_(std::make_shared<Shared>(std::move(uri))) {
    std::thread([shared = shared_] { shared->run(); }).detach();
}

DomainList::~DomainList() {
    std::shared_ptr<Events> events;
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->ending = true;
        events = shared_->events;
    }
    shared_->answered.notify_all();
    if (events) events->wake();
}

DomainSnapshot DomainList::now() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->snapshot;
}

void DomainList::wait(milliseconds limit) const {
    std::unique_lock lock(shared_->mutex);
    shared_->answered.wait_for(lock, limit, [this] { return shared_->snapshot.answered; });
}

std::unique_ptr<core::Watch> DomainList::watch(std::function<void()> changed) {
    struct Listening : core::Watch {
        Listening(std::shared_ptr<Shared> s, std::function<void()> c) : shared(std::move(s)) {
            const std::lock_guard lock(shared->listeners_mutex);
            number = ++shared->last_listener;
            shared->listeners.emplace(number, std::move(c));
        }
        ~Listening() override {
            const std::lock_guard lock(shared->listeners_mutex);
            shared->listeners.erase(number);
        }
        std::shared_ptr<Shared> shared;
        int number = 0;
    };
    return std::make_unique<Listening>(shared_, std::move(changed));
}

std::string_view state_text(int state, int reason) {
    switch (state) {
        case VIR_DOMAIN_RUNNING:
        case VIR_DOMAIN_BLOCKED: return "running";
        case VIR_DOMAIN_PAUSED: return reason == VIR_DOMAIN_PAUSED_CRASHED ? "paused, as it has crashed" : "paused";
        case VIR_DOMAIN_SHUTDOWN: return "shutting down";
        case VIR_DOMAIN_SHUTOFF:
            return reason == VIR_DOMAIN_SHUTOFF_CRASHED ? "shut off, as it has crashed" : "shut off";
        case VIR_DOMAIN_CRASHED: return "crashed";
        case VIR_DOMAIN_PMSUSPENDED: return "suspended by its own power management";
        default: return "in a state that libvirt does not name";
    }
}

}  // namespace vmxscope::libvirt
