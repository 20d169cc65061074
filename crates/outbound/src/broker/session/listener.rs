//! The thread that hears what a network process says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use faas_net::protocol::MESSAGE_MAX;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Broken, Session};

/// A thread apart: no poller, no queue and no other task lie between a program that connects and its answer.
pub(super) struct Listener {
    session: Arc<Session>,
    ended: oneshot::Receiver<Result<(), Broken>>,
}

// === impl Listener ===

impl Listener {
    /// Serves the process from now on.
    pub(super) fn start(session: &Arc<Session>) -> io::Result<Self> {
        let (told, ended) = oneshot::channel();
        let (own, runtime) = (Arc::clone(session), Handle::current());
        std::thread::Builder::new().name("net-broker".to_owned()).spawn(move || {
            let mut tasks = JoinSet::new();
            let outcome = own.listen(&runtime, &mut tasks);
            runtime.block_on(tasks.shutdown());
            // Fails where the listener was dropped.
            let _ = told.send(outcome);
        })?;
        Ok(Self { session: Arc::clone(session), ended })
    }

    /// Waits for its end, with which all tasks that it has begun end.
    pub(super) async fn ended(&mut self) -> Result<(), Broken> {
        (&mut self.ended).await.unwrap_or(Err(Broken::Unheard))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.session.socket.hang_up();
    }
}

// === impl Session ===

impl Session {
    /// Hears the process until it ends, is hung up on, or breaks the protocol.
    fn listen(self: &Arc<Self>, runtime: &Handle, tasks: &mut JoinSet<()>) -> Result<(), Broken> {
        let mut buffer = vec![0; MESSAGE_MAX];
        while let Some(messages) = self.socket.receive(&mut buffer)? {
            self.was_heard.store(true, Ordering::Relaxed);
            for message in messages {
                runtime.block_on(self.hear(message, tasks))?;
            }
            while tasks.try_join_next().is_some() {}
        }
        Ok(())
    }
}
