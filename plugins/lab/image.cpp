#include "plugins/lab/image.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>

#include "plugins/lab/spawn.h"

namespace vmxscope::lab {
namespace {

constexpr std::string_view kSaying = "lab image: ";
constexpr int kGivenUp = -1;

/// Takes whole lines off `text` and gives each to `take`.
template <typename Take>
void take_lines(std::string& text, Take take) {
    for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
        take(text.substr(0, end));
}

/// Runs the builder; each line it prints goes to `on_line`, which may ask for the end by giving false.
core::Result<int> run_builder(const std::vector<std::string>& arguments,
                              const std::function<bool(std::string)>& on_line) {
    auto pipe = make_pipe();
    if (!pipe) return tl::unexpected(pipe.error());
    const auto builder = spawn(arguments, {.descriptors = {}, .output = pipe->write.get(), .folder = {}});
    if (!builder) return tl::unexpected(builder.error());
    pipe->write.reset();
    std::string text;
    bool go_on = true, asked = false;
    for (;;) {
        pollfd p{pipe->read.get(), POLLIN, 0};
        if (poll(&p, 1, 200) > 0) {
            char buffer[4096];
            const ssize_t n = read(pipe->read.get(), buffer, sizeof buffer);
            if (n == 0 || (n < 0 && errno != EINTR)) break;
            if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
        }
        take_lines(text, [&](std::string line) { go_on = on_line(std::move(line)) && go_on; });
        if (!on_line({})) go_on = false;
        if (!go_on && !std::exchange(asked, true)) kill(-*builder, SIGTERM);
    }
    while (true)
        if (auto status = wait_for_end(*builder, std::chrono::seconds(1))) return go_on ? *status : kGivenUp;
}

std::string builder_path() {
    const char* chosen = std::getenv("VMXSCOPE_LAB_BUILDER");
    return chosen ? chosen : VMXSCOPE_LAB_BUILDER;
}

}  // namespace

core::Result<Image> make_image(unsigned cpus, const core::Progress& progress) {
    const std::string builder = builder_path();
    std::string step = "checking the lab's image", last_words;
    std::vector<std::string> printed;
    const auto listen = [&](std::string line) {
        if (line.starts_with(kSaying))
            step = line;
        else if (line.starts_with("error: "))
            last_words = line.substr(7);
        else if (line.starts_with('/'))
            printed.push_back(std::move(line));
        return !progress || progress(step, -1);
    };
    const auto status = run_builder(
        {builder, "--product-dir", VMXSCOPE_LAB_PRODUCT, "--cpus", std::to_string(cpus), "--print"}, listen);
    if (!status) return tl::unexpected(status.error());
    if (*status == kGivenUp) return core::fail("The start of the lab was given up.");
    if (*status != 0 || printed.size() != 2)
        return core::fail("The lab's image cannot be built. " + last_words, fmt::format("See why with: {}", builder));
    const std::filesystem::path system = printed[0];
    return Image{system / "boot.iso", system / fmt::format("machine-{}", cpus), printed[1]};
}

}  // namespace vmxscope::lab
