#include "fuzz/engine/oracle.hpp"
#include "tests/support/fault.hpp"

namespace l4n::test {

void report_fault(const std::string& what) { FUZZ_REQUIRE(false, "{}", what); }

}  // namespace l4n::test
