#include "plugins/libvirt/libvirt_backend.h"

#include <fmt/format.h>

#include <filesystem>
#include <mutex>
#include <utility>

#include "plugins/libvirt/address.h"
#include "plugins/libvirt/connection.h"
#include "plugins/libvirt/domain_list.h"
#include "plugins/libvirt/domain_target.h"
#include "plugins/libvirt/monitor.h"
#include "plugins/libvirt/qemu_process.h"

namespace vmxscope::libvirt {
namespace {

constexpr std::chrono::seconds kFirstAnswer{2};  // what a list waits for at most, once
constexpr std::chrono::seconds kOpenLimit{30};

/// A domain found, and what is known of it before it is attached to.
struct Found {
    Attachment attachment;
    DomainFacts facts;
    Nesting nesting;
    Address address;
};

/// Whether a libvirtd that runs for the whole machine could be there; without one nobody wants to hear of libvirt.
bool system_daemon_is_here() {
    std::error_code error;
    for (const char* socket : {"/run/libvirt/libvirt-sock-ro", "/run/libvirt/virtqemud-sock-ro"})
        if (std::filesystem::exists(socket, error)) return true;
    return false;
}

std::string virsh(const Address& address, std::string_view command) {
    return fmt::format("virsh {}{} {}", address.uri == kSystem ? std::string() : fmt::format("-c '{}' ", address.uri),
                       command, address.domain);
}

bool active(int state) {
    return state != VIR_DOMAIN_SHUTOFF && state != VIR_DOMAIN_CRASHED && state != VIR_DOMAIN_NOSTATE;
}

/// Why a domain in this state cannot be attached to; none: it can.
std::optional<core::Error> why_not(int state, int reason, const Address& address) {
    if (!active(state))
        return core::Error{fmt::format("The domain {} is {}.", address.domain, state_text(state, reason)),
                           fmt::format("Start it: {}.", virsh(address, "start"))};
    if (state == VIR_DOMAIN_PMSUSPENDED)
        return core::Error{fmt::format("The domain {} is {}.", address.domain, state_text(state, reason)),
                           fmt::format("Wake it: {}.", virsh(address, "dompmwakeup"))};
    return std::nullopt;
}

core::Error elsewhere(const Address& address) {
    return {fmt::format(
                "The domain {} runs on another machine ({}), where this program reaches neither KVM nor the loopback.",
                address.domain, address.uri),
            "Start vmxscope-agent there, bring its socket here (ssh -L /tmp/agent.sock:/run/vmxscope/agent.sock HOST), "
            "and attach to unix:/tmp/agent.sock."};
}

core::TargetName line_of(const ListedDomain& domain, const DomainSnapshot& all, const std::string& uri) {
    const Address address{uri, domain.facts.name, Way::Best};
    const Nesting nesting = nesting_of(domain.facts, all.host);
    core::TargetName line;
    line.uri = text_of(address);
    line.summary = fmt::format("{}{}, {} vCPU{}; {}", state_text(domain.state, domain.reason),
                               domain.facts.marked ? " (a GDB stub of vmxscope's is open)" : "", domain.facts.vcpus,
                               domain.facts.vcpus == 1 ? "" : "s", text_of(nesting));
    if (const auto reason = why_not(domain.state, domain.reason, address))
        line.why_not = reason->text();
    else if (!all.qemu)
        line.why_not = "It is no guest of QEMU's, so there is nothing to attach to.";
    else if (!all.host.local)
        line.why_not = elsewhere(address).text();
    line.available = line.why_not.empty();
    return line;
}

core::Result<DomainPtr> look_up(virConnectPtr connection, const std::string& name) {
    DomainPtr domain(virDomainLookupByName(connection, name.c_str()));
    if (!domain) domain.reset(virDomainLookupByUUIDString(connection, name.c_str()));
    if (!domain && !name.empty() && name.size() < 9 && name.find_first_not_of("0123456789") == std::string::npos)
        domain.reset(virDomainLookupByID(connection, std::stoi(name)));
    if (!domain)
        return core::fail(fmt::format("libvirt knows no domain '{}': {}.", name, last_error()),
                          "See those that there are: vmxscopectl targets.");
    return domain;
}

core::Result<Found> find(const Address& address, const core::Progress& progress) {
    auto connection = open_connection(address.uri, false, progress, kOpenLimit);
    if (!connection) return tl::unexpected(connection.error());
    auto domain = look_up(connection->get(), address.domain);
    if (!domain) return tl::unexpected(domain.error());
    int state = 0, reason = 0;
    if (virDomainGetState(domain->get(), &state, &reason, 0) < 0)
        return core::fail(fmt::format("libvirt does not tell the state of {}: {}.", address.domain, last_error()));
    if (auto error = why_not(state, reason, address)) return tl::unexpected(std::move(*error));
    const char* driver = virConnectGetType(connection->get());
    if (!driver || std::string_view(driver) != "QEMU")
        return core::fail(fmt::format("{} has no guests of QEMU's, so there is nothing to attach to.", address.uri),
                          "Give the URI of QEMU's driver: qemu:///system.");
    if (!is_local(address.uri)) return tl::unexpected(elsewhere(address));
    const std::unique_ptr<char, decltype(&std::free)> xml(virDomainGetXMLDesc(domain->get(), 0), &std::free);
    if (!xml) return core::fail(fmt::format("libvirt does not describe {}: {}.", address.domain, last_error()));
    auto facts = parse_domain(xml.get());
    if (!facts) return tl::unexpected(facts.error());
    Found found;
    found.attachment.events = Events::of(connection->get(), domain->get());
    found.attachment.name = facts->name;
    found.attachment.was_paused = state == VIR_DOMAIN_PAUSED;
    found.attachment.connection = std::move(*connection);
    found.attachment.domain = std::move(*domain);
    found.facts = std::move(*facts);
    found.nesting = nesting_of(found.facts, this_host());
    found.address = address;
    return found;
}

core::TargetInfo told(const core::Target& inner, const Found& found, std::uint32_t pid) {
    core::TargetInfo info = inner.info();
    info.name = text_of(found.address);
    if (info.pid == 0) info.pid = pid;
    return info;
}

core::Result<std::unique_ptr<core::Target>> by_agent(const core::Backends& all, Found found,
                                                     const core::Progress& progress) {
    const auto pid = find_qemu(found.attachment.domain.get(), found.facts);
    if (!pid) return tl::unexpected(pid.error());
    auto inner = all.attach(fmt::format("kvm:{}", *pid), progress);
    if (!inner) {
        core::Error error = inner.error();
        error.remedy += fmt::format("{}QEMU's own stub, which shows instructions but no VMCS, is libvirt:{}?stub.",
                                    error.remedy.empty() ? "" : " ", found.address.domain);
        return tl::unexpected(std::move(error));
    }
    core::TargetInfo info = told(**inner, found, *pid);
    if (found.attachment.was_paused)
        info.notes.push_back(fmt::format("libvirt has paused the domain: nothing will stop until it goes on, {}.",
                                         virsh(found.address, "resume")));
    return make_domain_target(std::move(*inner), std::move(found.attachment), std::move(info));
}

core::Result<std::unique_ptr<core::Target>> by_stub(const core::Backends& all, Found found,
                                                    const core::Progress& progress) {
    Attachment& attachment = found.attachment;
    auto stub = Stub::open(attachment.domain.get(), found.facts, attachment.was_paused);
    if (!stub) return tl::unexpected(stub.error());
    // What stands still by a stub that was left does so only because of it.
    if (stub->was_left()) attachment.was_paused = found.facts.marked_paused;
    auto inner = all.attach(fmt::format("tcp:127.0.0.1:{}", stub->port()), progress);
    if (!inner) {
        // QEMU stops the guest for whoever connects.
        (void)stub->close();
        if (!attachment.was_paused) virDomainResume(attachment.domain.get());
        return tl::unexpected(inner.error());
    }
    attachment.threads = vcpu_threads(attachment.domain.get()).value_or(std::vector<std::uint32_t>{});
    core::TargetInfo info = told(**inner, found, find_qemu(attachment.domain.get(), found.facts).value_or(0));
    if (found.address.way == Way::Best)
        info.notes.push_back(
            fmt::format("Attached through QEMU's GDB stub, for instructions, registers and memory; there are no "
                        "transitions, as {}.",
                        found.nesting.why));
    if (stub->was_left())
        info.notes.push_back(
            "The stub of an earlier session that was killed was still open; it was closed first. If the domain stood "
            "still, it runs on after this session.");
    attachment.stub.emplace(std::move(*stub));
    return make_domain_target(std::move(*inner), std::move(attachment), std::move(info));
}

class LibvirtBackend : public core::Backend {
  public:
    std::string_view scheme() const override { return "libvirt"; }

    std::vector<core::TargetName> list() override {
        if (!wanted()) return {};
        DomainList& domains = list_of_domains();
        if (!watched()) domains.wait(kFirstAnswer);
        const DomainSnapshot now = domains.now();
        std::vector<core::TargetName> lines;
        for (const ListedDomain& domain : now.domains) lines.push_back(line_of(domain, now, chosen().uri));
        if (now.trouble || !now.answered)
            lines.push_back(
                {fmt::format("libvirt:{}", chosen().uri == kSystem ? std::string() : chosen().uri), "libvirt's domains",
                 false,
                 now.trouble ? now.trouble->text() : fmt::format("libvirt at {} has not answered yet.", chosen().uri)});
        return lines;
    }

    std::unique_ptr<core::Watch> watch(std::function<void()> changed) override {
        if (!wanted()) return nullptr;
        {
            const std::lock_guard lock(mutex_);
            watched_ = true;
        }
        return list_of_domains().watch(std::move(changed));
    }

    core::Result<std::unique_ptr<core::Target>> attach(std::string_view, const core::Progress&) override {
        return core::fail("A domain is attached to through the families kvm and tcp, which are not here.");
    }

    core::Result<std::unique_ptr<core::Target>> attach_among(const core::Backends& all, std::string_view rest,
                                                             const core::Progress& progress) override {
        const auto address = parse_address(rest, default_uri().uri);
        if (!address) return tl::unexpected(address.error());
        auto found = find(*address, progress);
        if (!found) return tl::unexpected(found.error());
        const bool can = found->nesting.can != Nesting::Can::No;
        if (address->way == Way::Agent && !can)
            return core::fail(
                fmt::format("The domain {} has no nested guests for the agent to step: {}.", address->domain,
                            found->nesting.why),
                "Without ?agent it is attached to through QEMU's own stub, for instructions, registers and memory.");
        const bool agent = address->way == Way::Agent || (address->way == Way::Best && can);
        return agent ? by_agent(all, std::move(*found), progress) : by_stub(all, std::move(*found), progress);
    }

  private:
    /// Once a list was asked for, the connection stays the same.
    const DefaultUri& chosen() {
        const std::lock_guard lock(mutex_);
        if (!chosen_) chosen_ = default_uri();
        return *chosen_;
    }
    bool wanted() { return chosen().asked_for || system_daemon_is_here(); }
    bool watched() {
        const std::lock_guard lock(mutex_);
        return watched_;
    }
    /// Made when first asked for: most programs never list.
    DomainList& list_of_domains() {
        const std::string uri = chosen().uri;
        const std::lock_guard lock(mutex_);
        if (!domains_) domains_ = std::make_unique<DomainList>(uri);
        return *domains_;
    }

    std::mutex mutex_;
    std::optional<DefaultUri> chosen_;
    bool watched_ = false;  // then nobody needs to wait in list(): they are told
    std::unique_ptr<DomainList> domains_;
};

}  // namespace

std::unique_ptr<core::Backend> libvirt_backend() {
    return std::make_unique<LibvirtBackend>();
}

}  // namespace vmxscope::libvirt
