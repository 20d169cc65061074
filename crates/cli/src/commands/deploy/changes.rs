//! What a deployment changes against the version that is live.

use std::collections::BTreeMap;

use std::time::Duration;

use faas_client::rest::BundleFileBody;
use faas_client::{Client, ClientError, LocalFile, Rows};
use faas_source::bundle;
use faas_source::project::Project;
use faas_terminal::text;
use faas_types::Code;
use serde_json::{Value, json};
use similar::{Algorithm, TextDiff};

/// Files whose lines are compared, and the bytes that each may have.
const DIFF_FILES: usize = 50;
const DIFF_BYTES: u64 = 256 << 10;
/// Files that are named to programs, of each list.
pub(super) const NAMED_MAX: usize = 100;
/// Comparing what has little in common is given up early.
const DIFF_PATIENCE: Duration = Duration::from_millis(500);

/// Files by what becomes of them, each by path.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The version that they are against; `None` for a new function, or when the key may not read files.
    version: Option<u32>,
    added: Vec<BundleFileBody>,
    changed: Vec<(BundleFileBody, BundleFileBody)>,
    removed: Vec<BundleFileBody>,
}

/// The live version of a function and its files.
async fn live_files(client: &Client, function: &str) -> Result<Option<(u32, Vec<BundleFileBody>)>, ClientError> {
    let Some(version) = client.function(function).await?.version else { return Ok(None) };
    let files = client.version_files(function, &version.to_string(), &Rows::all()).await?.items;
    Ok(Some((version, files)))
}

// === impl Changes ===

impl Changes {
    pub(super) async fn against_live(client: &Client, project: &Project) -> Result<Self, ClientError> {
        let live = match live_files(client, project.name.as_str()).await {
            Ok(live) => live,
            // New, or without a version so far; and a key that only deploys may not read.
            Err(error)
                if matches!(error.code(), Some(Code::FunctionNotFound | Code::NotFound | Code::PermissionDenied)) =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        let (version, files) = live.unzip();
        Ok(Self::between(version, files.unwrap_or_default(), &project.files))
    }

    fn between(version: Option<u32>, before: Vec<BundleFileBody>, after: &[LocalFile]) -> Self {
        let mut before: BTreeMap<String, BundleFileBody> =
            before.into_iter().map(|file| (file.path.clone(), file)).collect();
        let mut changes = Self { version, ..Self::default() };
        for LocalFile { entry, .. } in after {
            match before.remove(&entry.path) {
                None => changes.added.push(entry.clone()),
                Some(old) if old != *entry => changes.changed.push((old, entry.clone())),
                Some(_) => {}
            }
        }
        changes.removed = before.into_values().collect();
        changes
    }

    /// One line for each file: `~ main.py (1.2 KB, was 1.1 KB)`.
    pub(super) fn lines(&self) -> Vec<String> {
        let named = |mark: &str, file: &BundleFileBody| {
            format!("{mark} {} ({})", text::visible(&file.path), text::bytes(file.size))
        };
        let changed = self.changed.iter().map(|(old, new)| {
            format!("~ {} ({}, was {})", text::visible(&new.path), text::bytes(new.size), text::bytes(old.size))
        });
        let added = self.added.iter().map(|file| named("+", file));
        changed.chain(added).chain(self.removed.iter().map(|file| named("-", file))).collect()
    }

    pub(super) fn summary(&self) -> String {
        let (added, changed, removed) = (self.added.len(), self.changed.len(), self.removed.len());
        match self.version {
            None => "first deployment".to_owned(),
            Some(version) if added + changed + removed == 0 => format!("the files of version {version}, unchanged"),
            Some(version) => format!("{changed} changed, {added} added, {removed} removed since version {version}"),
        }
    }

    /// Each list is cut; the counts are not.
    pub(super) fn to_json(&self) -> Value {
        let entry = |file: &BundleFileBody| json!({ "path": file.path, "bytes": file.size });
        let pair = |(old, new): &(BundleFileBody, BundleFileBody)| json!({ "path": new.path, "bytes": new.size, "bytes_before": old.size });
        json!({
            "since": self.version,
            "counts": { "added": self.added.len(), "changed": self.changed.len(), "removed": self.removed.len() },
            "added": self.added.iter().take(NAMED_MAX).map(entry).collect::<Vec<_>>(),
            "changed": self.changed.iter().take(NAMED_MAX).map(pair).collect::<Vec<_>>(),
            "removed": self.removed.iter().take(NAMED_MAX).map(entry).collect::<Vec<_>>(),
        })
    }

    /// The version that is live.
    pub(super) fn live(&self) -> Option<u32> {
        self.version
    }

    /// The changed lines of text files, as a unified diff. Large and binary files are only named.
    pub(super) async fn diff(&self, client: &Client, project: &Project) -> anyhow::Result<String> {
        let Some(version) = self.version else { return Ok(String::new()) };
        let mut diff = String::new();
        for (old, new) in self.changed.iter().take(DIFF_FILES) {
            let Some(local) = project.files.iter().find(|file| file.entry.path == new.path) else { continue };
            if old.size.max(new.size) > DIFF_BYTES {
                diff.push_str(&format!("large files differ: {}\n", new.path));
                continue;
            }
            let before = client.version_file(project.name.as_str(), &version.to_string(), &old.path).await?;
            let after = bundle::read(local)?;
            match (String::from_utf8(before), String::from_utf8(after)) {
                (Ok(before), Ok(after)) if !before.contains('\0') && !after.contains('\0') => {
                    diff.push_str(&unified(&new.path, &before, &after));
                }
                _ => diff.push_str(&format!("binary files differ: {}\n", new.path)),
            }
        }
        if self.changed.len() > DIFF_FILES {
            diff.push_str(&format!("{} more files differ\n", self.changed.len() - DIFF_FILES));
        }
        Ok(diff)
    }
}

fn unified(path: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).timeout(DIFF_PATIENCE).diff_lines(before, after);
    diff.unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}")).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(path: &str, content: u8) -> BundleFileBody {
        BundleFileBody { path: path.into(), digest: format!("{content:064x}"), size: content.into(), executable: false }
    }

    fn local(path: &str, content: u8) -> LocalFile {
        LocalFile { local: PathBuf::from(path), entry: file(path, content) }
    }

    #[test]
    fn files_are_told_by_what_becomes_of_them() {
        let before = vec![file("a", 1), file("b", 2), file("c", 3)];
        let changes = Changes::between(Some(4), before.clone(), &[local("a", 1), local("b", 9), local("d", 7)]);
        assert_eq!(changes.lines(), ["~ b (9 B, was 2 B)", "+ d (7 B)", "- c (3 B)"]);
        assert_eq!(changes.summary(), "1 changed, 1 added, 1 removed since version 4");
        let same = Changes::between(Some(4), vec![file("a", 1)], &[local("a", 1)]);
        assert_eq!(same.summary(), "the files of version 4, unchanged");
        let many: Vec<LocalFile> =
            (0..6_000).map(|n| local(&format!("node_modules/a-package/lib/{n}.js"), 1)).collect();
        let told = Changes::between(None, Vec::new(), &many).to_json();
        assert_eq!(
            (told["counts"]["added"].as_u64(), told["added"].as_array().map(Vec::len)),
            (Some(6_000), Some(100))
        );
        assert!(told.to_string().len() < 10_000);
        assert_eq!(unified("x", "a\nb\n", "a\nc\n"), "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }
}
