// An input that is several things one after the other: messages to a server, lines, pieces. Each is written
// with its length in front, two bytes, so that a mutator can work on whole ones.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "fuzz/engine/random.hpp"
#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

using Record = std::vector<std::byte>;

// Never fails: a last record that is cut off is what there is of it.
[[nodiscard]] std::vector<Record> split_records(sys::Bytes input);
[[nodiscard]] std::vector<std::byte> join_records(const std::vector<Record>& records);

// Changes one record.
using MutateRecord = std::function<void(Record& record, Random& random)>;

// One change: a record more, less, twice, elsewhere, or (mostly) `mutate` on one of them. A Harness::mutate
// but for its last argument.
std::size_t mutate_records(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random,
                           const MutateRecord& mutate);

// mutate_bytes() on a record.
void mutate_record_bytes(Record& record, Random& random);

}  // namespace l4n::fuzz
