//! One spawner at a time over a data directory.
//!
//! A killed server's spawner still has sandboxes to end and cgroups to remove, under the very names that the next
//! spawner would use. The lock is a property of the open file, so it goes with the descriptor to the spawner, which
//! lets go of it only by ending. First processes of sandboxes close theirs with everything else that they inherit.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use faas_ports::{PortError, PortResult};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

/// In the data directory; holds the process id of the spawner in charge.
const NAME: &str = "spawner.lock";

/// A spawner whose server is gone needs milliseconds, or seconds when the kernel is slow to let go of a cgroup.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until no other spawner is at work on this data directory, which must exist.
pub(crate) async fn take(data_dir: &Path) -> PortResult<File> {
    take_within(data_dir, PATIENCE).await
}

async fn take_within(data_dir: &Path, patience: Duration) -> PortResult<File> {
    let path = data_dir.join(NAME);
    let failed = |error: io::Error| PortError::io("locking the spawner of sandboxes", error);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    let deadline = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => sleep(Duration::from_millis(2)).await,
            Err(Errno::WOULDBLOCK) => return Err(PortError::failed("starting the spawner of sandboxes", held(&path))),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Notes who holds the lock, for the message of [`take`].
pub(crate) fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn held(path: &Path) -> String {
    let pid = fs::read_to_string(path).unwrap_or_default();
    let pid = pid.trim();
    let path = path.display();
    if pid.is_empty() {
        return format!("another one holds {path}; end what `fuser {path}` shows and start again");
    }
    format!("process {pid} of an earlier server still holds {path}; `kill -9 {pid}` and start again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_lock_is_waited_for_and_its_holder_named() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        let mut held = take(home.path()).await?;
        sign(&mut held)?;
        let refusal = take_within(home.path(), Duration::ZERO).await.map(drop).map_err(|error| error.to_string());
        let expected = format!("process {} of an earlier server", std::process::id());
        assert!(refusal.is_err_and(|message| message.contains(&expected)));
        let (second, ()) = tokio::join!(take(home.path()), async { drop(held) });
        second.map(drop).map_err(Into::into)
    }
}
