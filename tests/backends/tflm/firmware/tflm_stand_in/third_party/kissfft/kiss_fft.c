#include "header_of_kissfft_that_is_not_on_the_path.h"
