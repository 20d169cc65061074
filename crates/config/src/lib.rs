//! Server configuration and the function manifest.
