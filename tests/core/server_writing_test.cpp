// Writing into the guest, packet by packet, and the ledger of it.
#include "core/rsp/objects.h"
#include "server_fixture.h"

namespace vmxscope::core::rsp {
namespace {

using test::RawClient;

constexpr std::string_view kNotAllowed =
    "E.Nothing can be written: vmxscope only looks, unless it is told otherwise. Start the agent with --allow-writes.";

class Writing : public test::Served {
  protected:
    Writing() { script->abilities = {Ability::Transitions, Ability::Write}; }
    RawClient attached() {
        RawClient client = connect();
        client.ask("?");
        return client;
    }
};

TEST_F(Writing, IsOffUnlessTheTargetAllowsIt) {
    script->abilities = {Ability::Transitions};
    RawClient client = attached();
    EXPECT_EQ(client.ask("M400000,1:00"), kNotAllowed);
    EXPECT_EQ(client.ask("QVmxWrite:memory/0/l2-linear/400000/00"), kNotAllowed);
    EXPECT_EQ(client.ask("QVmxWrite:field/0/vmcs12/6802/3000"), kNotAllowed);
    EXPECT_EQ(client.ask("qXfer:vmx:read:ledger:0,1000"), "l[]");
    EXPECT_EQ(monitor(client, "ledger"), "Nothing has been written.\n");
}

TEST_F(Writing, MemoryIsWrittenInTheSpaceThatIsRead) {
    RawClient client = attached();
    EXPECT_EQ(client.ask("M400000,3:0a0b0c"), "OK");
    EXPECT_EQ(client.ask("m400000,3"), "0a0b0c");
    EXPECT_EQ(client.ask("X400001,0:"), "OK");  // gdb asks whether it may
    EXPECT_EQ(client.ask("X400001,2:#$"), "OK");
    EXPECT_EQ(client.ask("m400000,3"), "0a2324");
    EXPECT_EQ(client.ask("QVmxWrite:memory/0/l1-linear/400002/ff"), "OK");
    EXPECT_EQ(client.ask("m400000,3"), "0a23ff");
    EXPECT_EQ(client.ask("QVmxWrite:memory/0/l2-phys/400002/00"), "OK");
    EXPECT_EQ(client.ask("m400000,3"), "0a23ff");  // another space
    EXPECT_EQ(client.ask("M1000,1:00"), "E.The l1-linear address 0x1000 is not mapped.");
    for (const char* bad : {"M", "M400000", "M400000,2:00", "M400000,1:0", "M400000,1:xx", "Mx,1:00", "X400000,5:12",
                            "M400000,ffffffffffffffff:00"})
        EXPECT_TRUE(client.ask(bad).starts_with("E.")) << bad;
}

TEST_F(Writing, FieldsAreWrittenAsRegistersOrByName) {
    RawClient client = attached();
    client.ask("vCont;s:p1.1");
    EXPECT_EQ(client.ask("QVmxWrite:field/0/vmcs12/6802/7000"), "OK");
    EXPECT_EQ(client.ask("QVmxWrite:field/1/vmcs02/681e/ffffffff81000000"), "OK");
    const auto ledger = parse_ledger(client.ask("qXfer:vmx:read:ledger:0,10000").substr(1));
    ASSERT_TRUE(ledger) << ledger.error().what;
    ASSERT_EQ(ledger->size(), 2u);
    EXPECT_EQ(ledger->at(0).what, "vmcs12 GUEST_CR3");
    EXPECT_EQ(ledger->at(0).seq, 1u);
    EXPECT_EQ(ledger->at(0).wanted, (std::vector<std::byte>{std::byte{0}, std::byte{0x70}, {}, {}, {}, {}, {}, {}}));
    EXPECT_EQ(ledger->at(1).vcpu, 1u);
    EXPECT_EQ(ledger->at(1).what, "vmcs02 GUEST_RIP");
    EXPECT_EQ(monitor(client, "ledger").substr(0, 70), "  1  vCPU 0, transition 1: vmcs12 GUEST_CR3: 0000000000000000 -> 00700");
    for (const char* bad :
         {"", "field", "field/0/vmcs12/6802", "field/0/vmcs01/6802/1", "field/0/vmcs12/ffff/1", "field/0/vmcs12/16802/1",
          "field/9/vmcs12/6802/1", "field/x/vmcs12/6802/1", "field/0/vmcs12/6802/10000000000000000", "memory/0/l3/400000/00",
          "memory/0/l1-phys/400000/", "memory/0/l1-phys/400000/0", "memory/0/l1-phys/zz/00", "poetry/0/l1-phys/1/00"})
        EXPECT_TRUE(client.ask(fmt::format("QVmxWrite:{}", bad)).starts_with("E.")) << bad;
}

TEST_F(Writing, GdbsRegistersAreRefusedButForFields) {
    RawClient client = attached();
    EXPECT_EQ(client.ask("P10=0000000000000000"),
              "E.This register cannot be written: KVM has the guest's registers in a cache of its own. Fields of vmcs12 and vmcs02 "
              "can be, and memory.");
    EXPECT_EQ(client.ask("G0000"), "E.Registers are written one by one, and only fields of vmcs12 and vmcs02.");
    EXPECT_EQ(client.ask("Pffff=00"), "E.There is no register 'ffff'.");
    EXPECT_EQ(client.ask("P"), "E.There is no register ''.");
    EXPECT_EQ(client.ask("P10"), client.ask("P10=00"));
}

}  // namespace
}  // namespace vmxscope::core::rsp
