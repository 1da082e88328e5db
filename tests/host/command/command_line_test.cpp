#include "host/command/command_line.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

TEST(ParseCommandLineTest, TakesNoSignForAnUnsignedNumber) {
  const auto parsed = [](std::vector<const char*> arguments) {
    CLI::App app("", "deadray");
    std::uint64_t seed = 7;
    app.add_subcommand("verify", "")->add_option("--seed", seed, "")->capture_default_str();
    arguments.insert(arguments.begin(), {"deadray", "verify"});
    parse_command_line(app, static_cast<int>(arguments.size()), arguments.data());
    return seed;
  };
  EXPECT_EQ(parsed({}), 7U);
  EXPECT_EQ(parsed({"--seed", "18446744073709551615"}), ~std::uint64_t{0});
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{"--seed", "-1"}, {"--seed=-1"}})
    EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { parsed(arguments); }),
                         "--seed: -1 is not an integer of at least 0"));
}

TEST(ParseCommandLineTest, NamesTheSubcommandsOfASubcommand) {
  const auto complaint = [](const char* word) {
    CLI::App app("", "deadray");
    CLI::App& bench = *app.add_subcommand("bench", "");
    bench.require_subcommand(1);
    for (const char* name : {"timing", "kernels"}) bench.add_subcommand(name, "");
    const std::vector<const char*> arguments{"deadray", "bench", word};
    return message_of(ExitCode::usage, [&] {
      parse_command_line(app, static_cast<int>(arguments.size()), arguments.data());
    });
  };
  EXPECT_EQ(complaint("nope"), "unknown subcommand nope; deadray bench has timing, kernels");
  EXPECT_EQ(complaint("timming"), "unknown subcommand timming; did you mean 'timing'?");
}

}  // namespace
}  // namespace deadray::test
