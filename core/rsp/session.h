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
#include "core/rsp/registers.h"
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
    Reply symbol(std::string_view);
    // Threads
    Reply current_thread(std::string_view);
    Reply select_thread(std::string_view arguments);
    Reply thread_alive(std::string_view id);
    Reply first_threads(std::string_view);
    Reply more_threads(std::string_view);
    Reply thread_extra(std::string_view id);
    Reply step_kind_asked(std::string_view);
    // What lldb asks besides
    Reply host_info(std::string_view);
    Reply process_info(std::string_view);
    Reply thread_suffix(std::string_view);
    Reply list_threads_in_stop_reply(std::string_view);
    Reply thread_stop_info(std::string_view id);
    Reply threads_info(std::string_view);
    Reply thread_extended_info(std::string_view json);
    Reply memory_region_info(std::string_view address);
    // Registers and memory
    Reply read_registers(std::string_view suffix);
    Reply read_register(std::string_view number);
    Reply write_refused(std::string_view);
    Reply read_memory(std::string_view range);
    Reply read_memory_as_it_is(std::string_view range);
    Reply search_memory(std::string_view request);
    Reply qemu_supported(std::string_view);
    Reply physical_memory(std::string_view);
    Reply set_physical_memory(std::string_view mode);
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
    std::string monitor_space(std::optional<Space> space);
    Result<std::string> object(const Xfer& asked);
    Result<std::string> osdata_xml(std::string_view type);
    Result<std::string> vmx_object(std::string_view name);
    Result<std::string> past_object(std::string_view number);
    Result<std::string> memory_object(std::string_view arguments);
    Result<std::string> ept02_object(std::string_view arguments);
    Result<std::string> msr_bitmap_object(std::string_view arguments);
    std::string threads_xml();
    std::string thread_name(const Vcpu& vcpu);
    std::string thread_description(const Vcpu& vcpu);
    std::string lldb_stop(const Stop& stop);
    void announce(const Stop& stop);
    std::string report(const Stop& stop);
    std::string console_reply(std::string_view text);
    std::string error(std::string_view sentence) const;
    std::string error(const Error& e) const { return error(e.text()); }

    Result<Vcpu> find_vcpu(std::uint32_t id);
    std::uint32_t selected_vcpu();
    /// The newest shown transition of a vCPU; null when there is none.
    const nested::Transition* newest(std::uint32_t vcpu);
    /// Takes lldb's ";thread:ID;" from the end of a packet: whom it is about. Empty: malformed, or no such thread.
    std::optional<std::uint32_t> taken_thread(std::string_view& arguments);
    /// Made when first asked for; described anew each time that the client reads the description.
    const Registers& registers();
    /// Whose addresses `m`, `x` and qSearch are about.
    Space space_of(const Vcpu& vcpu) const;
    /// ADDRESS,LENGTH of the selected vCPU; empty where that is no memory.
    std::optional<std::vector<std::byte>> memory_at(std::string_view range);

    Connection& connection_;
    std::unique_ptr<Target> target_;
    bool over_ = false;
    bool multiprocess_ = false;
    bool vmx_ = false;            // the client knows this project's own packets
    bool error_strings_ = false;  // lldb's way to be told errors in words
    bool lists_threads_ = false;  // lldb wants all threads named in stop replies
    std::optional<Space> space_;  // set by `monitor space`; empty: of the level that runs …
    bool physical_ = false;       // … linear, or (Qqemu.PhyMemMode) physical
    std::optional<Registers> registers_;
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
