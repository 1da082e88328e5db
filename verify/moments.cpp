#include "verify/moments.h"
