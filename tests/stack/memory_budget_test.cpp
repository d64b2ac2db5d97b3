#include "stack/memory_budget.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace l4n::stack {
namespace {

constexpr std::size_t kMiB = 1024 * 1024;

// As many accounts of a budget as a test likes.
std::vector<std::unique_ptr<MemoryAccount>> accounts(MemoryBudget& budget, std::size_t count) {
  std::vector<std::unique_ptr<MemoryAccount>> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(std::make_unique<MemoryAccount>(budget));
  }
  return all;
}

// Takes all that it is allowed to ask for, in pieces.
void be_greedy(MemoryAccount& account) {
  constexpr std::size_t kPiece = 1000;
  while (account.promisable() >= kPiece) {
    account.charge(kPiece);
  }
}

}  // namespace

TEST_CASE("budget: what an account may ask for and must be given") {
  // 1,000 connections of a budget of 16,000,000: 2,000 of its own for each direction, 12,000,000 for all.
  struct Row {
    std::string what;
    std::size_t by_others;  // held by one account
    std::size_t held;
    std::size_t promised;
    std::size_t promisable;
    std::size_t acceptable;
  };
  const std::vector<Row> rows = {
      {"nobody holds anything", 0, 0, 0, 2000 + 1'500'000, 2000 + 12'000'000},
      {"a promise counts when more is asked for", 0, 0, 1'000'000, 502'000, 12'002'000},
      {"what it holds counts", 0, 1'000, 0, 1'501'000, 12'001'000},
      {"what is its own does not burden the pool", 2'000, 0, 0, 1'502'000, 12'002'000},
      {"half of the pool is gone", 6'002'000, 0, 0, 752'000, 6'002'000},
      {"its own part of the pool counts twice", 0, 802'000, 0, 600'000, 11'200'000},
      {"it has almost as much as it may have", 6'002'000, 668'000, 0, 750, 5'334'000},
      {"it has more than others leave it", 11'602'000, 202'000, 0, 0, 200'000},
      {"the pool is empty", 12'002'000, 0, 0, 2'000, 2'000},
      {"the pool is empty: its own is promised already", 12'002'000, 0, 2'000, 0, 2'000},
      {"the pool is empty: its own is in part used", 12'002'000, 500, 0, 1'500, 1'500},
      {"the pool is empty: its own is used up", 12'002'000, 2'000, 0, 0, 0},
      {"more than the pool had", 12'502'000, 0, 0, 2'000, 2'000},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    MemoryBudget budget(16'000'000, 1'000);
    MemoryAccount others(budget);
    MemoryAccount account(budget);
    others.charge(row.by_others);
    account.charge(row.held);
    CHECK(account.promisable(row.promised) == row.promisable);
    CHECK(account.acceptable() == row.acceptable);
    CHECK(budget.in_use() == row.by_others + row.held);
  }
}

TEST_CASE("budget: how a limit is divided") {
  struct Row {
    std::size_t limit;
    std::size_t connections;
    std::size_t guaranteed;
  };
  const std::vector<Row> rows = {
      {192 * kMiB, 16'384, 1536},
      {192 * kMiB, 1, 64 * 1024},
      {192 * kMiB, 100, 64 * 1024},
      {192 * kMiB, 1'000, 192 * kMiB / 8000},
      {kMiB, 128, 1024},
  };
  for (const Row& row : rows) {
    CAPTURE(row.limit);
    CAPTURE(row.connections);
    const MemoryBudget budget(row.limit, row.connections);
    CHECK(budget.guaranteed() == row.guaranteed);
    CHECK(budget.limit() == row.limit);
  }
}

TEST_CASE("budget: one connection alone gets all that it can use") {
  MemoryBudget budget(192 * kMiB, 16'384);
  CHECK(MemoryAccount(budget).promisable() > 4 * kMiB);
}

TEST_CASE("budget: however many are greedy, the limit holds, they are equal, and one more can move") {
  for (const std::size_t count : {1U, 10U, 100U, 1'000U, 16'000U}) {
    CAPTURE(count);
    MemoryBudget budget(192 * kMiB, 16'384);
    const auto greedy = accounts(budget, 2 * count);
    for (int round = 0; round < 3; ++round) {
      for (const auto& account : greedy) {
        be_greedy(*account);
      }
    }
    CHECK(budget.in_use() <= budget.limit());
    CHECK(MemoryAccount(budget).promisable() >= budget.guaranteed());
    CHECK(MemoryAccount(budget).acceptable() >= budget.guaranteed());
    CHECK(budget.peak() == budget.in_use());
  }
}

TEST_CASE("budget: also when all use at once what they were promised before, the limit holds") {
  MemoryBudget budget(192 * kMiB, 16'384);
  const auto all = accounts(budget, 2 * 16'384);
  for (const auto& account : all) {
    account->charge(std::min<std::size_t>(256 * 1024, account->acceptable()));
  }
  CHECK(budget.in_use() <= budget.limit());
  CHECK(all.back()->held() >= budget.guaranteed());
}

TEST_CASE("budget: those who want much get equal parts in the end") {
  MemoryBudget budget(192 * kMiB, 16'384);
  const auto greedy = accounts(budget, 100);
  be_greedy(*greedy[0]);
  for (int round = 0; round < 200; ++round) {
    for (const auto& account : greedy) {  // each gets rid of a part, and takes what it may
      account->release(account->held() / 10);
      be_greedy(*account);
    }
  }
  for (const auto& account : greedy) {
    CHECK(account->held() > greedy[0]->held() / 10 * 9);
    CHECK(account->held() < greedy[0]->held() / 10 * 11);
  }
}

TEST_CASE("budget: pressure begins where half of the pool is gone, and ends there") {
  MemoryBudget budget(16'000'000, 1'000);
  MemoryAccount account(budget);
  account.charge(6'002'000);
  CHECK_FALSE(budget.under_pressure());
  account.charge(1);
  CHECK(budget.under_pressure());
  account.release(1);
  CHECK_FALSE(budget.under_pressure());
}

TEST_CASE("budget: an account that ends gives back what it held; the peak stays") {
  MemoryBudget budget(16 * kMiB, 1'000);
  {
    MemoryAccount account(budget);
    account.charge(5'000'000);
    account.release(1'000'000);
    CHECK(account.held() == 4'000'000);
    CHECK(budget.in_use() == 4'000'000);
  }
  CHECK(budget.in_use() == 0);
  CHECK_FALSE(budget.under_pressure());
  CHECK(budget.peak() == 5'000'000);
}

}  // namespace l4n::stack
