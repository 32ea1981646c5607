"""Where model folders are and what identifies them; kept outside the engine, where no torch is needed."""

from traitscope.modelfiles import embedded_base_path, fingerprint_folder, hash_file, resolve_model

__all__ = ["embedded_base_path", "fingerprint_folder", "hash_file", "resolve_model"]
