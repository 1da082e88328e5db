VERSION: str
TORCH: str | None
