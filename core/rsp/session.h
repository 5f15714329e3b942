// One client of the server: its packets become calls on the guest's Target, the Target's stops become its stop replies.
// Answering is in session_queries.cpp, running in session_running.cpp and, with a vCPU for itself, session_non_stop.cpp,
// changing the guest in session_writing.cpp, breaks and breakpoints in session_breaks.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/break_target.h"
#include "core/rsp/connection.h"
#include "core/rsp/monitor.h"
#include "core/rsp/packet.h"
#include "core/rsp/registers.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

/// A guest, for all clients that see it: one drives it, the others look.
struct Guest {
    explicit Guest(std::unique_ptr<Target> made, std::string driven_by = "Another client");

    BreakTarget target;
    std::string driver;         // who that is, to begin a sentence
    std::optional<Stop> stop;   // the newest
    bool runs = false;          // the driver waits for it to stop
    std::filesystem::path recorded_into;  // empty: it is not, or by who drives it
};

class Session {
  public:
    enum class Role : std::uint8_t { Drives, Looks };

    Session(Connection& connection, std::shared_ptr<Guest> guest, Role role = Role::Drives);
    ~Session();  // of the driver: detaches, every vCPU runs on

    /// Answers what the client has sent so far, at most `packets` of it. True: perhaps there is more.
    bool answer(std::size_t packets = ~std::size_t{0});
    /// True while the client waits for the guest to stop; then watch() wants to be called again and again.
    bool waits_for_stop() const { return awaiting_ != Awaiting::Nothing || !running_.empty() || !later_.empty(); }
    /// Looks for a stop, for at most `limit`, and reports it.
    void watch(std::chrono::milliseconds limit);
    /// True when the client has said goodbye.
    bool over() const { return over_; }
    bool knows_vmx() const { return vmx_; }

  private:
    using Reply = std::optional<std::string>;  // empty = the answer comes later, or never; "" = unsupported
    using Handler = Reply (Session::*)(std::string_view arguments);
    /// What a packet does: those who only look may only ask, and a guest that runs is not run once more.
    enum class Kind : std::uint8_t { Asks, Changes, Runs };
    struct Command {
        std::string_view name;
        bool takes_arguments;
        Handler handler;
        Kind kind = Kind::Asks;
    };
    static const Command kCommands[];

    /// What the client waits for: the first stop after attach (as the answer to `?`, or before non-stop mode can begin),
    /// the end of a run, the end of a `monitor step`.
    enum class Awaiting : std::uint8_t { Nothing, FirstStop, NonStop, Run, MonitorStep };

    Reply dispatch(std::string_view packet);
    void await(Awaiting what);
    void interrupt();
    void finish_wait(const Result<Stop>& outcome);
    void check_patience();
    std::string only_looks() const;

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
    Reply write_registers(std::string_view);
    Reply write_register(std::string_view assignment);
    Reply write_memory_hex(std::string_view arguments);
    Reply write_memory_bytes(std::string_view arguments);
    Reply write_own(std::string_view arguments);
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
    Reply go_to(std::string_view number);
    Reply next_notice(std::string_view);
    Reply deliver(std::string_view yes);
    Reply insert_software(std::string_view place);
    Reply insert_hardware(std::string_view place);
    Reply remove_breakpoint(std::string_view place);
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
    Reply run_after(const Result<void>& resumed, bool back = false);
    Reply refused(const Command& command) const;
    std::string monitor_space(std::optional<Space> space);
    Reply monitor_drive(const MonitorCommand& command);
    std::string break_list() const;
    std::string add_break(std::string_view condition);
    std::string monitor_ledger();
    Reply insert(std::string_view place, std::string_view kind);
    std::string_view breakpoint_at(const Stop& stop);
    void tell_of_addresses();

    // Non-stop
    bool runs(const Vcpu& vcpu) const;  // in non-stop mode
    Reply begin_non_stop();
    Reply end_non_stop();
    Reply vcont_non_stop(const std::vector<ThreadAction>& actions);
    Reply first_of_the_stopped();
    void watch_non_stop(std::chrono::milliseconds limit);
    struct Notice {
        std::optional<std::uint32_t> vcpu;  // empty: all, the guest has ended
        std::string reply;
    };
    void notice(const Stop& stop);
    void notice(Notice what);
    bool to_be_told(std::uint32_t vcpu) const;

    Reply write_memory(std::string_view address, const std::vector<std::byte>& bytes);
    Result<std::string> object(const Xfer& asked);
    Result<std::string> osdata_xml(std::string_view type);
    Result<std::string> vmx_object(std::string_view name);
    std::string info_object();
    Result<std::string> past_object(std::string_view number);
    Result<std::string> memory_object(std::string_view arguments);
    Result<std::string> ept02_object(std::string_view arguments);
    Result<std::string> msr_bitmap_object(std::string_view arguments);
    std::string threads_xml();
    std::string thread_name(const Vcpu& vcpu);
    std::string thread_description(const Vcpu& vcpu);
    std::uint64_t counter_of(std::uint32_t vcpu);
    void remember_counter(const Stop& stop);
    std::string for_lldb(std::string reply, const Stop& stop);
    void announce(const Stop& stop);
    const nested::Transition* at_stop(const Stop& stop);
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
    std::shared_ptr<Guest> guest_;
    BreakTarget* target_;         // the guest's
    std::optional<Stop>& stop_;   // the guest's newest
    bool drives_;
    bool over_ = false;
    bool multiprocess_ = false;
    bool vmx_ = false;            // the client knows this project's own packets
    bool error_strings_ = false;  // lldb's way to be told errors in words
    bool lists_threads_ = false;  // lldb wants all threads named in stop replies
    std::optional<std::pair<std::uint32_t, std::uint64_t>> counter_;  // vCPU and rip of the stop that it was told last …
    bool stays_ = false;                                              // … which are those of the one before
    std::optional<Space> space_;  // set by `monitor space`; empty: of the level that runs …
    bool physical_ = false;       // … linear, or (Qqemu.PhyMemMode) physical
    std::optional<Registers> registers_;
    bool no_resumed_ = false;     // the client understands N: nothing of what it let go runs
    bool swbreak_ = false, hwbreak_ = false;  // it wants to be told which breakpoint it was
    bool deliver_ = false;                    // it wants each transition with its stop reply
    Awaiting awaiting_ = Awaiting::Nothing;
    std::chrono::steady_clock::time_point since_;  // awaiting_ since
    bool gave_up_ = false;                         // on a monitor step: interrupted for taking too long
    bool back_ = false;                            // the run under way goes back
    std::optional<std::uint32_t> selected_;        // by Hg, or by having stopped
    std::optional<std::uint32_t> step_thread_;     // by Hc: whom `s` steps
    StepKind step_ = StepKind::Transition;
    StepKind monitor_kind_ = StepKind::Transition;  // of the monitor step under way
    std::string transfer_name_, transfer_data_;     // the object being read in pieces
    nested::Transition newest_;                     // cache of newest()
    std::map<std::uint64_t, std::string_view> breakpoints_;  // by address: "swbreak" or "hwbreak"
    bool told_of_addresses_ = false;

    bool non_stop_ = false;
    std::set<std::uint32_t> running_;   // in non-stop mode
    std::set<std::uint32_t> asked_;     // of those: told to stop by vCont;t
    std::deque<Notice> notices_;  // the first has been sent, and vStopped takes it away
    std::deque<Stop> later_;            // vCPUs that had stopped when `?` came, to be told a little later
    std::chrono::steady_clock::time_point settled_;  // from when on
};

}  // namespace vmxscope::core::rsp
