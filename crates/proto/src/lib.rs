//! The wire: worker frames and REST bodies.
