// CTF 1.8, the format of LTTng and babeltrace2: a folder with `metadata` and a stream for each vCPU.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <regex>
#include <set>

#include <fmt/format.h>

#include "core/export/ctf_metadata.h"
#include "core/export/exporter.h"
#include "core/export/output.h"

namespace vmxscope::core::exporting {
namespace {

constexpr std::size_t kPacket = 256u << 10;      // bytes, about: a packet is written once it has them
constexpr std::size_t kMostPending = 16u << 20;  // bytes of all packets that are not written yet
constexpr std::string_view kMetadata = "metadata";

/// The folder of a trace, with the files that were made in it. Removes them if the trace is not finished.
class Folder {
  public:
    static Result<Folder> create(const Destination& to) {
        if (::mkdir(to.path.c_str(), 0755) == 0) return Folder(to.path);
        if (errno != EEXIST) return fail(fmt::format("{} cannot be made: {}.", to.path.string(), std::strerror(errno)));
        if (!to.replace)
            return fail(fmt::format("{} exists already.", to.path.string()),
                        "Name another folder, or replace it with --force.");
        if (const auto emptied = empty(to.path); !emptied) return tl::unexpected(emptied.error());
        return Folder(to.path);
    }
    Folder(Folder&& other) noexcept : path_(std::exchange(other.path_, {})), files_(std::move(other.files_)) {}
    Folder& operator=(Folder&&) = delete;
    ~Folder() { remove(); }

    Result<void> append(const std::string& name, std::string_view bytes) {
        if (path_.empty()) return fail("The trace could not be written, and is removed.");
        const auto path = path_ / name;
        const bool fresh = !files_.contains(name);
        Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | (fresh ? O_CREAT | O_EXCL : O_APPEND), 0644));
        if (file) files_.insert(name);
        const int error = file ? write_all(file.get(), bytes) : errno;
        if (error == 0) return {};
        remove();
        return fail(fmt::format("{} cannot be written: {}.", path.string(), std::strerror(error)),
                    "What was written of the trace is removed.");
    }
    void keep() { path_.clear(); }

  private:
    explicit Folder(std::filesystem::path path) : path_(std::move(path)) {}

    /// Takes an earlier export away, and nothing else.
    static Result<void> empty(const std::filesystem::path& path) {
        static const std::regex ours("metadata|vcpu_[0-9]+");
        std::error_code error;
        std::vector<std::filesystem::path> old;
        for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
            if (!std::regex_match(entry.path().filename().string(), ours))
                return fail(fmt::format("{} has more in it than a CTF trace: {}.", path.string(),
                                        entry.path().filename().string()),
                            "Name another folder.");
            old.push_back(entry.path());
        }
        for (const auto& file : old)
            if (!error) std::filesystem::remove(file, error);
        if (error) return fail(fmt::format("{} cannot be replaced: {}.", path.string(), error.message()));
        return {};
    }

    void remove() {
        if (path_.empty()) return;
        for (const std::string& name : files_) ::unlink((path_ / name).c_str());
        ::rmdir(path_.c_str());
        path_.clear();
    }

    std::filesystem::path path_;  // empty: nothing is to be removed
    std::set<std::string> files_;
};

class Ctf : public Exporter {
  public:
    Ctf(const trace::Trace& trace, Folder folder) : course_(trace), folder_(std::move(folder)) {}

    Needs needs() const override { return {.everything = true}; }

    Result<void> take(const query::Row& row, bool selected) override {
        const trace::Digest& d = *row.digest;
        const auto m = course_.take(d);
        if (!m) return tl::unexpected(m.error());
        Vcpu& v = vcpus_[d.vcpu];
        const std::size_t before = v.events.size();
        if (m->gap) {
            v.discarded += m->gap.lost;
            begin(v, ctf::kLostEvent, m->cycles);
            ctf::Payload payload(v.events);
            tell(m->gap, payload);
        }
        if (selected) {
            begin(v, static_cast<std::uint8_t>(d.kind), m->cycles);
            ctf::Payload payload(v.events);
            tell(*row.transition, payload);
        }
        pending_ += v.events.size() - before;
        if (v.events.size() >= kPacket) return packet(d.vcpu, v);
        return pending_ >= kMostPending ? all_packets() : Result<void>{};
    }

    Result<void> finish() override {
        if (auto written = all_packets(); !written) return written;
        folder_.keep();
        return {};
    }

  private:
    struct Vcpu {
        std::string events;  // of the packet under way
        std::uint64_t first = 0, last = 0;
        std::uint64_t packets = 0;
        std::uint64_t discarded = 0;  // records lost so far
    };

    static void begin(Vcpu& v, std::uint8_t id, std::uint64_t cycles) {
        if (v.events.empty()) v.first = cycles;
        v.last = cycles;
        ctf::append(v.events, id);
        ctf::append(v.events, cycles);
    }

    Result<void> packet(std::uint32_t vcpu, Vcpu& v) {
        if (v.events.empty()) return {};
        constexpr std::size_t head = 4 + 4 + 8 + 6 * 8 + 4;
        const std::uint64_t bits = (head + v.events.size()) * 8;
        std::string bytes;
        bytes.reserve(bits / 8);
        ctf::append(bytes, ctf::kMagic);
        ctf::append(bytes, std::uint32_t{0});
        ctf::append(bytes, std::uint64_t{vcpu});
        for (const std::uint64_t n : {v.first, v.last, bits, bits, v.packets++, v.discarded}) ctf::append(bytes, n);
        ctf::append(bytes, vcpu);
        bytes += v.events;
        pending_ -= v.events.size();
        v.events = {};
        return folder_.append(fmt::format("vcpu_{}", vcpu), bytes);
    }

    Result<void> all_packets() {
        for (auto& [id, v] : vcpus_)
            if (auto written = packet(id, v); !written) return written;
        return {};
    }

    Course course_;
    Folder folder_;
    std::map<std::uint32_t, Vcpu> vcpus_;
    std::size_t pending_ = 0;
};

}  // namespace

Result<std::unique_ptr<Exporter>> ctf_exporter(const trace::Trace& trace, const Destination& to) {
    auto folder = Folder::create(to);
    if (!folder) return tl::unexpected(folder.error());
    if (auto written = folder->append(std::string(kMetadata), ctf::metadata(trace.info())); !written)
        return tl::unexpected(written.error());
    return std::make_unique<Ctf>(trace, std::move(*folder));
}

}  // namespace vmxscope::core::exporting
