//! What whoever deploys hears while a deployment is under way. Nothing here waits: a reader that does not keep up misses lines and
//! is told how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::BuildListener;
use faas_types::{FunctionName, LayerRecord};
use tokio::sync::mpsc;

/// Words that wait for their reader.
const WAITING_MAX: usize = 256;
/// Lines of one deployment that are told; an installer that writes without end is not worth more.
const LINES_MAX: u64 = 10_000;

/// Something that happened on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployNews {
    /// It waits, for this.
    Waiting(&'static str),
    /// Packages that this file asks for are being installed.
    Installing(String),
    /// The installer wrote a line.
    Line(String),
    /// Lines were left out.
    LeftOut(u64),
    /// The packages are there already.
    Reused(Arc<LayerRecord>),
    /// The entrypoint is being loaded.
    Loading,
}

/// Tells of one function's deployment. The default tells nobody.
#[derive(Clone, Debug, Default)]
pub struct DeployTalk(Option<Mouth>);

#[derive(Clone, Debug)]
struct Mouth {
    function: FunctionName,
    to: mpsc::Sender<(FunctionName, DeployNews)>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    lines: AtomicU64,
    left_out: AtomicU64,
}

/// Hears of one deployment, of one function or of several.
#[derive(Debug)]
pub struct DeployEar {
    from: mpsc::Receiver<(FunctionName, DeployNews)>,
    to: Option<mpsc::Sender<(FunctionName, DeployNews)>>,
    talks: Vec<(FunctionName, Arc<Counts>)>,
}

// === impl DeployTalk ===

impl DeployTalk {
    pub(crate) fn tell(&self, news: DeployNews) {
        let Some(Mouth { function, to, counts }) = &self.0 else { return };
        let is_line = matches!(news, DeployNews::Line(_));
        if is_line && counts.lines.fetch_add(1, Ordering::Relaxed) >= LINES_MAX {
            counts.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let missed = counts.left_out.swap(0, Ordering::Relaxed);
        if missed > 0 && to.try_send((function.clone(), DeployNews::LeftOut(missed))).is_err() {
            counts.left_out.fetch_add(missed, Ordering::Relaxed);
        }
        if to.try_send((function.clone(), news)).is_err() && is_line {
            counts.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl BuildListener for DeployTalk {
    fn line(&self, line: &str) {
        self.tell(DeployNews::Line(line.to_owned()));
    }
}

// === impl DeployEar ===

impl DeployEar {
    /// One that hears nobody yet.
    #[must_use]
    pub fn new() -> Self {
        let (to, from) = mpsc::channel(WAITING_MAX);
        Self { from, to: Some(to), talks: Vec::new() }
    }

    /// What tells it of a function.
    pub fn of(&mut self, function: &FunctionName) -> DeployTalk {
        let Some(to) = self.to.clone() else { return DeployTalk::default() };
        let counts = Arc::new(Counts::default());
        self.talks.push((function.clone(), Arc::clone(&counts)));
        DeployTalk(Some(Mouth { function: function.clone(), to, counts }))
    }

    /// The next word; `None` once everybody who could tell is gone.
    pub async fn next(&mut self) -> Option<(FunctionName, DeployNews)> {
        self.to = None;
        if let Some(news) = self.from.recv().await {
            return Some(news);
        }
        // What found no room at the very end.
        loop {
            let (function, counts) = self.talks.pop()?;
            let missed = counts.left_out.swap(0, Ordering::Relaxed);
            if missed > 0 {
                return Some((function, DeployNews::LeftOut(missed)));
            }
        }
    }
}

impl Default for DeployEar {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_does_not_keep_up_is_told_what_it_misses() {
        let mut ear = DeployEar::new();
        let talk = ear.of(&"a".parse().expect("a name"));
        let total = WAITING_MAX as u64 + 50;
        (0..total).for_each(|n| talk.line(&n.to_string()));
        let mut heard = 0;
        for _ in 0..10 {
            let (_, news) = ear.next().await.expect("news");
            assert_eq!(news, DeployNews::Line(heard.to_string()));
            heard += 1;
        }
        talk.line("late");
        drop(talk);
        let (mut lines, mut missed) = (heard, 0);
        while let Some((_, news)) = ear.next().await {
            match news {
                DeployNews::Line(_) => lines += 1,
                DeployNews::LeftOut(count) => missed += count,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((lines, missed), (WAITING_MAX as u64 + 1, 50), "every line was told or counted");
    }

    #[tokio::test]
    async fn an_endless_installer_is_cut_off() {
        let mut ear = DeployEar::new();
        let talk = ear.of(&"a".parse().expect("a name"));
        let told = tokio::spawn(async move {
            let (mut lines, mut missed) = (0, 0);
            while let Some((_, news)) = ear.next().await {
                match news {
                    DeployNews::LeftOut(count) => missed += count,
                    _ => lines += 1,
                }
            }
            (lines, missed)
        });
        for _ in 0..LINES_MAX + 7 {
            talk.line("x");
            tokio::task::yield_now().await;
        }
        drop(talk);
        let (lines, missed) = told.await.expect("it ends");
        assert!(lines <= LINES_MAX && lines + missed == LINES_MAX + 7, "{lines} {missed}");
        // Nobody listens.
        DeployTalk::default().line("x");
    }
}
