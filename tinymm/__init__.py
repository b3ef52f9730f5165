"""tinymm."""
