//! Confines a process: namespaces, mounts, cgroups, seccomp, limits.
//!
//! [`LinuxSandboxes`] implements the port. Three kinds of process make them:
//!
//! - the server asks and observes; it never forks;
//! - the spawner (this program again, see [`spawner_main`]) clones, keeps cgroups, and reaps;
//! - the first process of each sandbox, a child of the spawner, sets itself up from the inside, starts the program
//!   and lives as long as that.
//!
//! A fourth kind speaks TCP, UDP and DNS for all sandboxes whose functions have a network (see [`network_main`]); it is a
//! child of the server.
//!
//! Death goes downwards. A program's end ends the first process, and the kernel kills what is left in its process
//! namespace. The spawner's end kills every first process (parent death signal). The server's end closes the socket on
//! which the spawner waits; it then kills everything, removes the cgroups and ends. What is left when several die at
//! once are empty cgroups, which the next start removes. That one waits for a spawner which is still at this.
//!
//! # What layers must look like
//! Inside, a program is user 1000, which is nobody on the host: a layer's files must be readable, and its directories
//! and programs executable, for others. The directories above a layer may be closed (mode 0700), as long as the user
//! that the server runs as owns them: that user opens the layer, before the sandbox becomes another.
//!
//! # What a sandbox can still see
//! `/proc/self/mountinfo` shows where on the host's file system a layer's directory is. The kernel offers no way to
//! hide that for bind mounts; the path cannot be used for anything inside.
//!
//! # Without cgroups
//! An ordinary user usually has none (level 1). Memory is then limited for each process (`RLIMIT_DATA`), so a tree can
//! use a multiple; running out shows as an allocation error of the program, not as an out-of-memory exit. The process
//! count holds for the tree, because the kernel counts it in the sandbox's user namespace. CPU has no limit.
//!
//! # Without isolation
//! On a machine that can confine nothing, [`SandboxConfig::unsafe_no_isolation`] lets programs run as plain processes
//! with the server's own user, files and network (level 0): for one's own code, never for that of others. Each has a
//! session and an environment of its own, cannot gain privileges, and runs straight from the layers' directories, to
//! which its working directory, arguments and variables are translated. Memory and files are limited for each process.
//! Its tree is ended by descent, which a program that means harm can outrun.
#![allow(unsafe_code, reason = "system calls that no safe wrapper offers; every block states why it is sound")]

mod cgroup;
mod child;
mod config;
mod control;
mod doctor;
mod helper;
mod launch;
mod limits;
mod lock;
mod netlink;
mod network_process;
mod orphan_reaper;
mod packet;
mod pair;
mod parked;
mod passing;
mod path_translation;
mod port_forward;
mod probe_targets;
mod problem;
mod sandboxes;
mod seccomp;
mod spawner;
mod spawner_client;
mod spawner_protocol;
mod sys;
mod thread_slice;
mod zygote;

pub use config::{SandboxConfig, SpawnerCommand};
pub use helper::helper_main;
pub use network_process::{LinuxNetworkProcesses, network_main};
pub use sandboxes::LinuxSandboxes;
pub use spawner::spawner_main;
pub use thread_slice::give_way_to_calls;
