// What a step costs over the wire: a recording, served on loopback TCP, stepped by packets with its transitions
// delivered; and beside it, in the same run, `s` and `g` to the gdbstub of QEMU, if that is installed. For a release
// build.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/rsp/connection.h"
#include "core/rsp/endpoint.h"
#include "core/rsp/packet.h"
#include "core/rsp/server.h"
#include "core/trace/writer.h"
#include "nested/transition_codec.h"
#include "plugins/replay/replay_backend.h"
#include "tests/core/trace_samples.h"

extern char** environ;

namespace {

using namespace vmxscope;
using core::rsp::Connection;
using std::chrono::steady_clock;

constexpr unsigned kTransitions = 20'000;
double ours_us = 0;  // of step and registers, median

/// A packet, and its answer.
std::string ask(Connection& c, std::string_view packet) {
    if (!packet.empty()) c.send(packet);
    while (c.pump(std::chrono::seconds(10)))
        while (auto e = c.next())
            if (e->what == core::rsp::Event::What::Packet && (!e->text.starts_with('O') || e->text == "OK"))
                return e->text;
    return {};
}

/// A recording of a small guest, behind a server on a thread of its own.
class Served {
  public:
    Served() {
        core::test::RoundTrips guest(3, 2);
        auto writer = core::trace::Writer::create(file_, {}, {}, true);
        for (unsigned i = 0; i < kTransitions; ++i) (void)writer->add(guest.next());
        (void)writer->finish();
        thread_ = std::thread([this] {
            core::rsp::Server server(
                [this] { return replay::replay(file_, [](std::string_view, double) { return true; }); });
            (void)server.serve(listener_, stop_);
        });
    }
    ~Served() {
        stop_ = true;
        thread_.join();
        std::filesystem::remove(file_);
    }
    /// One for all: a second client would only look on.
    Connection& client() {
        if (!client_) client_.emplace(connect());
        return *client_;
    }

  private:
    Connection connect() const {
        Connection c(std::move(*core::rsp::connect_to(listener_.endpoint(), nullptr)));
        ask(c, "qSupported:multiprocess+;vmx+");
        ask(c, "QStartNoAckMode");
        c.stop_acks();
        ask(c, "?");
        return c;
    }

    std::string file_ =
        (std::filesystem::temp_directory_path() / fmt::format("bench-protocol-{}.vxt", ::getpid())).string();
    core::rsp::Listener listener_ = std::move(*core::rsp::listen_on(*core::rsp::parse_endpoint("tcp:127.0.0.1:0")));
    std::atomic<bool> stop_{false};
    std::thread thread_;
    std::optional<Connection> client_;
};

Served& served() {
    static Served one;
    return one;
}

/// Steps, each with its whole transition, decoded.
void whole_transitions(benchmark::State& state) {
    Connection& c = served().client();
    ask(c, "QVmxDeliver:1");
    std::uint64_t bytes = 0;
    for (auto _ : state) {
        std::string stop = ask(c, "vCont;s");
        if (stop.find("replaylog") != std::string::npos) ask(c, "bc"), stop = ask(c, "vCont;s");
        const std::string_view data = core::rsp::stop_data(stop);
        bytes += data.size();
        const auto t = nested::decode(std::as_bytes(std::span(data)));
        if (!t) return state.SkipWithError("no transition came");
        benchmark::DoNotOptimize(t->seq);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(whole_transitions)->UseRealTime();

/// The median of a loop's turns; the library itself gives means.
template <typename Turn>
double median_of(benchmark::State& state, const Turn& turn) {
    std::vector<double> all;
    for (auto _ : state) {
        const auto begin = steady_clock::now();
        if (!turn()) {
            state.SkipWithError("no answer came");
            return 0;
        }
        all.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - begin).count());
    }
    if (all.empty()) return 0;
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    state.counters["median_us"] = all[all.size() / 2];
    return all[all.size() / 2];
}

void step_and_registers(benchmark::State& state) {
    Connection& c = served().client();
    ask(c, "QVmxDeliver:0");
    ours_us = median_of(state, [&] {
        if (ask(c, "vCont;s:p1.1").find("replaylog") != std::string::npos) ask(c, "bc");
        return !ask(c, "g").empty();
    });
}
BENCHMARK(step_and_registers)->UseRealTime();

/// QEMU, paused in its firmware, with its stub on a unix socket.
class Qemu {
  public:
    Qemu() {
        const std::string gdb = fmt::format("unix:{},server,nowait", socket_);
        const char* arguments[] = {"qemu-system-x86_64", "-S",   "-accel",    "tcg",  "-display", "none",
                                   "-nodefaults",        "-gdb", gdb.c_str(), nullptr};
        if (::posix_spawnp(&pid_, arguments[0], nullptr, nullptr, const_cast<char**>(arguments), environ) != 0)
            pid_ = 0;
        for (int i = 0; pid_ != 0 && i < 500 && !std::filesystem::exists(socket_); ++i) ::poll(nullptr, 0, 20);
    }
    ~Qemu() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        std::filesystem::remove(socket_);
    }
    core::Result<core::Fd> connect() const {
        return core::rsp::connect_to(*core::rsp::parse_endpoint("unix:" + socket_), nullptr);
    }

  private:
    std::string socket_ = (std::filesystem::temp_directory_path() / fmt::format("bench-qemu-{}", ::getpid())).string();
    pid_t pid_ = 0;
};

void qemu_step_and_registers(benchmark::State& state) {
    const Qemu qemu;
    auto fd = qemu.connect();
    if (!fd) return state.SkipWithError("QEMU is not there");
    Connection c(std::move(*fd));
    ask(c, "qSupported:multiprocess+;vContSupported+");
    ask(c, "?");
    const double theirs = median_of(state, [&] { return !ask(c, "vCont;s:p1.1").empty() && !ask(c, "g").empty(); });
    if (ours_us > 0) state.counters["times_ours"] = theirs / ours_us;
}
BENCHMARK(qemu_step_and_registers)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
