// vmxscope-lab-supervisor FOLDER LEASH COMMAND…: see supervise.h. Started by vmxscope and vmxscopectl, not by people.
// LEASH is the number of an inherited descriptor, or "none".
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <string_view>

#include "plugins/lab/supervise.h"

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fputs("usage: vmxscope-lab-supervisor FOLDER LEASH COMMAND...\n", stderr);
        return 2;
    }
    vmxscope::lab::Supervision supervision;
    supervision.folder = argv[1];
    const std::string_view leash = argv[2];
    std::from_chars(leash.data(), leash.data() + leash.size(), supervision.leash);
    supervision.command.assign(argv + 3, argv + argc);
    if (fork() > 0) return 0;  // who started it need not wait for its end
    setsid();                  // a Ctrl-C in the terminal is not for it
    return vmxscope::lab::supervise(supervision);
}
