"""How scripts/census_rank finds the rank of the exact Fisher of tiny models."""
