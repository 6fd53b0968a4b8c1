#include "wire/record_batch.h"
