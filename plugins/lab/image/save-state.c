/* Preloaded into Bochs by machine.sh, when it boots a lab to keep its state: Bochs can save its state, but only asks for
 * it through a window's button, and the labs' Bochs has no window. SIGUSR2 saves into $BOCHS_SAVE_STATE. It is sent while
 * Bochs waits at its debugger's prompt, between two instructions and outside of any allocation. Bochs itself is Debian's
 * own; a lab that begins from the saved state needs nothing of this. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Of Bochs 2.7: `bx_simulator_interface_c *SIM` and `bool bx_real_sim_c::save_state(const char *)`. Weak, so that the
 * shell which starts Bochs can be preloaded with this too. */
extern void *SIM __attribute__((weak));
extern _Bool save_state(void *sim, const char *directory) __asm__("_ZN13bx_real_sim_c10save_stateEPKc") __attribute__((weak));

static void save(int signal_number) {
    const char *directory = getenv("BOCHS_SAVE_STATE");
    (void)signal_number;
    if (directory && SIM && save_state(SIM, directory)) {
        int done = chdir(directory) == 0 ? open("complete", O_WRONLY | O_CREAT, 0644) : -1;
        if (done >= 0) close(done);
    }
    _exit(0);
}

__attribute__((constructor)) static void install(void) {
    if (getenv("BOCHS_SAVE_STATE")) signal(SIGUSR2, save);
}
