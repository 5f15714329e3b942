#include "plugins/remote/target_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <pugixml.hpp>

namespace vmxscope::remote {

namespace {

using core::Result;

std::optional<std::size_t> number(const pugi::xml_attribute& attribute) {
    const std::string_view text = attribute.value();
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

class Reader {
  public:
    explicit Reader(const ReadDocument& read) : read_(read) {}

    Result<void> document(const std::string& name) {
        if (++documents_ > kMostDocuments)
            return core::fail(
                fmt::format("The description of the registers is of more than {} documents.", kMostDocuments));
        const auto text = read_(name);
        if (!text) return tl::unexpected(text.error());
        pugi::xml_document xml;
        const auto parsed = xml.load_buffer(text->data(), std::min(text->size(), kMostXml));
        if (!parsed || text->size() > kMostXml)
            return core::fail(fmt::format("The description of the registers, {}, is no XML: {} at byte {}.", name,
                                          parsed.description(), parsed.offset));
        const pugi::xml_node root = xml.document_element();
        // An included document is a feature, the first one a target that holds features.
        if (std::string_view(root.name()) == "feature") return feature(root);
        for (const pugi::xml_node& child : root.children()) {
            const std::string_view kind = child.name();
            Result<void> done;
            if (kind == "architecture") architecture_ = child.text().get();
            if (kind == "feature") done = feature(child);
            if (kind == "xi:include") done = document(child.attribute("href").value());
            if (!done) return done;
        }
        return {};
    }

    /// `g` gives them by number; one without a number follows the one before it.
    Result<TargetDescription> finish() && {
        TargetDescription all{std::move(architecture_), {}};
        for (auto& [n, shape] : by_number_) all.registers.push_back(std::move(shape));
        if (all.registers.empty()) return core::fail("The description of the registers names none.");
        return all;
    }

  private:
    Result<void> feature(const pugi::xml_node& node) {
        for (const pugi::xml_node& child : node.children()) {
            Result<void> done;
            if (std::string_view(child.name()) == "reg") done = one_register(child);
            if (std::string_view(child.name()) == "xi:include") done = document(child.attribute("href").value());
            if (!done) return done;
        }
        return {};
    }

    Result<void> one_register(const pugi::xml_node& node) {
        const std::string name = node.attribute("name").value();
        const auto bits = number(node.attribute("bitsize"));
        const auto said = node.attribute("regnum");
        const auto at = said ? number(said) : std::optional(next_);
        if (name.empty() || !bits || *bits == 0 || *bits % 8 != 0 || *bits / 8 > kMostRegisterBytes || !at ||
            *at >= kMostRegisters)
            return core::fail(fmt::format("The description of the register '{}' makes no sense.", name.substr(0, 100)));
        if (!by_number_.emplace(*at, RegisterShape{name, *bits / 8}).second)
            return core::fail(fmt::format("Two registers have the number {}.", *at));
        next_ = *at + 1;
        return {};
    }

    const ReadDocument& read_;
    std::string architecture_;
    std::map<std::size_t, RegisterShape> by_number_;
    std::size_t next_ = 0, documents_ = 0;
};

}  // namespace

Result<TargetDescription> read_description(const ReadDocument& read) {
    Reader reader(read);
    if (auto done = reader.document("target.xml"); !done) return tl::unexpected(done.error());
    return std::move(reader).finish();
}

}  // namespace vmxscope::remote
