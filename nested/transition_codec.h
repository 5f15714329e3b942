// The one encoding of a Transition: on the wire (qXfer:vmx:transition), in traces. Little-endian, versioned,
// bounds-checked on the way in: the input is an enemy's.
#pragma once

#include <span>
#include <string>

#include <tl/expected.hpp>

#include "nested/transition.h"

namespace vmxscope::nested {

std::string encode(const Transition& t);
/// Fails on a wrong version, a short or overlong input, an impossible count or enumerator. Never allocates more than
/// a small multiple of the input's size.
tl::expected<Transition, DecodeError> decode(std::span<const std::byte> bytes);

}  // namespace vmxscope::nested
