//! What the server tells while it makes a version ready: the last line on a terminal, every line elsewhere, events for programs.

use std::cell::RefCell;
use std::time::Duration;

use faas_client::rest::{DeployLine, DeployStep, StreamEvent};
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::LogStream;
use indicatif::{ProgressBar, ProgressStyle};

/// How often the sign of life turns.
const TURN: Duration = Duration::from_millis(120);
/// Characters of a line that fit beside it.
const SHOWN: usize = 100;

/// Packages that are installed, entrypoints that are loaded.
pub(super) struct Build<'s> {
    session: &'s Session,
    /// Whether lines need the name of their function.
    is_of_several: bool,
    /// On a terminal, once there is something to show.
    spinner: RefCell<Option<ProgressBar>>,
}

// === impl Build ===

impl<'s> Build<'s> {
    pub(super) fn new(session: &'s Session, is_of_several: bool) -> Self {
        Self { session, is_of_several, spinner: RefCell::default() }
    }

    /// Shows an event of the deployment.
    pub(super) fn show(&self, event: &StreamEvent) {
        if self.session.out.format == Format::Ndjson {
            // A reader that went away is told of by the outcome.
            let _ = self.session.out.json_line(event);
        }
        match event.kind.as_str() {
            "log" => {
                if let Ok(DeployLine { function, stream, message }) = serde_json::from_value(event.data.clone()) {
                    // What the function itself writes stays to be read; of an installer only the last line matters.
                    match stream {
                        LogStream::Platform => self.line(&function, &text::visible(&message)),
                        _ => self.remark(&function, &format!("  | {}", text::visible(&message))),
                    }
                }
            }
            // A step that this release does not know cannot be shown.
            "step" => serde_json::from_value(event.data.clone()).iter().for_each(|step| self.step(step)),
            _ => {}
        }
    }

    fn step(&self, step: &DeployStep) {
        match step {
            DeployStep::Waiting { function, message } => self.remark(function, &format!("waiting: {message}")),
            DeployStep::Installing { function, source } => {
                self.remark(function, &format!("installing the packages of {}", text::visible(source)));
            }
            DeployStep::Reused { function, layer, built_at } => {
                let ago = text::when(built_at);
                self.remark(function, &format!("packages are there: layer {}, built {ago}", text::visible(layer)));
            }
            DeployStep::LeftOut { function, lines } => {
                self.line(
                    function,
                    &format!("… {} left out", text::counted(usize::try_from(*lines).unwrap_or(usize::MAX), "line")),
                );
            }
            DeployStep::Loading { function } => self.remark(function, "loading the entrypoint in a sandbox"),
        }
    }

    /// Takes the sign of life away.
    pub(super) fn end(&self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    fn remark(&self, function: &str, text: &str) {
        self.end();
        self.session.out.note(self.named(function, text));
    }

    fn line(&self, function: &str, text: &str) {
        if !self.session.out.stderr_tty {
            self.session.out.note(format_args!("  | {}", self.named(function, text)));
            return;
        }
        let mut spinner = self.spinner.borrow_mut();
        let spinner = spinner.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}")
                .expect("the template is constant and tested by every build on a terminal");
            let spinner = ProgressBar::new_spinner().with_style(style);
            spinner.enable_steady_tick(TURN);
            spinner
        });
        let shown: String = text::visible(&self.named(function, text)).chars().take(SHOWN).collect();
        spinner.set_message(shown.replace('\n', " "));
    }

    fn named(&self, function: &str, text: &str) -> String {
        if self.is_of_several { format!("{}: {text}", text::visible(function)) } else { text.to_owned() }
    }
}
