"""Data: corpora, pictures and readers of real file formats. NumPy, SciPy and Pillow only; nothing here knows a Tensor."""
