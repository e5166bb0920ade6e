"""Python imports this first, so that two builds get the same random numbers and ids."""

from __future__ import annotations

import random

random.seed(0)
