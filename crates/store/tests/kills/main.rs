//! Stores whose process is killed, or whose disk fails, in the middle of a write.
//!
//! One program in two roles: the checks, and the processes that they start and that do not end well.

mod acknowledged;
mod expiry;
mod failing_disk;

use std::future::Future;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

/// Says that the program is started by one of its checks.
const CHILD: &str = "__child";

/// What a process does that one of the checks starts.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Writer,
    Expirer,
    FailingDisk,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, role, dir] = arguments.as_slice()
        && child == CHILD
    {
        return Role::named(role).map_or(ExitCode::FAILURE, |role| role.play(Path::new(dir)));
    }
    let checks = vec![
        check("acknowledged_writes_survive_kill_9", acknowledged::acknowledged_writes_survive_kill_9),
        check("a_kill_in_the_middle_leaves_nothing_half_done", expiry::a_kill_in_the_middle_leaves_nothing_half_done),
        check("a_failed_write_is_fatal", failing_disk::a_failed_write_is_fatal),
    ];
    libtest_mimic::run(&Arguments::from_args(), checks).exit_code()
}

/// A check fails by a panic.
fn check<F: Future<Output = ()>>(name: &str, check: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run(check());
        Ok(())
    })
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(work);
}

// === impl Role ===

impl Role {
    const ALL: [Self; 3] = [Self::Writer, Self::Expirer, Self::FailingDisk];

    fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Expirer => "expirer",
            Self::FailingDisk => "failing-disk",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The command that starts a process with this role on a directory.
    pub(crate) fn command(self, dir: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.args([CHILD, self.name()]).arg(dir);
        command
    }

    /// Does not end by itself.
    fn play(self, dir: &Path) -> ExitCode {
        match self {
            Self::Writer => run(acknowledged::write_until_killed(dir)),
            Self::Expirer => run(expiry::expire_until_killed(dir)),
            Self::FailingDisk => run(failing_disk::write_until_the_disk_fails(dir)),
        }
        ExitCode::FAILURE
    }
}
