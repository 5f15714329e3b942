#include "plugins/libvirt/connection.h"

#include <fmt/format.h>
#include <libvirt/virterror.h>

#include <thread>
#include <utility>

namespace vmxscope::libvirt {
namespace {

constexpr std::chrono::milliseconds kSlice{100};  // how often Progress is asked
constexpr int kKeepAliveSeconds = 5, kKeepAliveTries = 3;

/// libvirt's event loop is one for the process, and runs for as long as that.
void start_event_loop() {
    static std::once_flag once;
    std::call_once(once, [] {
        virInitialize();
        virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // else it prints each on stderr
        virEventRegisterDefaultImpl();
        std::thread([] {
            for (;;) virEventRunDefaultImpl();
        }).detach();
    });
}

/// Between who opens and the thread that waits for libvirt to have opened; whoever comes last closes what nobody wants.
struct Opening {
    std::mutex mutex;
    std::condition_variable done;
    bool finished = false, given_up = false;
    ConnectionPtr connection;
    std::string error;
};

void open_in_thread(const std::shared_ptr<Opening>& opening, const std::string& uri, bool read_only) {
    ConnectionPtr connection(read_only ? virConnectOpenReadOnly(uri.c_str()) : virConnectOpen(uri.c_str()));
    if (connection) virConnectSetKeepAlive(connection.get(), kKeepAliveSeconds, kKeepAliveTries);  // not of all drivers
    const std::lock_guard lock(opening->mutex);
    if (!connection) opening->error = last_error();
    if (!opening->given_up) opening->connection = std::move(connection);
    opening->finished = true;
    opening->done.notify_all();
}

/// Of an event that ends a domain: completes "The domain NAME ".
std::optional<std::string> end_of(int event, int detail) {
    if (event == VIR_DOMAIN_EVENT_CRASHED) return "has crashed";
    if (event != VIR_DOMAIN_EVENT_STOPPED) return std::nullopt;
    switch (detail) {
        case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: return "has shut down";
        case VIR_DOMAIN_EVENT_STOPPED_DESTROYED: return "was destroyed";
        case VIR_DOMAIN_EVENT_STOPPED_CRASHED: return "has crashed";
        case VIR_DOMAIN_EVENT_STOPPED_MIGRATED: return "was migrated to another host";
        case VIR_DOMAIN_EVENT_STOPPED_SAVED: return "was saved to a file";
        case VIR_DOMAIN_EVENT_STOPPED_FAILED: return "was ended by an error";
        case VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: return "went back to a snapshot in which it is off";
        default: return "has stopped";
    }
}

void* keep(const std::shared_ptr<Events>& events) {
    return new std::shared_ptr<Events>(events);
}
void let_go(void* kept) {
    delete static_cast<std::shared_ptr<Events>*>(kept);
}
Events& kept(void* opaque) {
    return **static_cast<std::shared_ptr<Events>*>(opaque);
}

}  // namespace

bool is_gone(virDomainPtr domain) {
    const int active = virDomainIsActive(domain);
    return active == 0 || (active < 0 && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN);
}

std::string last_error() {
    const virError* error = virGetLastError();
    std::string text = error && error->message ? error->message : "libvirt gives no reason";
    while (!text.empty() && (text.back() == '\n' || text.back() == '.')) text.pop_back();
    return text;
}

core::Result<ConnectionPtr> open_connection(const std::string& uri, bool read_only, const core::Progress& progress,
                                            std::chrono::milliseconds limit) {
    start_event_loop();
    const auto opening = std::make_shared<Opening>();
    std::thread(open_in_thread, opening, uri, read_only).detach();
    const auto until = std::chrono::steady_clock::now() + limit;
    std::unique_lock lock(opening->mutex);
    while (!opening->done.wait_for(lock, kSlice, [&] { return opening->finished; })) {
        const bool late = std::chrono::steady_clock::now() >= until;
        if (!late && (!progress || progress(fmt::format("connecting to libvirt ({})", uri), -1))) continue;
        opening->given_up = true;
        if (!late) return core::fail("The attach was cancelled.");
        return core::fail(fmt::format("libvirt at {} did not answer within {} s.", uri, limit.count() / 1000),
                          fmt::format("Try: virsh -c '{}' list", uri));
    }
    if (!opening->connection)
        return core::fail(fmt::format("libvirt at {} cannot be reached: {}.", uri, opening->error),
                          fmt::format("Try: virsh -c '{}' list", uri));
    return std::move(opening->connection);
}

std::shared_ptr<Events> Events::of(virConnectPtr connection, virDomainPtr one) {
    auto events = std::make_shared<Events>();
    events->of_one_ = one != nullptr;
    const auto add = [&](int id, auto* callback) {
        void* opaque = keep(events);
        const int number =
            virConnectDomainEventRegisterAny(connection, one, id, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, &let_go);
        if (number < 0) let_go(opaque);
        return number;
    };
    events->lifecycle_ = add(
        VIR_DOMAIN_EVENT_ID_LIFECYCLE, +[](virConnectPtr c, virDomainPtr d, int event, int detail, void* o) -> int {
            on_lifecycle(c, d, event, detail, o);
            return 0;
        });
    events->metadata_ = add(VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, &Events::on_metadata);
    void* opaque = keep(events);
    if (virConnectRegisterCloseCallback(connection, &Events::on_close, opaque, &let_go) < 0) let_go(opaque);
    return events;
}

void Events::leave(const std::shared_ptr<Events>& events, virConnectPtr connection) {
    for (const int number : {events->lifecycle_, events->metadata_})
        if (number >= 0) virConnectDomainEventDeregisterAny(connection, number);
    virConnectUnregisterCloseCallback(connection, &Events::on_close);
    events->lifecycle_ = events->metadata_ = -1;
}

void Events::wait(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    told_.wait_for(lock, limit, [this] { return news_ || closed_; });
    news_ = false;
}

void Events::wake() {
    tell(std::nullopt, false);
}

bool Events::closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
}

std::optional<std::string> Events::ended(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    told_.wait_for(lock, limit, [this] { return ended_.has_value() || closed_; });
    return ended_;
}

void Events::tell(const std::optional<std::string>& ended, bool closed) {
    {
        const std::lock_guard lock(mutex_);
        news_ = true;
        closed_ |= closed;
        if (ended && of_one_ && !ended_) ended_ = ended;
    }
    told_.notify_all();
}

void Events::on_lifecycle(virConnectPtr, virDomainPtr, int event, int detail, void* opaque) {
    kept(opaque).tell(end_of(event, detail), false);
}
void Events::on_metadata(virConnectPtr, virDomainPtr, int, const char*, void* opaque) {
    kept(opaque).tell(std::nullopt, false);
}
void Events::on_close(virConnectPtr, int, void* opaque) {
    kept(opaque).tell(std::nullopt, true);
}

}  // namespace vmxscope::libvirt
