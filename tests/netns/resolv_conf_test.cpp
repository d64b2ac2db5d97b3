#include "netns/resolv_conf.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

using namespace std::string_literals;
using testing::TemporaryDirectory;
using testing::write_text;

using Strings = std::vector<std::string>;

Strings server_texts(const ResolvConf& conf) {
  Strings texts;
  for (const Nameserver& s : conf.nameservers) {
    texts.push_back(to_string(s.address) + (s.scope.empty() ? "" : "%" + s.scope));
  }
  return texts;
}

struct Case {
  std::string what;
  std::string text;
  Strings servers;
  Strings search;
};

TEST_CASE("resolv.conf is parsed") {
  const std::vector<Case> cases = {
      {"empty", "", {}, {}},
      {"only newlines", "\n\n\n", {}, {}},
      {"plain", "nameserver 1.2.3.4\n", {"1.2.3.4"}, {}},
      {"no newline at the end", "nameserver 1.2.3.4", {"1.2.3.4"}, {}},
      {"CRLF", "nameserver 1.2.3.4\r\nsearch a b\r\n", {"1.2.3.4"}, {"a", "b"}},
      {"tabs", "nameserver\t1.2.3.4\t\nsearch\ta\tb\n", {"1.2.3.4"}, {"a", "b"}},
      {"leading blanks", "  nameserver 1.2.3.4\n", {"1.2.3.4"}, {}},
      {"trailing comment", "nameserver 1.2.3.4 # mine\nsearch a ; b\n", {"1.2.3.4"}, {"a"}},
      {"comments", "# nameserver 1.1.1.1\n;nameserver 2.2.2.2\n#nameserver 3.3.3.3\n", {}, {}},
      {"IPv6", "nameserver 2001:db8::53\nnameserver ::1\n", {"2001:db8::53", "::1"}, {}},
      {"scope", "nameserver fe80::1%eth0\nnameserver fe80::2%3\n", {"fe80::1%eth0", "fe80::2%3"}, {}},
      {"empty scope", "nameserver fe80::1%\n", {}, {}},
      {"scope that is too long", "nameserver fe80::1%abcdefghijklmnop\n", {}, {}},
      {"scope with a slash", "nameserver fe80::1%../x\n", {}, {}},
      {"scope on IPv4", "nameserver 1.2.3.4%eth0\n", {}, {}},
      {"one server, two scopes",
       "nameserver fe80::1%a\nnameserver fe80::1%b\n",
       {"fe80::1%a", "fe80::1%b"},
       {}},
      {"bad addresses",
       "nameserver\nnameserver \nnameserver 1.2.3\nnameserver 1.2.3.4.5\nnameserver 256.1.1.1\nnameserver "
       "example.org\n"
       "nameserver 1.2.3.4:53\nnameserver [::1]\nnameserver ::g\n",
       {},
       {}},
      {"keyword must stand alone", "nameserver1.2.3.4\nnameservers 1.2.3.4\nsearchx a\n", {}, {}},
      {"keywords are lower case", "NAMESERVER 1.2.3.4\n", {}, {}},
      {"garbage", "\0\xff\x01 nameserver 1.1.1.1\n%%%\nnameserver 2.2.2.2\n"s, {"2.2.2.2"}, {}},
      {"other keywords", "options ndots:5 edns0\nsortlist 1.2.3.4\nnameserver 5.6.7.8\n", {"5.6.7.8"}, {}},
      {"repeated server",
       "nameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 2.2.2.2\n",
       {"1.1.1.1", "2.2.2.2"},
       {}},
      {"three per family, order kept",
       "nameserver 1.1.1.1\nnameserver ::1\nnameserver 1.1.1.2\nnameserver ::2\nnameserver ::3\nnameserver "
       "::4\n"
       "nameserver 1.1.1.3\nnameserver 1.1.1.4\n",
       {"1.1.1.1", "::1", "1.1.1.2", "::2", "::3", "1.1.1.3"},
       {}},
      {"last search wins", "search a b\nsearch c\n", {}, {"c"}},
      {"domain after search wins", "search a b\ndomain c d\n", {}, {"c"}},
      {"search after domain wins", "domain c\nsearch a b\n", {}, {"a", "b"}},
      {"empty search wins too", "search a\nsearch\n", {}, {}},
      {"the root is nothing to search", "search .\n", {}, {}},
      {"domain that is too long", "search " + std::string(254, 'x') + " ok\n", {}, {"ok"}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    const ResolvConf conf = parse_resolv_conf(c.text);
    CHECK(server_texts(conf) == c.servers);
    CHECK(conf.search == c.search);
  }
}

TEST_CASE("text beyond 64 KiB is not looked at") {
  const std::string server = "nameserver 1.2.3.4\n";
  std::string text(kMaxResolvConfSize - server.size(), '\n');
  CHECK(parse_resolv_conf(text + server).nameservers.size() == 1);
  CHECK(parse_resolv_conf(text + "\n" + "nameserver 1.2.3.4\n").nameservers.size() ==
        1);  // only the newline is cut
  CHECK(parse_resolv_conf(text + "\n\n\n\n\n\n\n\n\n\n" + server).nameservers.empty());
}

TEST_CASE("resolv.conf is loaded from a regular file of at most 64 KiB only") {
  const TemporaryDirectory directory;
  const std::string file = directory.file("resolv.conf");

  CHECK(load_resolv_conf(file).error().code == ENOENT);

  write_text(file, "nameserver 1.2.3.4\n");
  auto loaded = load_resolv_conf(file);
  REQUIRE(loaded);
  CHECK(server_texts(*loaded) == Strings{"1.2.3.4"});

  write_text(file, std::string(kMaxResolvConfSize, '\n'));
  CHECK(load_resolv_conf(file));
  write_text(file, std::string(kMaxResolvConfSize + 1, '\n'));
  loaded = load_resolv_conf(file);
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message().starts_with("cannot use " + file + " (more than 65536 bytes)"));

  const std::string fifo = directory.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  loaded = load_resolv_conf(fifo);  // must not wait for a writer
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message() == "cannot use " + fifo + " (not a regular file)");
  CHECK_FALSE(load_resolv_conf("/dev/zero"));
  CHECK_FALSE(load_resolv_conf("/"));
}

TEST_CASE("a scope is an interface's name or number") {
  CHECK(resolve_scope("lo") == 1);
  CHECK(resolve_scope("7") == 7);
  CHECK(resolve_scope("") == 0);
  CHECK(resolve_scope("7x") == 0);
  CHECK(resolve_scope("no-such-if") == 0);
  CHECK(resolve_scope("99999999999") == 0);
}

TEST_CASE("the guest's file has our name server and the host's other lines") {
  const struct {
    std::string what;
    std::string text;
    std::string others;
  } rows[] = {
      {"empty", "", ""},
      {"name servers only", "nameserver 1.2.3.4\nnameserver ::1\n", ""},
      {"indented, with tabs", " \tnameserver\t1.2.3.4\nsearch a.test\n", "search a.test\n"},
      {"others", "# by hand\nsearch a.test b.test\nnameserver 1.2.3.4\noptions ndots:5\n",
       "# by hand\nsearch a.test b.test\noptions ndots:5\n"},
      {"no newline at the end", "nameserver 1.2.3.4\ndomain a.test", "domain a.test\n"},
      {"only a beginning in common", "nameservers 1\n#nameserver 1.2.3.4\n",
       "nameservers 1\n#nameserver 1.2.3.4\n"},
  };
  const std::vector<sys::IpAddress> one = {sys::make_ipv4(10, 0, 2, 3)};
  const std::vector<sys::IpAddress> both = {sys::make_ipv4(10, 0, 2, 3), *sys::parse_ip("fd00::3")};
  for (const auto& row : rows) {
    CAPTURE(row.what);
    CHECK(with_nameservers(row.text, one) == "nameserver 10.0.2.3\n" + row.others);
    CHECK(with_nameservers(row.text, both) == "nameserver 10.0.2.3\nnameserver fd00::3\n" + row.others);
  }
}

}  // namespace
}  // namespace l4n::netns
