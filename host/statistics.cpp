#include "host/statistics.h"
