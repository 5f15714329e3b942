#include "core/rsp/endpoint.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "scripted_target.h"

namespace vmxscope::core::rsp {
namespace {

class EndpointFiles : public testing::Test {
  protected:
    ~EndpointFiles() override { test::remove_folder(folder); }
    Endpoint at(const std::string& name) const { return parse_endpoint("unix:" + folder + "/" + name).value(); }
    std::string folder = test::make_folder();
};

TEST(Endpoint, IsReadAsItIsWritten) {
    for (const char* text :
         {"tcp:127.0.0.1:4000", "tcp:localhost:1", "tcp:[::1]:65535", "unix:/run/a.sock", "unix:relative:with colon"})
        EXPECT_EQ(parse_endpoint(text).value().text(), text);
    EXPECT_EQ(parse_endpoint("tcp:[::1]:4000")->host, "::1");
}

TEST(Endpoint, EverythingElseIsAnErrorThatShowsTheForms) {
    for (const char* bad : {"", "tcp", "tcp:", "tcp:host", "tcp:host:", "tcp::4000", "tcp:host:65536", "tcp:host:-1",
                            "tcp:host:4000x", "tcp:::1:4000", "unix:", "lab:pae-ept", "/run/a.sock"}) {
        const auto parsed = parse_endpoint(bad);
        ASSERT_FALSE(parsed) << bad;
        EXPECT_NE(parsed.error().remedy.find("tcp:HOST:PORT"), std::string::npos);
    }
}

TEST_F(EndpointFiles, AUnixSocketIsOpenToOwnerAndGroupOnlyAndGoesWithItsListener) {
    const Endpoint endpoint = at("socket");
    {
        const auto listener = listen_on(endpoint);
        ASSERT_TRUE(listener) << listener.error().text();
        struct stat status {};
        ASSERT_EQ(::stat(endpoint.path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777, 0660u);
        EXPECT_TRUE(connect_to(endpoint, nullptr));
    }
    EXPECT_FALSE(std::filesystem::exists(endpoint.path));
}

TEST_F(EndpointFiles, AMovedListenerKeepsItsFile) {
    auto first = listen_on(at("first")).value();
    auto second = listen_on(at("second")).value();
    first = std::move(second);
    EXPECT_FALSE(std::filesystem::exists(at("first").path));
    EXPECT_TRUE(connect_to(at("second"), nullptr));
}

TEST_F(EndpointFiles, ASocketThatNobodyAnswersOnIsReplaced) {
    const Endpoint endpoint = at("stale");
    {
        auto listener = listen_on(endpoint);
        std::filesystem::rename(endpoint.path, endpoint.path + ".kept");  // survives its listener
    }
    std::filesystem::rename(endpoint.path + ".kept", endpoint.path);
    EXPECT_FALSE(connect_to(endpoint, nullptr));
    EXPECT_TRUE(listen_on(endpoint));
}

TEST_F(EndpointFiles, ASocketThatSomeoneAnswersOnIsLeftAlone) {
    const auto first = listen_on(at("socket"));
    const auto second = listen_on(at("socket"));
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().what.find("already listens"), std::string::npos);
    EXPECT_TRUE(connect_to(at("socket"), nullptr));
}

TEST_F(EndpointFiles, AnyOtherFileIsLeftAlone) {
    std::ofstream(at("file").path) << "precious";
    const auto listener = listen_on(at("file"));
    ASSERT_FALSE(listener);
    EXPECT_NE(listener.error().what.find("is not a socket"), std::string::npos);
    EXPECT_EQ(std::filesystem::file_size(at("file").path), 8u);
}

TEST_F(EndpointFiles, AGroupThatIsNotThereIsAnErrorAndLeavesNoFile) {
    const auto listener = listen_on(at("socket"), {.group = "no-such-group"});
    ASSERT_FALSE(listener);
    EXPECT_NE(listener.error().text().find("groupadd"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(at("socket").path));
}

TEST_F(EndpointFiles, APathTooLongForLinuxIsAnError) {
    EXPECT_NE(listen_on(at(std::string(200, 'a'))).error().what.find("longer than"), std::string::npos);
    EXPECT_NE(connect_to(at(std::string(200, 'a')), nullptr).error().what.find("longer than"), std::string::npos);
}

TEST_F(EndpointFiles, ConnectingToNobodySaysSo) {
    for (const Endpoint& nobody : {at("missing"), parse_endpoint("tcp:127.0.0.1:1").value()}) {
        const auto fd = connect_to(nobody, nullptr);
        ASSERT_FALSE(fd);
        EXPECT_NE(fd.error().what.find("Nobody listens on " + nobody.text()), std::string::npos) << fd.error().text();
        EXPECT_FALSE(fd.error().remedy.empty());
    }
}

TEST(Endpoint, TcpListensOnLoopbackAndTellsThePortItGot) {
    const auto listener = listen_on(parse_endpoint("tcp:127.0.0.1:0").value());
    ASSERT_TRUE(listener) << listener.error().text();
    EXPECT_NE(listener->endpoint().port, 0);
    EXPECT_TRUE(connect_to(listener->endpoint(), nullptr));
}

TEST(Endpoint, TcpOnOtherAddressesWantsTrust) {
    const auto all = parse_endpoint("tcp:0.0.0.0:0").value();
    const auto refused = listen_on(all);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().what.find("other machines"), std::string::npos);
    EXPECT_TRUE(listen_on(all, {.trust_network = true}));
}

}  // namespace
}  // namespace vmxscope::core::rsp
