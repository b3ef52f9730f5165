"""Files: checkpoints, and vectors in the formats of others."""
