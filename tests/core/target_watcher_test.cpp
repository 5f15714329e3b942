// Lists of targets that keep themselves up to date.
#include "core/target_watcher.h"

#include <gtest/gtest.h>

#include <atomic>

namespace vmxscope::core {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

/// Lists what the test put into it, and tells of changes if it is one that can.
class Shelf : public Backend {
  public:
    struct Contents {
        std::mutex mutex;
        std::vector<std::string> uris;
        std::function<void()> changed;
        bool tells = true;
        std::atomic<int> asked = 0;
        std::atomic<bool> watched = false;
    };
    explicit Shelf(Contents& contents) : contents_(contents) {}
    std::string_view scheme() const override { return "shelf"; }
    std::vector<TargetName> list() override {
        ++contents_.asked;
        const std::lock_guard lock(contents_.mutex);
        std::vector<TargetName> all;
        for (const auto& uri : contents_.uris) all.push_back({uri, "", true, ""});
        return all;
    }
    std::unique_ptr<Watch> watch(std::function<void()> changed) override {
        if (!contents_.tells) return nullptr;
        struct Ours : Watch {
            explicit Ours(Contents& c) : contents(c) { contents.watched = true; }
            ~Ours() override { contents.watched = false; }
            Contents& contents;
        };
        contents_.changed = std::move(changed);
        return std::make_unique<Ours>(contents_);
    }
    Result<std::unique_ptr<Target>> attach(std::string_view, const Progress&) override {
        return fail("A shelf holds no guests.");
    }

  private:
    Contents& contents_;
};

class Watcher : public ::testing::Test {
  protected:
    Watcher() { backends.add(std::make_unique<Shelf>(shelf)); }
    void put(std::vector<std::string> uris) {
        const std::lock_guard lock(shelf.mutex);
        shelf.uris = std::move(uris);
    }
    TargetWatcher::Changed note() {
        return [this](const std::vector<TargetName>& now) {
            const std::lock_guard lock(mutex);
            seen.emplace_back();
            for (const TargetName& t : now) seen.back().push_back(t.uri);
            came.notify_all();
        };
    }
    bool came_to(std::size_t lists) {
        std::unique_lock lock(mutex);
        return came.wait_for(lock, std::chrono::seconds(60), [&] { return seen.size() >= lists; });
    }

    Shelf::Contents shelf;
    Backends backends;
    std::mutex mutex;
    std::condition_variable came;
    std::vector<std::vector<std::string>> seen;
};

using Lists = std::vector<std::vector<std::string>>;

TEST_F(Watcher, GivesTheListAsItIsAndThenWhatItIsToldOf) {
    put({"shelf:a"});
    {
        TargetWatcher watcher(backends, note(), hours(1));
        ASSERT_TRUE(came_to(1));
        put({"shelf:a", "shelf:b"});
        shelf.changed();
        ASSERT_TRUE(came_to(2));
        EXPECT_TRUE(shelf.watched);
    }
    EXPECT_FALSE(shelf.watched);
    EXPECT_EQ(seen, (Lists{{"shelf:a"}, {"shelf:a", "shelf:b"}}));
}

TEST_F(Watcher, AsksAgainWhereNobodyTells) {
    shelf.tells = false;
    TargetWatcher watcher(backends, note(), milliseconds(5));
    ASSERT_TRUE(came_to(1));
    put({"shelf:new"});
    ASSERT_TRUE(came_to(2));
    const std::lock_guard lock(mutex);
    EXPECT_EQ(seen, (Lists{{}, {"shelf:new"}}));
}

TEST_F(Watcher, WhatHasNotChangedIsNotGivenAgain) {
    {
        TargetWatcher watcher(backends, note(), milliseconds(1));
        ASSERT_TRUE(came_to(1));
        const int before = shelf.asked;
        while (shelf.asked < before + 20) std::this_thread::yield();
    }
    EXPECT_EQ(seen.size(), 1U);
}

TEST_F(Watcher, PausedItLooksAtNothingButWhenAskedAndGoesOnWithTheListAnew) {
    TargetWatcher watcher(backends, note(), milliseconds(1));
    ASSERT_TRUE(came_to(1));
    watcher.pause(true);
    watcher.refresh();
    ASSERT_TRUE(came_to(2));
    watcher.pause(false);
    ASSERT_TRUE(came_to(3));
}

}  // namespace
}  // namespace vmxscope::core
