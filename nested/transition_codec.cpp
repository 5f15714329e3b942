// Layout: magic, version, identity of the field list, then every member in the order of fields(). One function lists
// the members for both directions, so writer and reader cannot part. A number is one byte of length (0-8) and that many
// bytes; an image is a mode byte and either everything (two bits of state a field, then the known values) or what
// differs from the image before.
#include "nested/transition_codec.h"

#include <limits>
#include <type_traits>

#include <fmt/format.h>

namespace vmxscope::nested {
namespace {

using vmx::kFieldCount;
using vmx::Known;
using vmx::Value;
using vmx::VmcsImage;

constexpr std::uint32_t kMagic = 0x54584d56;  // "VMXT"
constexpr std::uint8_t kVersion = 2;

/// Images are stored by place in the field list, so both sides must have the same list: FNV-1a over the encodings.
constexpr std::uint32_t field_list_id() {
    std::uint32_t hash = 2166136261u;
    for (const std::uint16_t encoding : {
#define VMX_FIELD(name, encoding, group) std::uint16_t{encoding},
#include "vmx/fields.def"
#undef VMX_FIELD
         })
        hash = (hash ^ encoding) * 16777619u;
    return hash;
}

enum class ImageMode : std::uint8_t { Empty, Full, Difference, Last = Difference };
constexpr std::size_t kStateBytes = (kFieldCount * 2 + 7) / 8;
constexpr std::size_t kMapBytes = (kFieldCount + 7) / 8;

class Writer {
  public:
    std::string take() { return std::move(out_); }

    template <typename T>
    void number(const T& value) {
        auto rest = static_cast<std::uint64_t>(static_cast<std::make_unsigned_t<T>>(value));
        const std::size_t at = out_.size();
        out_.push_back(0);
        for (; rest; rest >>= 8) out_.push_back(static_cast<char>(rest & 0xff));
        out_[at] = static_cast<char>(out_.size() - at - 1);
    }
    void flag(const bool& value) { out_.push_back(value ? 1 : 0); }
    template <typename E>
    void enumeration(const E& value, E) {
        out_.push_back(static_cast<char>(value));
    }
    void text(const std::string& s) {
        number(s.size());
        out_ += s;
    }
    void value(const Value& v) {
        enumeration(v.state, Known::Faulted);
        if (v.known()) number(v.bits);
    }
    template <typename T, typename Each>
    void optional(const std::optional<T>& o, Each each) {
        flag(o.has_value());
        if (o) each(*o);
    }
    template <typename T, typename Each>
    void list(const std::vector<T>& items, std::size_t, Each each) {
        number(items.size());
        for (const T& item : items) each(item);
    }
    void image(const VmcsImage& image, const VmcsImage* base) {
        if (image == VmcsImage{}) return enumeration(ImageMode::Empty, ImageMode::Last);
        if (base && count_differences(image, *base) < kFieldCount / 2) return difference(image, *base);
        enumeration(ImageMode::Full, ImageMode::Last);
        std::array<std::uint8_t, kStateBytes> states{};
        for (std::size_t i = 0; i < kFieldCount; ++i)
            states[i / 4] |= static_cast<std::uint8_t>(static_cast<unsigned>(image.at_index(i).state) << (i % 4 * 2));
        raw(states);
        for (std::size_t i = 0; i < kFieldCount; ++i)
            if (image.at_index(i).known()) number(image.at_index(i).bits);
    }

  private:
    static std::size_t count_differences(const VmcsImage& a, const VmcsImage& b) {
        std::size_t n = 0;
        for (std::size_t i = 0; i < kFieldCount; ++i) n += a.at_index(i) != b.at_index(i);
        return n;
    }
    void difference(const VmcsImage& image, const VmcsImage& base) {
        enumeration(ImageMode::Difference, ImageMode::Last);
        std::array<std::uint8_t, kMapBytes> changed{};
        for (std::size_t i = 0; i < kFieldCount; ++i)
            if (image.at_index(i) != base.at_index(i)) changed[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
        raw(changed);
        for (std::size_t i = 0; i < kFieldCount; ++i)
            if (image.at_index(i) != base.at_index(i)) value(image.at_index(i));
    }
    template <std::size_t N>
    void raw(const std::array<std::uint8_t, N>& bytes) {
        out_.append(reinterpret_cast<const char*>(bytes.data()), N);
    }

    std::string out_;
};

/// After the first error every read gives zero and nothing more is consumed.
class Reader {
  public:
    explicit Reader(std::span<const std::byte> in) : in_(in) {}

    const std::optional<DecodeError>& error() const { return error_; }
    void expect_end() {
        if (!error_ && at_ != in_.size()) fail(fmt::format("{} bytes follow the end", in_.size() - at_));
    }

    template <typename T>
    void number(T& value) {
        const std::size_t size = byte();
        if (size > 8) return fail("a number is longer than 8 bytes");
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < size; ++i) bits |= static_cast<std::uint64_t>(byte()) << (8 * i);
        if (bits > std::numeric_limits<std::make_unsigned_t<T>>::max()) return fail("a number is out of range");
        value = static_cast<T>(static_cast<std::make_unsigned_t<T>>(bits));
    }
    void flag(bool& value) {
        const unsigned b = byte();
        if (b > 1) return fail("a truth value is neither 0 nor 1");
        value = b != 0;
    }
    template <typename E>
    void enumeration(E& value, E last) {
        const unsigned b = byte();
        if (b > static_cast<unsigned>(last)) return fail(fmt::format("{} is not a known enumerator", b));
        value = static_cast<E>(b);
    }
    void text(std::string& s) {
        const std::size_t size = count(1);
        s.assign(reinterpret_cast<const char*>(in_.data() + at_), size);
        at_ += size;
    }
    void value(Value& v) {
        v = {};
        enumeration(v.state, Known::Faulted);
        if (v.known()) number(v.bits);
    }
    template <typename T, typename Each>
    void optional(std::optional<T>& o, Each each) {
        bool present = false;
        flag(present);
        o.reset();
        if (present) each(o.emplace());
    }
    /// `least`: bytes that an item takes at least; bounds the count by what is left of the input.
    template <typename T, typename Each>
    void list(std::vector<T>& items, std::size_t least, Each each) {
        const std::size_t size = count(least);
        items.clear();
        for (std::size_t i = 0; i < size && !error_; ++i) each(items.emplace_back());
    }
    void image(VmcsImage& image, const VmcsImage* base) {
        ImageMode mode = ImageMode::Empty;
        enumeration(mode, ImageMode::Last);
        image = VmcsImage{};
        if (mode == ImageMode::Full) return full(image);
        if (mode == ImageMode::Difference) {
            if (!base) return fail("an image is a difference from nothing");
            image = *base;
            difference(image);
        }
    }

  private:
    void full(VmcsImage& image) {
        std::array<std::uint8_t, kStateBytes> states{};
        for (auto& b : states) b = static_cast<std::uint8_t>(byte());
        for (std::size_t i = 0; i < kFieldCount; ++i) {
            Value& v = image.at_index(i);
            v.state = static_cast<Known>((states[i / 4] >> (i % 4 * 2)) & 3);
            if (v.known()) number(v.bits);
        }
    }
    void difference(VmcsImage& image) {
        std::array<std::uint8_t, kMapBytes> changed{};
        for (auto& b : changed) b = static_cast<std::uint8_t>(byte());
        for (std::size_t i = 0; i < kFieldCount; ++i)
            if ((changed[i / 8] >> (i % 8)) & 1) value(image.at_index(i));
    }
    unsigned byte() {
        if (error_) return 0;
        if (at_ == in_.size()) {
            fail("the input ends too early");
            return 0;
        }
        return static_cast<unsigned>(in_[at_++]);
    }
    std::size_t count(std::size_t least) {
        std::uint64_t n = 0;
        number(n);
        if (error_) return 0;
        if (n > (in_.size() - at_) / least) {
            fail(fmt::format("{} items do not fit into what is left of the input", n));
            return 0;
        }
        return static_cast<std::size_t>(n);
    }
    void fail(std::string what) {
        if (!error_) error_ = DecodeError{std::move(what), at_};
    }

    std::span<const std::byte> in_;
    std::size_t at_ = 0;
    std::optional<DecodeError> error_;
};

static_assert(static_cast<int>(Known::Faulted) == 3, "states are stored in two bits");

template <typename Archive, typename C>
void context_fields(Archive& a, C& c) {
    const auto flag = [&a](auto& b) { a.flag(b); };
    const auto number = [&a](auto& n) { a.number(n); };
    for (auto* b : {&c.enable_ept, &c.nested_ept, &c.pae, &c.dirty_vmcs12, &c.evmcs}) a.optional(*b, flag);
    a.optional(c.evmcs_clean_fields, number);
    for (auto* b : {&c.from_vmentry, &c.pdptrs_from_userspace, &c.last_hw_exit_pae, &c.nested_run_pending,
                    &c.need_vmcs12_to_shadow_sync, &c.need_sync_vmcs02_to_vmcs12_rare, &c.vmx_fail})
        a.optional(*b, flag);
    for (auto* n : {&c.current_vmptr, &c.cr0, &c.cr3, &c.cr4, &c.efer}) a.optional(*n, number);
    for (auto* n : {&c.regs_avail, &c.regs_dirty, &c.hflags}) a.optional(*n, number);
    for (auto* n : {&c.cr0_guest_owned_bits, &c.cr4_guest_owned_bits, &c.l1_tsc_offset, &c.l1_tsc_scaling_ratio, &c.pat,
                    &c.dr7, &c.pre_vmenter_debugctl, &c.pre_vmenter_bndcfgs})
        a.optional(*n, number);
    for (auto* n : {&c.mp_state, &c.vpid, &c.vpid02}) a.optional(*n, number);
    for (auto* b : {&c.enable_shadow_vmcs, &c.enable_vpid, &c.enable_unrestricted_guest}) a.optional(*b, flag);
}

/// Every member of a Transition, in the order of the encoding. T is Transition for reading, const for writing.
template <typename Archive, typename T>
void fields(Archive& a, T& t) {
    a.number(t.seq);
    a.number(t.tsc);
    a.number(t.vcpu);
    a.enumeration(t.kind, Kind::NestedEntryFailed);
    for (auto* v : {&t.exit.reason, &t.exit.qualification, &t.exit.intr_info, &t.exit.intr_error_code,
                    &t.exit.instruction_length, &t.exit.guest_linear, &t.exit.guest_physical})
        a.value(*v);
    a.optional(t.status, [&a](auto& n) { a.number(n); });
    for (auto& v : t.regs) a.value(v);
    context_fields(a, t.context);
    a.image(t.vmcs01, nullptr);
    a.image(t.vmcs12_before, nullptr);
    a.image(t.vmcs12_after, &t.vmcs12_before);
    a.image(t.vmcs02_before, nullptr);
    a.image(t.vmcs02_after, &t.vmcs02_before);
    a.number(t.vmcs02_as_of);
    for (auto& v : t.cached_pdptrs) a.value(v);
    a.enumeration(t.evidence_scope, EvidenceScope::All);
    a.list(t.evidence, 5, [&a](auto& e) {
        a.enumeration(e.op, Evidence::Op::Vmwrite);
        a.number(e.encoding);
        a.value(e.value);
        a.text(e.at);
        a.flag(e.vmcs02);
    });
    a.text(t.kvm_reason);
    a.number(t.lost_before);
    a.list(t.notes, 1, [&a](auto& s) { a.text(s); });
}

}  // namespace

std::string encode(const Transition& t) {
    Writer w;
    w.number(kMagic);
    w.number(kVersion);
    w.number(field_list_id());
    fields(w, t);
    return w.take();
}

tl::expected<Transition, DecodeError> decode(std::span<const std::byte> bytes) {
    const auto refuse = [](std::string what) { return tl::unexpected(DecodeError{std::move(what), 0}); };
    Reader r(bytes);
    std::uint32_t magic = 0, list = 0;
    std::uint8_t version = 0;
    r.number(magic);
    r.number(version);
    r.number(list);
    if (r.error()) return tl::unexpected(*r.error());
    if (magic != kMagic) return refuse("this is not a transition");
    if (version != kVersion)
        return refuse(
            fmt::format("the transition has version {} of the encoding; this program knows {}", version, kVersion));
    if (list != field_list_id()) return refuse("the transition was made with another list of VMCS fields");
    Transition t;
    fields(r, t);
    r.expect_end();
    if (r.error()) return tl::unexpected(*r.error());
    return t;
}

}  // namespace vmxscope::nested
