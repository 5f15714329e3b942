// A client of the agent's that sends packets by hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/rsp/endpoint.h"
#include "lab_life.h"
#include "tests/core/scripted_target.h"

namespace vmxscope::e2e {

/// The protocol as it crosses the wire, for what is about its very packets.
class Wire {
  public:
    /// Drives: on a slow machine the client before may still be leaving, and until it has gone others only look on.
    explicit Wire(const lab::Lab& lab) : client_(connect(lab)) {
        EXPECT_TRUE(eventually([&] {
            const bool drives = ask("qXfer:vmx:read:abilities:0,1000").find("evidence") != std::string::npos;
            if (!drives) client_ = connect(lab);
            return drives;
        })) << "the client before has not gone";
    }

    std::string ask(std::string_view packet) {
        client_.send(packet);
        return client_.receive(std::chrono::minutes(8));
    }
    /// What the next notification says.
    std::string told() {
        std::string text;
        EXPECT_TRUE(eventually([&] { return !(text = client_.notification()).empty(); })) << "nothing came";
        return text;
    }
    std::string vcpus() { return ask("qXfer:vmx:read:vcpus:0,1000"); }

  private:
    static core::test::RawClient connect(const lab::Lab& lab) {
        return core::test::RawClient(core::rsp::connect_to(core::rsp::parse_endpoint(lab.agent_endpoint()).value(), {}).value());
    }

    core::test::RawClient client_;
};

/// Takes the stops that wait behind a notification; returns how many.
inline std::size_t take_stops(Wire& wire) {
    std::size_t n = 0;
    while (wire.ask("vStopped") != "OK") ++n;
    return n;
}

/// Non-stop mode begins with the vCPUs that have stopped already: one in the answer, the others by notifications.
inline void begin_non_stop(Wire& wire) {
    ASSERT_EQ(wire.ask("QNonStop:1"), "OK");
    EXPECT_EQ(wire.ask("?").substr(0, 3), "T00");
    const auto vcpus = nlohmann::json::parse(wire.vcpus().substr(1));
    const auto stopped = std::ranges::count_if(vcpus, [](const auto& v) { return v.value("state", "") != "running"; });
    for (std::ptrdiff_t told = 1; told < stopped; told += 1 + static_cast<std::ptrdiff_t>(take_stops(wire))) wire.told();
}

}  // namespace vmxscope::e2e
