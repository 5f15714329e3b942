// What every back end must do (tests/conformance): a domain, through the stub of its QEMU.
#include "tests/conformance/conformance.h"

#include "app/backends.h"
#include "plugins/libvirt/connection.h"
#include "plugins/libvirt/plugin.h"
#include "tests/libvirt/test_daemon.h"

namespace vmxscope::test {
namespace {

using libvirt::test::Daemon;

/// Takes seconds to start, so it is one for all, and ends with this program.
const core::Result<std::unique_ptr<Daemon>>& daemon() {
    static const auto one = Daemon::start();
    return one;
}

struct Running {
    Running() {
        domain.reset(virDomainCreateXML(connection->get(), (*daemon())->domain_xml("subject").c_str(), 0));
        EXPECT_TRUE(domain) << libvirt::last_error();
    }
    ~Running() {
        if (domain) virDomainDestroy(domain.get());
    }
    core::Result<libvirt::ConnectionPtr> connection =
        libvirt::open_connection((*daemon())->uri(), false, {}, std::chrono::seconds(120));
    libvirt::DomainPtr domain;
    core::Plugins plugins = app::load_plugins();
};

Attach running_domain() {
    if (!daemon()) return [] { return core::Result<std::unique_ptr<core::Target>>(tl::unexpected(daemon().error())); };
    return [domain = std::make_shared<Running>()] {
        return domain->plugins.backends().attach("libvirt:" + (*daemon())->uri() + "#subject", {});
    };
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Libvirt, Conformance,
                         testing::Values(Subject{"domain", libvirt::kPlugin.abilities, running_domain}), name_of_subject);

}  // namespace vmxscope::test
