// Real GDB stubs to attach to: QEMU's own, and gdbserver. Each is a process of its own that ends with its object.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/fd.h"

namespace vmxscope::test {

/// A program that is killed and waited for at the end.
class Spawned {
  public:
    explicit Spawned(const std::vector<std::string>& arguments);
    Spawned(const Spawned&) = delete;
    Spawned& operator=(const Spawned&) = delete;
    ~Spawned();
    pid_t pid() const { return pid_; }
    bool ended();

  private:
    pid_t pid_ = -1;
};

/// The boot sector's loop: `inc ax` at kLoop, then BX = AX, and AX to memory at kCounter.
inline constexpr std::uint64_t kBootSector = 0x7c00, kLoop = 0x7c03, kCounter = 0x500;

/// QEMU with TCG, stopped before its first instruction, its stub on a unix socket.
class Qemu {
  public:
    explicit Qemu(unsigned vcpus = 1);
    ~Qemu();
    std::string uri() const { return "unix:" + rest(); }
    std::string rest() const { return folder_ + "/gdb"; }  // of the scheme `unix`
    /// What QEMU's monitor answers to a command: what the guest really does, whatever its stub says.
    std::string monitor(const std::string& command) const;

  private:
    std::string folder_;
    Spawned* qemu_ = nullptr;
};

/// gdbserver with a program that sleeps without end, on loopback.
class Gdbserver {
  public:
    explicit Gdbserver(const std::vector<std::string>& program);
    ~Gdbserver();
    std::string rest() const;  // of the scheme `tcp`
    bool ended() { return server_->ended(); }

  private:
    Spawned* server_ = nullptr;
    unsigned port_ = 0;
};

}  // namespace vmxscope::test
