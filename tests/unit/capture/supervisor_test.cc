// The supervisor of `run` with a clock and tries of the test's making.
#include "capture/run/supervisor.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

namespace kdk {
namespace {

using Kind = AttemptEvent::Kind;
using std::chrono::seconds;

// What a try does: events and how long each takes to come. When they are used up it hangs; told to stop, it
// says what `when_stopped` has, if anything.
struct Script {
  std::deque<std::pair<seconds, AttemptEvent>> events;
  std::deque<AttemptEvent> when_stopped;
  bool dies_when_killed = true;
};

class FakeHost : public RunHost {
 public:
  class FakeAttempt : public Attempt {
   public:
    FakeAttempt(FakeHost& host, Script script) : host_(host), script_(std::move(script)) {}
    std::optional<AttemptEvent> next(std::chrono::milliseconds longest) override {
      if (killed_ && script_.dies_when_killed) return AttemptEvent{Kind::ended, "killed by signal 9", 0};
      if (stopped_ && !script_.when_stopped.empty()) {
        const AttemptEvent event = script_.when_stopped.front();
        script_.when_stopped.pop_front();
        return event;
      }
      if (!stopped_ && !script_.events.empty() && waited_ + longest >= script_.events.front().first) {
        const AttemptEvent event = script_.events.front().second;
        host_.time += script_.events.front().first - waited_;
        waited_ = {};
        script_.events.pop_front();
        return event;
      }
      host_.time += longest;
      waited_ += longest;
      return std::nullopt;
    }
    void stop() override { stopped_ = true; }
    void kill() override { killed_ = true; }

   private:
    FakeHost& host_;
    Script script_;
    std::chrono::milliseconds waited_{0};
    bool stopped_ = false, killed_ = false;
  };

  std::vector<Caution> cautions() const {
    std::vector<Caution> all;
    for (const AttemptPlan& plan : plans) all.push_back(plan.caution);
    return all;
  }

  std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::time_point(time); }
  std::unique_ptr<Attempt> start(const AttemptPlan& plan) override {
    plans.push_back(plan);
    Script script;
    if (!scripts.empty()) {
      script = scripts.front();
      scripts.pop_front();
    }
    return std::make_unique<FakeAttempt>(*this, std::move(script));
  }
  void feed_watchdog() override { last_meal = time; }
  void say(const std::string& sentence) override { said += sentence + "\n"; }

  std::chrono::milliseconds time{0}, last_meal{0};
  std::deque<Script> scripts;
  std::vector<AttemptPlan> plans;
  std::string said;
};

AttemptEvent event(Kind kind, std::string text = {}, uint64_t amount = 0) {
  return {kind, std::move(text), amount};
}

struct Supervise : testing::Test {
  Supervise() {
    config.prepare_deadline = config.log_deadline = config.summary_deadline = seconds(60);
    config.dump_deadline = seconds(600);
    config.total_deadline = seconds(3000);
    config.stall = seconds(100);
    config.targets.resize(2);
    config.targets[0].path = "/first";
    config.targets[1].path = "/second";
  }

  RunResult run() { return supervise(config, host, stop); }

  // A try that saves everything.
  static Script good(const std::string& where) {
    return {{{seconds(1), event(Kind::stage, "prepare")},
             {seconds(1), event(Kind::stage, "log")},
             {seconds(5), event(Kind::stage, "dump")},
             {seconds(50), event(Kind::progress, "", 1)},
             {seconds(50), event(Kind::progress, "", 2)},
             {seconds(1), event(Kind::saved, where)},
             {seconds(0), event(Kind::ended)}},
            {},
            true};
  }

  RunConfig config;
  FakeHost host;
  std::atomic<bool> stop = false;
};

TEST_F(Supervise, TakesTheFirstTargetThatWorks) {
  host.scripts = {good("/first/x")};
  const RunResult result = run();
  EXPECT_EQ(result.saved, Saved::whole);
  EXPECT_EQ(result.where, "/first/x");
  EXPECT_EQ(host.plans.size(), 1);
  EXPECT_TRUE(result.history.empty());
}

TEST_F(Supervise, GoesOnAfterAFailureAndTellsTheNextOne) {
  host.scripts = {
      {{{seconds(1), event(Kind::failed, "No such device")}, {seconds(0), event(Kind::ended)}}, {}, true},
      good("/second/x")};
  const RunResult result = run();
  EXPECT_EQ(result.saved, Saved::whole);
  EXPECT_EQ(result.target, 1);
  ASSERT_EQ(host.plans.size(), 2);
  EXPECT_EQ(host.plans[1].history, std::vector<std::string>{"directory /first: No such device"});
  EXPECT_EQ(host.plans[1].caution, Caution::none);
}

TEST_F(Supervise, KeepsThePartWhenNothingBetterComes) {
  host.scripts = {{{{seconds(1), event(Kind::stage, "dump")},
                    {seconds(1), event(Kind::reason, "No space left on device")},
                    {seconds(0), event(Kind::cut, "/first/x.incomplete")},
                    {seconds(0), event(Kind::ended)}},
                   {},
                   true},
                  {{{seconds(1), event(Kind::failed, "no")}, {seconds(0), event(Kind::ended)}}, {}, true}};
  const RunResult result = run();
  EXPECT_EQ(result.saved, Saved::cut);
  EXPECT_EQ(result.where, "/first/x.incomplete");
  EXPECT_EQ(result.reasons, std::vector<std::string>{"No space left on device"});
  EXPECT_EQ(result.history.size(), 2);
}

// A crash of the program itself: once more, without what it may have died of.
TEST_F(Supervise, TriesCautiouslyAfterADeath) {
  host.scripts = {
      {{{seconds(1), event(Kind::stage, "scan")}, {seconds(1), event(Kind::ended, "killed by signal 11")}},
       {},
       true},
      good("/first/x")};
  EXPECT_EQ(run().saved, Saved::whole);
  ASSERT_EQ(host.plans.size(), 2);
  EXPECT_EQ(host.plans[1].caution, Caution::all_pages);
  EXPECT_EQ(host.plans[1].target, 0);

  // That is all that can be left undone.
  host.plans.clear();
  const Script dies = {{{seconds(1), event(Kind::ended, "killed by signal 11")}}, {}, true};
  host.scripts = {dies, dies, dies, good("/second/x")};
  EXPECT_EQ(run().where, "/second/x");
  EXPECT_EQ(host.cautions(),
            (std::vector{Caution::none, Caution::one_thread, Caution::all_pages, Caution::none}));
}

// Where memory ran out while the pages were written, choosing them was not what took it: fewer threads may
// do, and all memory of a large machine fits nowhere.
TEST_F(Supervise, TheStageOfADeathSaysWhatToLeave) {
  auto dies_in = [](const char* stage) {
    return Script{
        {{seconds(1), event(Kind::stage, stage)}, {seconds(1), event(Kind::ended, "killed by signal 9")}},
        {},
        true};
  };
  host.scripts = {dies_in("dump"), dies_in("crash"), good("/first/x")};
  EXPECT_EQ(run().where, "/first/x");
  EXPECT_EQ(host.cautions(), (std::vector{Caution::none, Caution::one_thread, Caution::no_diagnosis}));
  EXPECT_NE(host.said.find("saving to directory /first, cautiously: with one thread"), std::string::npos)
      << host.said;

  host.plans.clear();
  host.scripts = {dies_in("crash"), dies_in("dump"), dies_in("sync"), good("/second/x")};
  EXPECT_EQ(run().where, "/second/x");
  EXPECT_EQ(host.cautions(),
            (std::vector{Caution::none, Caution::no_diagnosis, Caution::all_pages, Caution::none}));
}

// The dump's data sends the diagnosis round and round: the same target, cautiously. A target that hangs: the
// next.
TEST_F(Supervise, StallsLeadToWhereTheyDoNotHappen) {
  host.scripts = {{{{seconds(1), event(Kind::stage, "crash")}}, {event(Kind::ended)}, true},
                  good("/first/x")};
  EXPECT_EQ(run().where, "/first/x");
  ASSERT_EQ(host.plans.size(), 2);
  EXPECT_EQ(host.plans[1].caution, Caution::no_diagnosis);
  EXPECT_EQ(host.plans[1].history,
            std::vector<std::string>{"directory /first: not done within 60 s (stage crash)"});

  host.plans.clear();
  host.scripts = {
      {{{seconds(1), event(Kind::stage, "dump")}, {seconds(10), event(Kind::progress, "", 7)}}, {}, true},
      good("/second/x")};
  EXPECT_EQ(run().where, "/second/x");
  ASSERT_EQ(host.plans.size(), 2);
  EXPECT_EQ(host.plans[1].caution, Caution::none);
  EXPECT_NE(host.said.find("no progress for 100 s (stage dump)"), std::string::npos) << host.said;
}

// The same number again is no progress.
TEST_F(Supervise, WatchdogStarvesWithoutProgress) {
  config.targets.resize(1);
  config.total_deadline = config.dump_deadline = seconds(100000);
  Script script = {
      {{seconds(1), event(Kind::stage, "dump")}, {seconds(40), event(Kind::progress, "", 7)}}, {}, false};
  for (int i = 0; i < 200; ++i) script.events.emplace_back(seconds(10), event(Kind::progress, "", 7));
  host.scripts = {script};
  const RunResult result = run();
  EXPECT_EQ(result.saved, Saved::nothing);
  EXPECT_LE(host.last_meal, seconds(41 + 100));
  EXPECT_GE(host.last_meal, seconds(41 + 98));
  EXPECT_NE(result.history.back().find("cannot even be killed"), std::string::npos);
}

TEST_F(Supervise, DumpDeadlineKeepsWhatIsWritten) {
  Script slow = {{{seconds(1), event(Kind::stage, "dump")}}, {}, true};
  for (uint64_t i = 1; i < 100; ++i) slow.events.emplace_back(seconds(50), event(Kind::progress, "", i));
  slow.when_stopped = {event(Kind::cut, "/first/x.incomplete"), event(Kind::ended)};
  host.scripts = {slow, good("/second/x")};
  const RunResult result = run();
  EXPECT_EQ(result.where, "/second/x");
  EXPECT_NE(host.said.find("not done within 600 s"), std::string::npos) << host.said;
}

TEST_F(Supervise, TotalDeadlineEndsEverything) {
  config.total_deadline = config.dump_deadline = seconds(300);
  Script slow = {{{seconds(1), event(Kind::stage, "dump")}}, {}, true};
  for (uint64_t i = 1; i < 100; ++i) slow.events.emplace_back(seconds(50), event(Kind::progress, "", i));
  slow.when_stopped = {event(Kind::cut, "/first/x.incomplete"), event(Kind::ended)};
  host.scripts = {slow, good("/second/x")};
  const RunResult result = run();
  EXPECT_EQ(result.saved, Saved::cut);
  EXPECT_EQ(host.plans.size(), 1) << "no time for the second target";
  EXPECT_LE(host.time, seconds(300 + 20));
}

TEST_F(Supervise, ASignalEndsItWithWhatIsWritten) {
  Script slow = {
      {{seconds(1), event(Kind::stage, "dump")}}, {event(Kind::cut, "/first/x"), event(Kind::ended)}, true};
  // It comes while the first try runs.
  slow.events.emplace_back(seconds(5), event(Kind::progress, "", 1));
  class SignalHost : public FakeHost {
   public:
    explicit SignalHost(std::atomic<bool>& flag) : flag_(flag) {}
    void feed_watchdog() override {
      if (time > seconds(3)) flag_ = true;
    }

   private:
    std::atomic<bool>& flag_;
  } signalled(stop);
  signalled.scripts = {slow, good("/second/x")};
  const RunResult result = supervise(config, signalled, stop);
  EXPECT_EQ(result.saved, Saved::cut);
  EXPECT_EQ(signalled.plans.size(), 1);
}

}  // namespace
}  // namespace kdk
