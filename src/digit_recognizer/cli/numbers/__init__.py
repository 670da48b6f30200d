"""What the commands do with pictures of whole numbers."""
