// Result<T>: a value, or an Error that says what was being done and why it failed.
//
// Shaped like std::expected (C++23), which g++ 12 does not offer in C++20. Used wherever failure is
// exceptional; the data path's ordinary outcomes (would block, end of file) are in io.hpp instead, because
// they must not allocate.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace l4n::sys {

// What failed. `code` is an errno value, or 0 when no system call was involved.
struct Error {
  int code = 0;
  std::string what;  // "cannot open /dev/net/tun"

  // "cannot open /dev/net/tun: Permission denied"
  [[nodiscard]] std::string message() const;
};

// An Error with the current errno. Call it directly after the failed system call.
[[nodiscard]] Error errno_error(std::string_view what);
// The same with an errno value that was kept.
[[nodiscard]] Error errno_error(int code, std::string_view what);
// An Error without an errno: bad input, a broken invariant of a file.
[[nodiscard]] Error plain_error(std::string_view what);

// The text of an errno value ("Connection refused"), thread-safe.
[[nodiscard]] std::string errno_text(int code);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  [[nodiscard]] T& operator*() & { return std::get<0>(state_); }
  [[nodiscard]] const T& operator*() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& operator*() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] T* operator->() { return &std::get<0>(state_); }
  [[nodiscard]] const T* operator->() const { return &std::get<0>(state_); }
  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return !failed_; }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace l4n::sys
