// Runs the real vmxscopectl, with pipes or with a terminal.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace vmxscope::test {

struct Outcome {
    int status = -1;  // exit status; 128 + N when signal N ended it
    std::string out, err;
};

/// With stdin empty, stdout and stderr kept; ended by force after two minutes.
Outcome run_vmxscopectl(const std::vector<std::string>& arguments);

/// vmxscopectl on a terminal of its own.
class OnTerminal {
  public:
    explicit OnTerminal(const std::vector<std::string>& arguments);
    ~OnTerminal();

    void type(const std::string& keys);
    void signal(int number);
    /// Reads until `text` has come since the last wait; false after a minute or at the end.
    bool wait_for(const std::string& text);
    /// Waits for the end; the exit status as in Outcome.
    int finish();
    const std::string& screen() const { return screen_; }
    /// Its XDG_STATE_HOME, of its own.
    const std::string& state_folder() const { return state_; }

  private:
    bool read_more();

    int terminal_ = -1;
    pid_t pid_ = -1;
    std::string state_, screen_;
    std::size_t seen_ = 0;
};

}  // namespace vmxscope::test
