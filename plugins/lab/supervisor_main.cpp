// vmxscope-lab-supervisor FOLDER COMMAND…: see supervise.h. Started by vmxscope and vmxscopectl, not by people.
#include <unistd.h>

#include <cstdio>

#include "plugins/lab/supervise.h"

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: vmxscope-lab-supervisor FOLDER COMMAND...\n", stderr);
        return 2;
    }
    if (fork() > 0) return 0;  // who started it need not wait for its end
    setsid();                  // a Ctrl-C in the terminal is not for it
    return vmxscope::lab::supervise({argv[1], {argv + 2, argv + argc}});
}
