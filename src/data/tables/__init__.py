"""Raw tables of any dialect, read through DuckDB."""
