//! A TCP, UDP and DNS endpoint for the packets of one sandbox.
//!
//! [`Stack`] takes frames of a TUN device and answers them as every far end would: the program in the sandbox sees a
//! network, and the driver of the stack sees flows, their bytes and their ends. It does no input or output and reads no
//! clock: time is an argument, as the duration since any fixed moment. What it holds is bounded by [`StackLimits`] and by a
//! [`Budget`] that stacks share.
//!
//! A SYN is answered only when the far end's connection stands, so that a program sees the same errors as without the
//! stack in between.

mod budget;
mod dns;
mod engine;
mod flow;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod limits;
mod memory;
mod output;
mod packet;
mod reply;
mod sni;
mod stack;
mod timers;

pub use budget::{Amounts, Budget};
pub use dns::QUERY_MAX;
pub use frame::{DEVICE_HEADER, FRAME_MAX, MTU};
pub use limits::{Counters, StackLimits};
pub use output::{Ending, FlowId, FlowProtocol, FlowRefusal, QueryId, StackEvent, StackOutput};
pub use sni::{CLIENT_HELLO_MAX, FirstBytes, inspect};
pub use stack::{Outlook, Stack};
pub use timers::Timers;
