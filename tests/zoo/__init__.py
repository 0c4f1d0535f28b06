"""Real architectures from torchvision and timm, with fresh weights."""
