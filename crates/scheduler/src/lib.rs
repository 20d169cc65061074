//! Decides which call runs in which instance, and which instances start and stop for it.
//!
//! `Scheduler` decides: it is a state machine without time, input or output. [`SchedulerDriver`] carries the decisions
//! out: it grants permits, starts and stops instances, and keeps the time.

mod driver;
mod instance_handle;
mod pool_spec;
mod process_baseline;
mod readiness;
mod scheduler;
mod usage;

pub use driver::{AdmissionError, DriverDeps, Permit, SchedulerDriver};
pub use instance_handle::InstanceHandle;
pub use pool_spec::PoolSpec;
pub use readiness::{Readiness, WaitTimes, micros};
pub use scheduler::{
    CallRefusal, CapacityLimits, FunctionLoad, PoolKey, PoolStatus, QueuePosition, RefusalReason, SchedulerCounters,
    SchedulerSnapshot, Urgency,
};
