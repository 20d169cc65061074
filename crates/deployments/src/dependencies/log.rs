//! The lines of a version's build log about its packages.

use faas_types::{BuildLine, BuildLog, LayerRecord, LogLevel, LogStream, Timestamp};

use super::Dependencies;

/// Bytes of the installer's output that a version keeps, from its end. The layer keeps all of it.
const INSTALLER_BYTES: usize = 32 << 10;

// === impl Dependencies ===

impl Dependencies {
    /// The installer's lines where packages were installed for this version, else one line that names the layer.
    pub(crate) fn log(&self, now: Timestamp) -> BuildLog {
        match (&self.layer, &self.note) {
            (Some(layer), _) if !self.reused => installed(layer),
            (Some(layer), _) => one(now, reused(layer, self.source.as_ref().unwrap_or(&layer.source))),
            (None, Some(note)) => one(now, note.clone()),
            (None, None) => BuildLog::default(),
        }
    }
}

fn reused(layer: &LayerRecord, source: &str) -> String {
    let LayerRecord { id, built_at, .. } = layer;
    format!("packages of {source}: layer {id}, built {built_at}, is used again; `faas layers get {id}` shows its log")
}

fn installed(layer: &LayerRecord) -> BuildLog {
    let mut bytes = 0;
    let fitting = layer.log.iter().rev().take_while(|line| {
        bytes += line.len();
        bytes <= INSTALLER_BYTES
    });
    let kept = fitting.count();
    let left_out = layer.log.len() - kept;
    let lines = layer.log[left_out..].iter().map(|line| line_of(layer.built_at, line.clone()));
    BuildLog { lines: lines.collect(), dropped: left_out as u64 }
}

fn one(at: Timestamp, message: String) -> BuildLog {
    BuildLog { lines: vec![line_of(at, message)], dropped: 0 }
}

fn line_of(at: Timestamp, message: String) -> BuildLine {
    BuildLine { at, level: LogLevel::Info, stream: LogStream::Platform, message }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use faas_types::{Digest, LayerId};

    use super::*;

    fn packages(log: Vec<String>, reused: bool) -> Dependencies {
        let layer = LayerRecord {
            id: LayerId::from_u128(7),
            bundle: Digest::from_bytes([0; 32]),
            runtime: "python3.12".parse().expect("a runtime"),
            source: "requirements.txt".into(),
            files: 1,
            size: 1,
            packages: Vec::new(),
            built_at: Timestamp::from_millis(1_000),
            took_ms: 1,
            log,
            skipped_install_scripts: Vec::new(),
        };
        Dependencies { layer: Some(Arc::new(layer)), reused, took: Duration::ZERO, source: None, note: None }
    }

    #[test]
    fn a_version_keeps_the_end_of_the_installers_lines() {
        let lines: Vec<String> = (0..200).map(|n| format!("{n:03}{}", "x".repeat(997))).collect();
        let log = packages(lines, false).log(Timestamp::from_millis(9_000));
        assert_eq!((log.lines.len(), log.dropped), (32, 168));
        assert!(log.lines[31].message.starts_with("199") && log.lines[0].at == Timestamp::from_millis(1_000));
    }

    #[test]
    fn a_layer_that_was_there_is_named() {
        let log = packages(vec!["old".into()], true).log(Timestamp::from_millis(9_000));
        assert_eq!((log.lines.len(), log.lines[0].stream), (1, LogStream::Platform));
        let message = &log.lines[0].message;
        assert!(message.starts_with("packages of requirements.txt: layer lay_"), "{message}");
        assert!(message.contains("built 1970-01-01T00:00:01"), "{message}");
    }
}
