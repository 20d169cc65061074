//! Programs that speak with far ends through a stack, all in memory.

mod connections;
mod limits;
mod names;
mod world;
