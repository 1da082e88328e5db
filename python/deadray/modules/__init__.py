"""What needs torch: live modules, their norms and what is measured of them."""
