#include "fuzz/structure/records.hpp"

#include <algorithm>
#include <utility>

#include "fuzz/engine/harness.hpp"

namespace l4n::fuzz {
namespace {

constexpr std::size_t kLargestRecord = 0xffff;
constexpr std::size_t kMostGrowth = 64;  // bytes, in one mutation of a record

void mutate_list(std::vector<Record>& records, Random& random, const MutateRecord& mutate) {
  if (records.empty()) {
    records.emplace_back();
  }
  const std::size_t at = random.below(records.size());
  const auto place = records.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random.below(10)) {
    case 0:
      records.insert(place, Record(records[at]));
      return;
    case 1:
      records.erase(place);
      return;
    case 2:
      std::swap(records[at], records[random.below(records.size())]);
      return;
    default:
      mutate(records[at], random);
      return;
  }
}

}  // namespace

std::vector<Record> split_records(sys::Bytes input) {
  std::vector<Record> records;
  sys::ByteReader reader(input);
  while (reader.left() >= 2) {
    const std::size_t size = reader.be16();
    const sys::Bytes record = reader.bytes(std::min(size, reader.left()));
    records.emplace_back(record.begin(), record.end());
  }
  return records;
}

std::vector<std::byte> join_records(const std::vector<Record>& records) {
  std::vector<std::byte> out;
  for (const Record& record : records) {
    const std::size_t size = std::min(record.size(), kLargestRecord);
    out.push_back(static_cast<std::byte>(size >> 8U));
    out.push_back(static_cast<std::byte>(size));
    out.insert(out.end(), record.begin(), record.begin() + static_cast<std::ptrdiff_t>(size));
  }
  return out;
}

std::size_t mutate_records(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random,
                           const MutateRecord& mutate) {
  std::vector<Record> records = split_records(data.first(size));
  mutate_list(records, random, mutate);
  const std::vector<std::byte> out = join_records(records);
  const std::size_t kept = std::min(out.size(), max_size);
  std::copy_n(out.begin(), kept, data.begin());
  return kept;
}

void mutate_record_bytes(Record& record, Random& random) {
  const std::size_t size = record.size();
  record.resize(size + kMostGrowth);
  record.resize(mutate_bytes(record, size, record.size(), random));
}

}  // namespace l4n::fuzz
