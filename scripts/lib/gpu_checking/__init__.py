"""What scripts/gpu_check does on a GPU node, step by step."""
