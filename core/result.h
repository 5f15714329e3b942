// What every fallible function of core and above returns: the value, or what went wrong and what to do about it.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace vmxscope::core {

struct Error {
    std::string what;    // one clear sentence, naming the thing: "No lab is called 'pea-ept'."
    std::string remedy;  // what the user can do: "See the names with: vmxscopectl lab list." May be empty.
    std::string text() const { return remedy.empty() ? what : what + " " + remedy; }
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string what, std::string remedy = {}) {
    return tl::unexpected<Error>(Error{std::move(what), std::move(remedy)});
}

}  // namespace vmxscope::core
