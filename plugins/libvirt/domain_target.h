// A libvirt domain that is attached to, by the agent or by QEMU's stub: the target behind it, what libvirtd tells
// meanwhile of the domain, and what has to be put back afterwards.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/wrapped_target.h"
#include "plugins/libvirt/connection.h"
#include "plugins/libvirt/stub.h"

namespace vmxscope::libvirt {

/// What is held for as long as the domain is attached to; let go in the opposite order.
struct Attachment {
    ConnectionPtr connection;
    DomainPtr domain;
    std::shared_ptr<Events> events;
    std::string name;                         // the domain's
    bool was_paused = false;                  // when it was attached to
    std::optional<Stub> stub;                 // none: the agent's
    std::vector<std::uint32_t> threads = {};  // of its vCPUs; may be none

    Attachment() = default;
    Attachment(Attachment&&) = default;
    Attachment& operator=(Attachment&&) = delete;
    ~Attachment();
};

/// `info` tells what the inner target cannot: its name as the user wrote it, the process, notes.
std::unique_ptr<core::Target> make_domain_target(std::unique_ptr<core::Target> inner, Attachment attachment,
                                                 core::TargetInfo info);

}  // namespace vmxscope::libvirt
