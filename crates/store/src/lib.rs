//! Embedded adapters: SQLite and files.
