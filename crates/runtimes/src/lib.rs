//! Per-language recipes, sealed runtime layers and the instance protocol.
