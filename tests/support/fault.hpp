// How the parts that tests and fuzz harnesses share say that the product did what it must not: a test fails
// (doctest_fault.cpp), a harness ends (fuzz/engine/fault_report.cpp).
#pragma once

#include <string>

namespace l4n::test {

void report_fault(const std::string& what);

}  // namespace l4n::test
