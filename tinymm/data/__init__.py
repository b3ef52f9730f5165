"""Data: corpora, pictures, and readers of real file formats. Nothing here knows a Tensor."""
