//! Data plane: function URLs.
