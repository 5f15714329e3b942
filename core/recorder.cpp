#include "core/recorder.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#ifndef VMXSCOPE_VERSION
#error "VMXSCOPE_VERSION is given by the build"
#endif

namespace vmxscope::core {

namespace {

/// Of all images, only these fields.
void mask(vmx::VmcsImage& image, const std::vector<vmx::Field>& fields) {
    vmx::VmcsImage kept;
    for (const vmx::Field f : fields) kept[f] = image[f];
    image = kept;
}

nested::Transition masked(nested::Transition t, const std::vector<vmx::Field>& fields) {
    for (vmx::VmcsImage* image : {&t.vmcs01, &t.vmcs12_before, &t.vmcs12_after, &t.vmcs02_before, &t.vmcs02_after})
        mask(*image, fields);
    return t;
}

}  // namespace

trace::TraceInfo trace_info_of(Target& target, nested::EvidenceScope evidence, std::vector<vmx::Field> fields) {
    using namespace std::chrono;
    trace::TraceInfo info;
    info.program = "vmxscope " VMXSCOPE_VERSION;
    info.target = target.info();
    info.host = info.target.host;
    info.tsc_khz = info.target.tsc_khz;
    info.started_ns = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
    if (auto capabilities = target.capabilities()) info.capabilities = *capabilities;
    info.evidence = evidence;
    info.fields = std::move(fields);
    return info;
}

Recorder::Recorder(RecorderOptions options, trace::TraceInfo info, std::uint64_t after)
    : options_(std::move(options)), info_(std::move(info)), last_(after) {
    if (options_.ring_bytes > 0) ring_.emplace(options_.ring_bytes);
    if (options_.until) until_.emplace(*options_.until, info_.tsc_khz);
}

Result<Recorder> Recorder::create(RecorderOptions options, trace::TraceInfo info, std::uint64_t after) {
    Recorder recorder(std::move(options), std::move(info), after);
    // A ring's file is made at once, too: that it cannot be is better known before the recording than after it.
    auto file = trace::Writer::create(recorder.options_.path, recorder.info_, {}, recorder.options_.replace);
    if (!file) return tl::unexpected(file.error());
    recorder.options_.replace = true;
    if (!recorder.ring_) recorder.file_.emplace(std::move(*file));
    return recorder;
}

Result<void> Recorder::keep(const nested::Transition& t) {
    if (!ring_) return file_->add(t);
    ring_->add(t);
    return {};
}

/// True: it was the last.
Result<bool> Recorder::take(const nested::Transition& t) {
    if (last_ != 0 && t.seq > last_ + 1) missed_ += t.seq - last_ - 1;
    last_ = t.seq;
    ++taken_;
    if (t.lost_before) lost_[t.vcpu] += t.lost_before;
    if (const auto kept = options_.fields.empty() ? keep(t) : keep(masked(t, options_.fields)); !kept)
        return tl::unexpected(kept.error());
    if (until_ && until_->take(t) == query::Truth::Yes) found_ = t.seq;
    return found_ || (options_.transitions != 0 && taken_ >= options_.transitions);
}

Result<bool> Recorder::pull(Target& target) {
    while (!ended_) {
        const auto block = target.past(last_ + 1);
        if (!block) return tl::unexpected(block.error());
        if (block->empty()) return false;
        const std::uint64_t before = last_;
        Result<bool> taken = false;
        const auto decoded = trace::decode_block(*block, [&](const nested::Transition& t) {
            if (t.seq <= last_) return true;
            taken = take(t);
            return taken && !*taken;
        });
        if (!taken) return taken;
        if (!decoded) return tl::unexpected(decoded.error());
        ended_ = *taken;
        if (last_ == before) return ended_;
    }
    return true;
}

std::uint64_t Recorder::kept() const {
    if (!ring_) return file_ ? file_->transitions() : taken_;
    return ring_->first() ? ring_->last() - ring_->first() + 1 : 0;
}

std::uint64_t Recorder::bytes() const {
    return ring_ ? ring_->bytes() : file_->bytes();
}

Result<void> Recorder::save() {
    if (!ring_) return {};
    auto file = trace::Writer::create(options_.path, info_, {}, true);
    if (!file) return tl::unexpected(file.error());
    if (const auto saved = ring_->save(*file); !saved) return saved;
    return file->finish();
}

Result<void> Recorder::finish() {
    return ring_ ? save() : file_->finish();
}

}  // namespace vmxscope::core
