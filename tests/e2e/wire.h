// A client of the agent's that sends packets by hand.
#pragma once

#include <gtest/gtest.h>

#include "core/rsp/endpoint.h"
#include "lab_life.h"
#include "tests/core/scripted_target.h"

namespace vmxscope::e2e {

/// The protocol as it crosses the wire, for what is about its very packets.
class Wire {
  public:
    explicit Wire(const lab::Lab& lab) : client_(*core::rsp::connect_to(*core::rsp::parse_endpoint(lab.agent_endpoint()), {})) {}

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
    core::test::RawClient client_;
};

/// Takes the stops that wait behind a notification; returns how many.
inline std::size_t take_stops(Wire& wire) {
    std::size_t n = 0;
    while (wire.ask("vStopped") != "OK") ++n;
    return n;
}

}  // namespace vmxscope::e2e
