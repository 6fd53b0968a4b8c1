// simulate_verify.h - `penstock log verify` over all segments of a simulated disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "storage/files.h"

namespace simulate {

// Damages that are found, but for those that a disk which refuses writes leaves (and what is lost
// with them the model sees); *first says where the first one is and what.
uint64_t VerifyLogs(struct files files, size_t partitions, std::string *first);

} // namespace simulate
