#include "plugins/remote/backends.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/rsp/endpoint.h"
#include "core/rsp/remote_target.h"
#include "plugins/remote/gdb_target.h"

namespace vmxscope::remote {

namespace {

using core::Backend;
using core::Progress;
using core::Result;
using core::Target;
using core::TargetName;
using core::rsp::kSocketFolder;

class RemoteBackend : public Backend {
  public:
    explicit RemoteBackend(std::string scheme) : scheme_(std::move(scheme)) {}
    std::string_view scheme() const override { return scheme_; }
    std::vector<TargetName> list() override { return {}; }
    Result<std::unique_ptr<Target>> attach(std::string_view rest, const Progress& progress) override {
        const auto endpoint = core::rsp::parse_endpoint(fmt::format("{}:{}", scheme_, rest));
        if (!endpoint) return tl::unexpected(endpoint.error());
        auto connection = core::rsp::connect_to(*endpoint, progress);
        if (!connection) return tl::unexpected(connection.error());
        core::rsp::Client client(std::move(*connection), endpoint->text(), progress);
        if (auto greeted = client.greet(); !greeted) return tl::unexpected(greeted.error());
        if (client.offers(core::rsp::kAgentFeature))
            return core::rsp::attach_agent(std::move(client), endpoint->text());
        return attach_gdb_stub(std::move(client), endpoint->text());
    }

  private:
    std::string scheme_;
};

class UnixBackend final : public RemoteBackend {
  public:
    UnixBackend() : RemoteBackend("unix") {}
    std::vector<TargetName> list() override {
        std::vector<TargetName> found;
        DIR* folder = ::opendir(std::string(kSocketFolder).c_str());
        if (folder == nullptr) return found;
        while (const dirent* entry = ::readdir(folder)) {
            const std::string path = fmt::format("{}/{}", kSocketFolder, entry->d_name);
            struct stat status {};
            if (::stat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) continue;
            TargetName name{"unix:" + path, "agent on this machine", true, {}};
            if (::access(path.c_str(), R_OK | W_OK) != 0) {
                name.available = false;
                name.why_not = fmt::format("You may not open {}: run as root, or join the socket's group.", path);
            }
            found.push_back(std::move(name));
        }
        ::closedir(folder);
        std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.uri < b.uri; });
        return found;
    }
};

}  // namespace

std::unique_ptr<Backend> tcp_backend() {
    return std::make_unique<RemoteBackend>("tcp");
}
std::unique_ptr<Backend> unix_backend() {
    return std::make_unique<UnixBackend>();
}

}  // namespace vmxscope::remote
