// A server of a scripted guest, and packets to it.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <vector>

#include "core/rsp/codec.h"
#include "scripted_target.h"

namespace vmxscope::core::test {

/// Waits for a condition that another thread brings about.
inline bool becomes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 3000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return condition();
}

class Served : public testing::Test {
  protected:
    RawClient connect(std::string_view features = "multiprocess+;swbreak+;hwbreak+;no-resumed+") {
        if (!server) server.emplace(script);
        RawClient client(server->connect());
        client.ask("qSupported:" + std::string(features));
        return client;
    }
    static std::string monitor(RawClient& client, std::string_view text) {
        return rsp::from_hex(client.ask("qRcmd," + rsp::to_hex(text))).value_or("not hex");
    }
    std::vector<Action> last_resume() {
        const std::lock_guard lock(script->mutex);
        return script->resumed.empty() ? std::vector<Action>{} : script->resumed.back();
    }

    std::shared_ptr<Script> script = [] {
        using enum nested::Kind;
        auto s = std::make_shared<Script>();
        s->vcpus = 2;
        s->kinds = {L1Exit, NestedEntry, L2Entry, L2Exit, NestedExit, L1Entry};
        return s;
    }();
    std::optional<RunningServer> server;
};

}  // namespace vmxscope::core::test
