#include "netns/user_namespace.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryDirectory;
using testing::write_text;

struct Setting {
  std::string name;
  std::string value;
};

// A /proc/sys that has just these settings.
void write_settings(const TemporaryDirectory& directory, const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    const fs::path file = directory.file(setting.name);
    fs::create_directories(file.parent_path());
    write_text(file.string(), setting.value + "\n");
  }
}

TEST_CASE("the setting that forbids namespaces is named") {
  const std::string clone = "kernel/unprivileged_userns_clone";
  const std::string apparmor = "kernel/apparmor_restrict_unprivileged_userns";
  const std::string users = "user/max_user_namespaces";
  const std::string nets = "user/max_net_namespaces";
  const struct {
    std::string what;
    int code;
    std::vector<Setting> settings;
    std::string begin;
  } rows[] = {
      {"Debian",
       EPERM,
       {{clone, "0"}},
       "the setting kernel.unprivileged_userns_clone = 0 forbids it; "
       "`sysctl -w kernel.unprivileged_userns_clone=1` as root allows it"},
      {"Ubuntu",
       EPERM,
       {{apparmor, "1"}, {clone, "1"}, {users, "100"}},
       "the setting kernel.apparmor_restrict_unprivileged_userns = 1 forbids it; "
       "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root allows it"},
      {"Ubuntu, refused later",
       EACCES,
       {{apparmor, "1"}},
       "the setting kernel.apparmor_restrict_unprivileged_userns = 1 "},
      {"no user namespaces",
       ENOSPC,
       {{users, "0"}, {nets, "9"}},
       "the setting user.max_user_namespaces = 0 forbids it; `sysctl -w user.max_user_namespaces=15000` "},
      {"no network namespaces",
       ENOSPC,
       {{users, "9"}, {nets, "0"}},
       "the setting user.max_net_namespaces = 0 "},
      {"all used up", ENOSPC, {{users, "9"}, {nets, "9"}}, "as many namespaces exist as "},
      {"none of these", EPERM, {{clone, "1"}, {apparmor, "0"}, {users, "0"}}, "no setting known to us "},
      {"settings cannot be read", EPERM, {}, "no setting known to us "},
      {"too deep", EUSERS, {}, "user namespaces are nested too deeply"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    const TemporaryDirectory directory;
    write_settings(directory, row.settings);
    const std::string advice = namespace_advice(row.code, directory.file("."));
    CAPTURE(advice);
    CHECK(advice.starts_with(row.begin));
  }
}

TEST_CASE("no advice where the cause lies elsewhere") {
  const TemporaryDirectory directory;
  write_settings(directory, {{"user/max_user_namespaces", "0"}});
  CHECK(namespace_advice(ENOMEM, directory.file(".")).empty());
  CHECK(namespace_advice(0, directory.file(".")).empty());
}

}  // namespace
}  // namespace l4n::netns
