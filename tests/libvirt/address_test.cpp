// How a domain is named.
#include "plugins/libvirt/address.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace vmxscope::libvirt {
namespace {

const std::string kDefault{kSystem};

TEST(Address, OfTheDefaultConnectionOrOfAnother) {
    EXPECT_EQ(*parse_address("l1", kDefault), (Address{kDefault, "l1", Way::Best}));
    EXPECT_EQ(*parse_address("qemu+ssh://root@host/system#l1", kDefault),
              (Address{"qemu+ssh://root@host/system", "l1", Way::Best}));
    EXPECT_EQ(*parse_address("qemu:///session?socket=/a/b#l1?stub", kDefault),
              (Address{"qemu:///session?socket=/a/b", "l1", Way::Stub}));
}

TEST(Address, ADomainsNameMayHaveAnything) {
    EXPECT_EQ(parse_address("a#b", kDefault)->domain, "a#b");
    EXPECT_EQ(parse_address("test:///default#a#b", kDefault)->domain, "a#b");
    EXPECT_EQ(*parse_address("what?agent", kDefault), (Address{kDefault, "what", Way::Agent}));
    EXPECT_EQ(*parse_address("what?", kDefault), (Address{kDefault, "what?", Way::Best}));
}

TEST(Address, NoDomainIsAnErrorThatShowsTheForms) {
    for (const char* text : {"", "?stub", "qemu:///system#", "test:///default#?agent"}) {
        const auto address = parse_address(text, kDefault);
        ASSERT_FALSE(address) << text;
        EXPECT_NE(address.error().remedy.find("libvirt:URI#DOMAIN"), std::string::npos);
    }
    EXPECT_FALSE(parse_address(std::string(10'000, 'x'), kDefault));
}

TEST(Address, ItsTextLeadsBack) {
    for (const Address& a : {Address{kDefault, "l1", Way::Best}, Address{"qemu:///session", "l 1", Way::Stub},
                             Address{"qemu+tls://h/system", "x#y", Way::Agent}}) {
        const std::string text = text_of(a);
        ASSERT_TRUE(text.starts_with("libvirt:"));
        EXPECT_EQ(*parse_address(std::string_view(text).substr(8), kDefault), a) << text;
    }
}

TEST(Address, AUriWithoutAHostIsOfThisMachine) {
    for (const char* uri : {"qemu:///system", "qemu+unix:///session?socket=/a", "test:///default", "qemu:///system#x"})
        EXPECT_TRUE(is_local(uri)) << uri;
    for (const char* uri : {"qemu+ssh://h/system", "qemu+tcp://localhost:1/system", "qemu://user@h"})
        EXPECT_FALSE(is_local(uri)) << uri;
}

TEST(Address, TheConnectionIsChosenByTheEnvironment) {
    ::unsetenv("VMXSCOPE_LIBVIRT_URI");
    ::unsetenv("LIBVIRT_DEFAULT_URI");
    EXPECT_EQ(default_uri().uri, kSystem);
    EXPECT_FALSE(default_uri().asked_for);
    ::setenv("LIBVIRT_DEFAULT_URI", "qemu:///session", 1);
    EXPECT_EQ(default_uri().uri, "qemu:///session");
    ::setenv("VMXSCOPE_LIBVIRT_URI", "test:///default", 1);
    EXPECT_EQ(default_uri().uri, "test:///default");
    EXPECT_TRUE(default_uri().asked_for);
    ::unsetenv("VMXSCOPE_LIBVIRT_URI");
    ::unsetenv("LIBVIRT_DEFAULT_URI");
}

}  // namespace
}  // namespace vmxscope::libvirt
