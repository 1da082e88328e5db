"""What deadray does with a torch.nn.Module that is in memory; everything here imports torch."""
