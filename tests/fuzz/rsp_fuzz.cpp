// The bytes go to the server as a client's, and to everything that reads packets. The first byte chooses the acks, whether
// what follows is framed already (damage behind a good checksum reaches the commands), whether the guest may be written and
// has non-stop mode, and whether the client only looks on.
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "../core/scripted_target.h"
#include "core/rsp/codec.h"
#include "core/rsp/connection.h"
#include "core/rsp/objects.h"
#include "core/rsp/packet.h"
#include "core/rsp/session.h"

namespace {

using namespace vmxscope::core;

/// Every line of `text` as a packet of its own.
std::string framed_lines(std::string_view text) {
    std::string bytes;
    while (!text.empty()) bytes += rsp::frame(rsp::take_until(text, '\n'));
    return bytes;
}

void serve(std::string_view bytes, bool able, rsp::Session::Role role) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return;
    const Fd client(ends[0]);
    if (::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) return;
    auto script = std::make_shared<test::Script>();
    script->vcpus = 2;
    script->kinds = {vmxscope::nested::Kind::L1Exit, vmxscope::nested::Kind::NestedEntry};
    if (able) script->abilities = script->abilities.with(Ability::NonStop).with(Ability::Write);
    rsp::Connection connection{Fd(ends[1])};
    rsp::Session session(connection, std::make_shared<rsp::Guest>(test::make_scripted_target(script)), role);
    for (int i = 0; i < 4 && !session.over() && connection.pump(std::chrono::milliseconds(0)); ++i) {
        session.answer();
        if (session.waits_for_stop()) session.watch(std::chrono::milliseconds(0));
    }
}

void read_everything(std::string_view text) {
    (void)rsp::parse_stop_reply(text);
    (void)rsp::parse_vcont(text);
    (void)rsp::stop_data(text);
    (void)rsp::parse_ledger(text);
    (void)rsp::parse_xfer(text);
    (void)rsp::parse_thread(text);
    (void)rsp::parse_info(text);
    (void)rsp::parse_vcpus(text);
    (void)rsp::parse_history(text);
    (void)rsp::decode_payload(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    read_everything(text);
    const std::string bytes = (data[0] & 1) != 0 ? framed_lines(text) : std::string(text);
    serve((data[0] & 2) != 0 ? rsp::frame("QStartNoAckMode") + bytes : bytes, (data[0] & 4) != 0,
          (data[0] & 8) != 0 ? rsp::Session::Role::Looks : rsp::Session::Role::Drives);
    return 0;
}
