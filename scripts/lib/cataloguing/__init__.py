"""How scripts/norm_catalogue finds the norms of every model type: by running them."""
