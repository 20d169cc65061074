//! What somebody who gives a deployment up, with Ctrl-C or a signal, hears: whether anything has changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faas_client::Client;
use faas_source::interrupt;
use faas_terminal::output::Output;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// How far a deployment is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Nothing was sent that could change what serves. The versions that do, where they are known.
    Preparing(Vec<(String, u32)>),
    /// The server was asked to deploy these functions, and has not answered yet.
    Asked(Vec<String>),
    /// The server carries this deployment out.
    UnderWay(Client, String),
    /// The server has told the end.
    Done,
}

/// How long a cancellation may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Listens until the command ends.
pub(super) struct Interrupt {
    stage: Arc<Mutex<Stage>>,
    /// Whether a signal has come.
    is_heard: Arc<AtomicBool>,
}

// === impl Interrupt ===

impl Interrupt {
    pub(super) fn listen(out: &Output) -> Self {
        let stage = Arc::new(Mutex::new(Stage::Preparing(Vec::new())));
        let (heard, out) = (Arc::clone(&stage), out.clone());
        let is_heard = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_heard);
        interrupt::listen(Some(Box::new(move || {
            flag.store(true, Ordering::SeqCst);
            let stage = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
            out.note(format_args!("interrupted: {}", stage.words()));
        })));
        Self { stage, is_heard }
    }

    /// Lets a signal have the last word: what it cancels fails here too.
    pub(super) async fn give_way(&self) {
        if self.is_heard.load(Ordering::SeqCst) {
            tokio::time::sleep(PATIENCE * 2).await;
        }
    }

    pub(super) fn reach(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

// === impl Stage ===

impl Stage {
    /// What has changed; cancels what is under way.
    fn words(&self) -> String {
        match self {
            Self::Preparing(serving) if serving.is_empty() => "nothing was changed".to_owned(),
            Self::Preparing(serving) => {
                let each = serving.iter().map(|(name, version)| format!("{name} still serves version {version}"));
                let kept = "what was uploaded is not sent again by the next deployment";
                format!("nothing was changed, {}; {kept}", each.collect::<Vec<_>>().join(", "))
            }
            Self::Asked(names) => {
                let each = names.iter().map(|name| format!("faas deployments list {name}"));
                format!("the server may still go on; see {}", each.collect::<Vec<_>>().join(", "))
            }
            Self::UnderWay(client, id) => cancelled(client, id),
            Self::Done => "the deployment is done".to_owned(),
        }
    }
}

/// Cancels a deployment, and says what became of it.
fn cancelled(client: &Client, id: &str) -> String {
    let cancelling = async {
        if id.starts_with("dgr_") {
            client.cancel_group(id).await.map(drop)
        } else {
            client.cancel_deployment(id).await.map(drop)
        }
    };
    // The runtime of the command is busy with what is given up here.
    let runtime = Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map(|runtime| runtime.block_on(async { timeout(PATIENCE, cancelling).await }));
    match outcome {
        Ok(Ok(Ok(()))) => format!("{id} is cancelled, nothing was changed"),
        Ok(Ok(Err(error))) => format!("{id} could not be cancelled: {error}; see faas deployments get {id}"),
        Ok(Err(_)) | Err(_) => format!("{id} goes on; follow it: faas deployments events {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_is_told() {
        let serving = Stage::Preparing(vec![("shop".into(), 2)]);
        assert!(serving.words().starts_with("nothing was changed, shop still serves version 2; "));
        assert_eq!(Stage::Preparing(Vec::new()).words(), "nothing was changed");
        assert!(
            Stage::Asked(vec!["a".into(), "b".into()])
                .words()
                .ends_with("faas deployments list a, faas deployments list b")
        );
    }
}
