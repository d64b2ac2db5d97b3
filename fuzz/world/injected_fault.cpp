#include "fuzz/world/injected_fault.hpp"

namespace l4n::fuzz {
namespace {

InjectedFault& current() noexcept {
  static InjectedFault fault = InjectedFault::none;
  return fault;
}

}  // namespace

void inject_fault(InjectedFault fault) noexcept { current() = fault; }

InjectedFault injected_fault() noexcept { return current(); }

}  // namespace l4n::fuzz
