#include "plugins/libvirt/domain_xml.h"

#include <fmt/format.h>

#include <charconv>
#include <pugixml.hpp>

namespace vmxscope::libvirt {
namespace {

unsigned number(std::string_view text) {
    unsigned n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    return error == std::errc{} && end == text.data() + text.size() ? n : 0;
}

/// Attributes that say which namespace an element is of: xmlns="…", or xmlns:prefix="…" with its prefix.
bool is_mark(const pugi::xml_node& node) {
    const std::string_view name = node.name();
    const std::size_t colon = name.find(':');
    const std::string attribute =
        colon == std::string_view::npos ? "xmlns" : fmt::format("xmlns:{}", name.substr(0, colon));
    return std::string_view(node.attribute(attribute.c_str()).value()) == kMarkUri;
}

void take_cpu(const pugi::xml_node& cpu, DomainFacts& facts) {
    if (!cpu) return;
    facts.cpu_mode = cpu.attribute("mode").as_string("custom");
    facts.cpu_model = cpu.child("model").text().get();
    for (const pugi::xml_node feature : cpu.children("feature")) {
        const std::string_view name = feature.attribute("name").value();
        if (name == "vmx") facts.vmx = feature.attribute("policy").as_string("require");
        if (name == "svm") facts.svm = feature.attribute("policy").as_string("require");
    }
}

}  // namespace

core::Result<DomainFacts> parse_domain(std::string_view xml) {
    if (xml.size() > kMostXml)
        return core::fail(fmt::format("The domain's XML is longer than {} MiB.", kMostXml >> 20));
    pugi::xml_document document;
    const auto parsed = document.load_buffer(xml.data(), xml.size());
    const pugi::xml_node domain = document.child("domain");
    if (!parsed || !domain)
        return core::fail(fmt::format("The domain's XML cannot be read: {}.",
                                      parsed ? "there is no <domain> in it" : parsed.description()));
    DomainFacts facts;
    facts.name = domain.child("name").text().get();
    facts.uuid = domain.child("uuid").text().get();
    facts.type = domain.attribute("type").value();
    facts.arch = domain.child("os").child("type").attribute("arch").value();
    const pugi::xml_node vcpu = domain.child("vcpu");
    const pugi::xml_attribute current = vcpu.attribute("current");
    facts.vcpus = number(current ? current.value() : vcpu.text().get());
    take_cpu(domain.child("cpu"), facts);
    for (const pugi::xml_node arg : domain.child("qemu:commandline").children("qemu:arg"))
        facts.cpu_by_hand |= std::string_view(arg.attribute("value").value()) == "-cpu";
    for (const pugi::xml_node own : domain.child("metadata").children()) {
        if (!is_mark(own)) continue;
        facts.marked = true;
        facts.marked_paused = own.attribute("paused").as_bool();
    }
    if (facts.name.empty()) return core::fail("The domain's XML gives no name.");
    return facts;
}

}  // namespace vmxscope::libvirt
