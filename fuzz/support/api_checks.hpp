// What holds of every reply of the API socket, and forwards that are only kept in a list.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/api_protocol.hpp"
#include "fuzz/engine/random.hpp"
#include "nat/forward.hpp"
#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// Takes every rule but those whose host port is taken.
class ListedForwards final : public nat::ForwardControl {
 public:
  sys::Result<nat::Forward> add(const nat::ForwardRule& rule) override;
  bool remove(std::uint32_t id) noexcept override;
  [[nodiscard]] std::vector<nat::Forward> list() const override { return forwards_; }

 private:
  std::vector<nat::Forward> forwards_;
  std::uint32_t last_id_ = 0;
};

// Requests of a guest with both families, without a log.
class ApiAnswerer {
 public:
  [[nodiscard]] std::string answer(std::string_view request);
  [[nodiscard]] const ListedForwards& forwards() const noexcept { return forwards_; }

 private:
  ListedForwards forwards_;
  sys::Log log_{-1, sys::LogLevel::error};
};

// A request, and how its client says it.
struct ApiRequest {
  std::string text;
  std::size_t piece = 4096;  // bytes per write
  bool half_close = true;    // when all is said
};

// Of the requests of an input: records, each a request behind a byte that tells of its pieces. What is too
// long for an answer that depends on it alone is left out: behind the end of a request's object everything is
// ignored, but only where the end was seen before the size limit was.
[[nodiscard]] std::vector<ApiRequest> to_requests(sys::Bytes input);
[[nodiscard]] std::string print_requests(sys::Bytes input);
std::size_t mutate_requests(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random);

// Oracles: a reply is one JSON object that says either that it was done or why not, …
nlohmann::json check_reply(const std::string& text);
// … numbers are given once, whatever is removed, …
void check_ids(const std::vector<std::string>& replies);
// … rules are such that sockets can have them, and the list tells what there is.
void check_forwards(ApiAnswerer& answerer);

}  // namespace l4n::fuzz
