//! What somebody who gives a deployment up, with Ctrl-C or a signal, hears: whether anything has changed.

use std::sync::{Arc, Mutex, PoisonError};

use faas_source::interrupt;
use faas_terminal::output::Output;

/// How far a deployment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was sent that could change what serves. The versions that do, where they are known.
    Preparing(Vec<(String, u32)>),
    /// The server was asked to deploy these functions.
    Asked(Vec<String>),
    /// The server has answered.
    Done,
}

/// Listens until the command ends.
pub(super) struct Interrupt {
    stage: Arc<Mutex<Stage>>,
}

// === impl Interrupt ===

impl Interrupt {
    pub(super) fn listen(out: &Output) -> Self {
        let stage = Arc::new(Mutex::new(Stage::Preparing(Vec::new())));
        let (heard, out) = (Arc::clone(&stage), out.clone());
        interrupt::listen(Some(Box::new(move || {
            let words = heard.lock().unwrap_or_else(PoisonError::into_inner).words();
            out.note(format_args!("interrupted: {words}"));
        })));
        Self { stage }
    }

    pub(super) fn reach(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

// === impl Stage ===

impl Stage {
    fn words(&self) -> String {
        match self {
            Self::Preparing(serving) if serving.is_empty() => "nothing was changed".to_owned(),
            Self::Preparing(serving) => {
                let each = serving.iter().map(|(name, version)| format!("{name} still serves version {version}"));
                let kept = "what was uploaded is not sent again by the next deployment";
                format!("nothing was changed, {}; {kept}", each.collect::<Vec<_>>().join(", "))
            }
            Self::Asked(names) => {
                let each = names.iter().map(|name| format!("faas versions list {name}"));
                format!("the server may still go on; what serves: {}", each.collect::<Vec<_>>().join(", "))
            }
            Self::Done => "the deployment is done".to_owned(),
        }
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
            Stage::Asked(vec!["a".into(), "b".into()]).words().ends_with("faas versions list a, faas versions list b")
        );
    }
}
