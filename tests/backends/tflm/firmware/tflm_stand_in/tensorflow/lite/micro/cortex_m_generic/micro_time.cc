#include "header_of_a_device_that_is_not_there.h"
