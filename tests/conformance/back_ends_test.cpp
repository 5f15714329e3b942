// The back ends that need no lab: recordings, the wire in front of them and of the scripted guest, QEMU's own stub.
#include "core/rsp/remote_target.h"
#include "plugins/remote/backends.h"
#include "plugins/remote/plugin.h"
#include "plugins/replay/plugin.h"
#include "plugins/replay/replay_backend.h"
#include "tests/conformance/conformance.h"
#include "tests/core/scripted_target.h"
#include "tests/remote/stubs.h"

namespace vmxscope::test {
namespace {

using core::test::RunningServer;
using nested::Kind;

constexpr const char* kTraces[] = {"pae-ept", "pae-toggle", "broken-entries"};

std::string trace(const std::string& name) {
    return std::string(VMXSCOPE_TRACES "/") + name + ".vxt";
}

Attach served(std::shared_ptr<RunningServer> server) {
    return [server] { return core::rsp::attach_remote(server->endpoint().text(), "served", {}); };
}

std::vector<Subject> subjects() {
    std::vector<Subject> all;
    for (const std::string name : kTraces) {
        std::string as_name = name;
        std::replace(as_name.begin(), as_name.end(), '-', '_');
        const auto replayed = [name] { return replay::replay(trace(name), {}); };
        all.push_back({"replay_" + as_name, replay::kPlugin.abilities, [replayed] { return Attach(replayed); }});
        all.push_back({"served_" + as_name, remote::kPlugin.abilities, [replayed] { return served(std::make_shared<RunningServer>(core::rsp::MakeTarget(replayed))); }});
    }
    all.push_back({"scripted_guest", remote::kPlugin.abilities, [] {
                       auto script = std::make_shared<core::test::Script>();
                       script->vcpus = 2;
                       script->code = std::string(64, '\x90');
                       script->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
                       script->abilities = script->abilities.with(core::Ability::Write);
                       return served(std::make_shared<RunningServer>(script));
                   }});
    all.push_back({"qemu_stub", remote::kPlugin.abilities, [] {
                       return [qemu = std::make_shared<Qemu>(2)] { return remote::unix_backend()->attach(qemu->rest(), {}); };
                   }});
    return all;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(BackEnds, Conformance, testing::ValuesIn(subjects()), name_of_subject);

}  // namespace vmxscope::test
