# Finds a CUDA compiler: on PATH, under /usr/local/cuda, or in the wheel that scripts/setup puts into .venv.
