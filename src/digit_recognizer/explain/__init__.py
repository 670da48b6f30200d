"""What a network computes inside: activations, and which pixels a prediction depends on."""
