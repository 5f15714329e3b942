// A connection to libvirtd, its errors in words, and what it tells by itself. Opening and asking block, on whatever the
// connection goes through; nothing here does so for longer than a limit.
#pragma once

#include <libvirt/libvirt.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::libvirt {

struct CloseConnection {
    void operator()(virConnectPtr connection) const { virConnectClose(connection); }
};
using ConnectionPtr = std::unique_ptr<virConnect, CloseConnection>;
struct FreeDomain {
    void operator()(virDomainPtr domain) const { virDomainFree(domain); }
};
using DomainPtr = std::unique_ptr<virDomain, FreeDomain>;

/// True once the domain does not run any more; false also where libvirt does not answer.
bool is_gone(virDomainPtr domain);

/// libvirt's own sentence of this thread's last error.
std::string last_error();

/// Opens `uri`; read_only asks for no authorisation, and is enough to look. A peer that stops answering later is
/// noticed by keepalive, within 20 s. Fails after `limit`, or when `progress` says so.
core::Result<ConnectionPtr> open_connection(const std::string& uri, bool read_only, const core::Progress& progress,
                                            std::chrono::milliseconds limit);

/// What libvirtd tells of a connection's domains. Shared with libvirt's event thread.
class Events {
  public:
    /// Of all domains, or of one. Null `connection` events: none come.
    static std::shared_ptr<Events> of(virConnectPtr connection, virDomainPtr one = nullptr);
    /// No event comes to anybody any more, once one that is under way is through.
    static void leave(const std::shared_ptr<Events>& events, virConnectPtr connection);

    /// Until something was told since the last wait(), the connection broke, or `limit`.
    void wait(std::chrono::milliseconds limit);
    void wake();  // a wait() under way, or the next
    bool closed() const;
    /// How the one domain ended ("was destroyed"), once it has. Waits for it up to `limit`.
    std::optional<std::string> ended(std::chrono::milliseconds limit);

  private:
    static void on_lifecycle(virConnectPtr, virDomainPtr, int event, int detail, void* opaque);
    static void on_metadata(virConnectPtr, virDomainPtr, int type, const char* uri, void* opaque);
    static void on_close(virConnectPtr, int reason, void* opaque);
    void tell(const std::optional<std::string>& ended, bool closed);

    mutable std::mutex mutex_;
    std::condition_variable told_;
    bool news_ = false, closed_ = false;
    std::optional<std::string> ended_;
    bool of_one_ = false;
    int lifecycle_ = -1, metadata_ = -1;  // libvirt's numbers for what is registered
};

}  // namespace vmxscope::libvirt
