#include "tests/dataplane/native_producer.h"
