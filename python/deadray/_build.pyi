VERSION: str
FITS_TORCH: str
TORCH: str | None
