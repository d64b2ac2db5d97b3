#include <doctest/doctest.h>

#include "tests/support/fault.hpp"

namespace l4n::test {

void report_fault(const std::string& what) { FAIL_CHECK(what); }

}  // namespace l4n::test
