// Plugins that are in order are loaded; all others are refused with a sentence, and nothing of theirs is used.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "app/backends.h"
#include "core/plugins.h"

namespace vmxscope::core {
namespace {

namespace fs = std::filesystem;

/// A folder beside the plugins, where root may load from if it may there.
class PluginsTest : public testing::Test {
  protected:
    PluginsTest() {
        std::string name = std::string(PLUGINS) + "/../test-XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~PluginsTest() override { fs::remove_all(folder); }
    void SetUp() override {
        if (::geteuid() == 0 && !only_root_writes(folder)) GTEST_SKIP() << "root may load nothing from here";
    }
    void put(const std::string& plugin, const std::string& as) {
        fs::copy_file(fs::path(PLUGINS) / ("plugin_" + plugin + ".so"), folder / as);
    }
    /// The sentence with which it is refused.
    std::string why_not(const std::string& plugin) {
        Plugins plugins;
        plugins.load_file(fs::path(PLUGINS) / ("plugin_" + plugin + ".so"));
        EXPECT_TRUE(plugins.loaded().empty());
        EXPECT_TRUE(plugins.backends().list().empty());
        return plugins.refused().empty() ? "" : plugins.refused()[0].why;
    }

    fs::path folder;
};

TEST_F(PluginsTest, OneInOrderBringsItsTargets) {
    put("none", "a.so");
    std::ofstream(folder / "readme.txt") << "no plugin";
    Plugins plugins;
    plugins.load_folder(folder);
    ASSERT_EQ(plugins.loaded().size(), 1u);
    EXPECT_TRUE(plugins.refused().empty());
    const LoadedPlugin& p = plugins.loaded()[0];
    EXPECT_EQ(p.name, "faulty");
    EXPECT_EQ(p.schemes, std::vector<std::string>{"mine"});
    EXPECT_EQ(p.origin, (folder / "a.so").string());
    EXPECT_TRUE(p.abilities.has(Ability::Transitions));
    ASSERT_EQ(plugins.backends().list().size(), 1u);
    EXPECT_EQ(plugins.backends().attach("mine:1", nullptr).error().what, "There is nothing to attach to.");
}

TEST_F(PluginsTest, AnyOtherIsRefusedWithASentence) {
    EXPECT_NE(why_not("abi").find("speaks version 2 of the plugin interface, and this program version 1"), std::string::npos);
    EXPECT_NE(why_not("layout").find("headers that differ"), std::string::npos);
    EXPECT_NE(why_not("nameless").find("leaves out its name"), std::string::npos);
    EXPECT_NE(why_not("throws").find("a plugin's trouble"), std::string::npos);
    EXPECT_NE(why_not("other-scheme").find("serves other schemes"), std::string::npos);
    EXPECT_NE(why_not("symbolless").find("has no vmxscope_plugin"), std::string::npos);
}

TEST_F(PluginsTest, ASchemeHasOnePlugin) {
    put("none", "a.so");
    put("none", "b.so");
    Plugins plugins;
    plugins.load_folder(folder);
    EXPECT_EQ(plugins.loaded().size(), 1u);
    ASSERT_EQ(plugins.refused().size(), 1u);
    EXPECT_EQ(plugins.refused()[0].path, (folder / "b.so").string());
    EXPECT_NE(plugins.refused()[0].why.find("'mine:' is served by the plugin faulty already"), std::string::npos);
}

TEST_F(PluginsTest, WhatIsNoLibraryIsRefused) {
    std::ofstream(folder / "text.so") << "hello";
    fs::create_directory(folder / "folder.so");
    Plugins plugins;
    plugins.load_folder(folder);
    plugins.load_folder(folder / "nowhere");
    ASSERT_EQ(plugins.refused().size(), 2u);
    for (const RefusedPlugin& r : plugins.refused()) EXPECT_NE(r.why.find("cannot be loaded"), std::string::npos) << r.why;
}

TEST_F(PluginsTest, RootLoadsOnlyWhatRootAloneCanChange) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const auto refused = [&](const fs::path& file) {
        Plugins plugins;
        plugins.load_file(file);
        return plugins.loaded().empty() && plugins.refused().at(0).why.find("Others than root may change") != std::string::npos;
    };
    put("none", "a.so");
    EXPECT_FALSE(refused(folder / "a.so"));
    ASSERT_EQ(::chmod((folder / "a.so").c_str(), 0775), 0);
    EXPECT_TRUE(refused(folder / "a.so")) << "its group may write it";
    ASSERT_EQ(::chmod((folder / "a.so").c_str(), 0755), 0);
    ASSERT_EQ(::chmod(folder.c_str(), 0757), 0);
    EXPECT_TRUE(refused(folder / "a.so")) << "anybody may put another in its place";
    ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
    ASSERT_EQ(::chown((folder / "a.so").c_str(), 65534, 65534), 0);
    EXPECT_TRUE(refused(folder / "a.so")) << "its owner may";
    fs::create_symlink(folder / "a.so", folder / "link.so");
    EXPECT_TRUE(refused(folder / "link.so")) << "a link is as good as what it leads to";
}

TEST_F(PluginsTest, BuiltInOnesComeTheSameWay) {
    const Plugins plugins = app::load_plugins();
    for (const char* name : {"kvm", "lab", "remote", "replay"}) {
        const auto& all = plugins.loaded();
        const auto at = std::find_if(all.begin(), all.end(), [&](const LoadedPlugin& p) { return p.name == name; });
        ASSERT_NE(at, all.end()) << name;
        EXPECT_TRUE(at->origin.empty());
    }
    EXPECT_NE(plugins.backends().attach("nonsense:", nullptr).error().remedy.find("tcp:"), std::string::npos);
}

/// What the program prints with this in VMXSCOPE_PLUGIN_PATH.
std::string printed(const fs::path& folders, const std::string& arguments) {
    FILE* pipe = ::popen(("VMXSCOPE_PLUGIN_PATH=" + folders.string() + " " + VMXSCOPECTL + " " + arguments).c_str(), "r");
    std::string text;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
    ::pclose(pipe);
    return text;
}

TEST_F(PluginsTest, TheCommandLineListsWhatIsThereAndWhatWasRefused) {
    put("none", "a.so");
    put("abi", "b.so");
    const std::string text = printed(folder.string() + ":/nowhere", "plugins");
    for (const std::string& words : {std::string("built in"), (folder / "a.so").string(), "refused  " + (folder / "b.so").string(),
                                     std::string("interface"), std::string("tcp:, unix:")})
        EXPECT_NE(text.find(words), std::string::npos) << words << " in " << text;
    const std::string json = printed(folder, "plugins --json");
    EXPECT_NE(json.find("\"loaded\":false"), std::string::npos) << json;
    EXPECT_NE(printed(folder, "targets").find("mine:1"), std::string::npos);
}

}  // namespace
}  // namespace vmxscope::core
