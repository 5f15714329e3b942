// One client of the server: its packets become calls on its Target, the Target's stops become its stop replies.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/rsp/connection.h"
#include "core/rsp/packet.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

class Session {
  public:
    Session(Connection& connection, std::unique_ptr<Target> target);
    ~Session();  // detaches: every vCPU runs on

    /// Answers everything the client has sent so far.
    void answer();
    /// True while the client waits for the guest to stop; then watch() wants to be called again and again.
    bool waits_for_stop() const { return awaiting_ != Awaiting::Nothing; }
    /// Looks for a stop, for at most `limit`, and reports it.
    void watch(std::chrono::milliseconds limit);
    /// True when the client has said goodbye.
    bool over() const { return over_; }

  private:
    using Reply = std::optional<std::string>;  // empty = the answer comes later, or never; "" = unsupported
    using Handler = Reply (Session::*)(std::string_view arguments);
    struct Command {
        std::string_view name;
        bool takes_arguments;
        Handler handler;
    };
    static const Command kCommands[];

    /// What the client waits for: the first stop after attach, the end of a run, the end of a `monitor step`.
    enum class Awaiting : std::uint8_t { Nothing, FirstStop, Run, MonitorStep };

    Reply dispatch(std::string_view packet);
    void interrupt();
    void finish_wait(const Result<Stop>& outcome);
    void check_patience();

    // Handshake
    Reply supported(std::string_view features);
    Reply must_reply_empty(std::string_view);
    Reply start_no_ack(std::string_view);
    Reply enable_error_strings(std::string_view);
    Reply non_stop(std::string_view mode);
    Reply attached(std::string_view);
    Reply host_info(std::string_view);
    Reply process_info(std::string_view);
    // Threads
    Reply current_thread(std::string_view);
    Reply select_thread(std::string_view arguments);
    Reply thread_alive(std::string_view id);
    Reply first_threads(std::string_view);
    Reply more_threads(std::string_view);
    Reply thread_extra(std::string_view id);
    Reply thread_stop_info(std::string_view id);
    // Registers and memory
    Reply read_registers(std::string_view);
    Reply read_register(std::string_view number);
    Reply write_refused(std::string_view);
    Reply read_memory(std::string_view range);
    // Running
    Reply last_stop(std::string_view);
    Reply vcont_actions(std::string_view);
    Reply vcont(std::string_view actions);
    Reply continue_all(std::string_view);
    Reply step_one(std::string_view);
    Reply step_back(std::string_view);
    Reply continue_back(std::string_view);
    Reply interrupt_packet(std::string_view);
    Reply step_kind(std::string_view name);
    Reply evidence_scope(std::string_view name);
    Reply record_settings(std::string_view text);
    Reply detach(std::string_view);
    Reply kill(std::string_view);
    Reply kill_process(std::string_view);
    // Objects and text
    Reply transfer(std::string_view request);
    Reply monitor(std::string_view hex);

    Reply resume(const std::vector<Action>& actions);
    Reply run_after(const Result<void>& resumed);
    Reply monitor_step(StepKind kind);
    Result<std::string> object(const Xfer& asked);
    Result<std::string> vmx_object(std::string_view name);
    Result<std::string> past_object(std::string_view number);
    Result<std::string> memory_object(std::string_view arguments);
    Result<std::string> ept02_object(std::string_view arguments);
    Result<std::string> msr_bitmap_object(std::string_view arguments);
    std::string threads_xml();
    std::string thread_description(const Vcpu& vcpu);
    void announce(const Stop& stop);
    std::string report(const Stop& stop);
    std::string console_reply(std::string_view text);
    std::string error(std::string_view sentence) const;
    std::string error(const Error& e) const { return error(e.text()); }

    Result<Vcpu> find_vcpu(std::uint32_t id);
    std::uint32_t selected_vcpu();
    /// The newest shown transition of a vCPU; null when there is none.
    const nested::Transition* newest(std::uint32_t vcpu);

    Connection& connection_;
    std::unique_ptr<Target> target_;
    bool over_ = false;
    bool multiprocess_ = false;
    bool vmx_ = false;            // the client knows this project's own packets
    bool error_strings_ = false;  // lldb's way to be told errors in words
    Awaiting awaiting_ = Awaiting::Nothing;
    std::chrono::steady_clock::time_point since_;  // awaiting_ since
    bool gave_up_ = false;                         // on a monitor step: interrupted for taking too long
    std::optional<Stop> stop_;                     // the newest
    std::optional<std::uint32_t> selected_;        // by Hg, or by having stopped
    std::optional<std::uint32_t> step_thread_;     // by Hc: whom `s` steps
    StepKind step_ = StepKind::Transition;
    StepKind monitor_kind_ = StepKind::Transition;  // of the monitor step under way
    std::string transfer_name_, transfer_data_;     // the object being read in pieces
    nested::Transition newest_;                     // cache of newest()
};

}  // namespace vmxscope::core::rsp
