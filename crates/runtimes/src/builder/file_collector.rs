//! What a build hands over: checked like any upload, stored as it comes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faas_ports::Blobs;
use faas_proto::build::FileHead;
use faas_types::limits::{BUNDLE_BYTES_MAX, BUNDLE_FILE_MAX, BUNDLE_FILES_MAX, BUNDLE_PATH_MAX};
use faas_types::{Bundle, BundleFile, ByteSize, Code, Digest, Fault};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::failed::Failed;

/// Files that are stored at once: each waits for the disk.
const AT_ONCE: usize = 32;
/// Bytes that wait to be stored together, unless one file has more.
const GROUP_BYTES: usize = 16 << 20;
/// Files that wait to be stored together.
const GROUP_FILES: usize = 256;

/// Collects the files of a build.
pub(super) struct FileCollector {
    blobs: Arc<dyn Blobs>,
    secrets: Vec<String>,
    files: Vec<BundleFile>,
    size: u64,
    current: Option<(FileHead, BytesMut)>,
    group: Vec<Bytes>,
    group_bytes: usize,
}

// === impl FileCollector ===

impl FileCollector {
    pub(super) fn new(blobs: Arc<dyn Blobs>, secrets: Vec<String>) -> Self {
        Self { blobs, secrets, files: Vec::new(), size: 0, current: None, group: Vec::new(), group_bytes: 0 }
    }

    /// A file begins.
    pub(super) async fn begin(&mut self, head: FileHead) -> Result<(), Failed> {
        if self.current.is_some() {
            return Err(breach("a file begins inside another"));
        }
        if self.files.len() >= BUNDLE_FILES_MAX {
            return Err(too_large(&format!("more than {BUNDLE_FILES_MAX} files")));
        }
        if head.path.len() > BUNDLE_PATH_MAX {
            return Err(too_large(&format!("a path of more than {BUNDLE_PATH_MAX} bytes, `{}…`", shown(&head.path))));
        }
        if head.size > BUNDLE_FILE_MAX {
            let most = ByteSize::from_bytes(BUNDLE_FILE_MAX);
            return Err(too_large(&format!("a file of more than {most}, `{}`", shown(&head.path))));
        }
        self.size += head.size;
        if self.size > BUNDLE_BYTES_MAX {
            return Err(too_large(&format!("more than {}", ByteSize::from_bytes(BUNDLE_BYTES_MAX))));
        }
        self.current = Some((head, BytesMut::new()));
        self.settle().await
    }

    /// More of the file that has begun.
    pub(super) async fn take(&mut self, part: &[u8]) -> Result<(), Failed> {
        let Some((head, content)) = &mut self.current else { return Err(breach("content without a file")) };
        content.extend_from_slice(part);
        if content.len() as u64 > head.size {
            return Err(breach("a file is longer than announced"));
        }
        self.settle().await
    }

    /// The whole tree, once everything is stored.
    pub(super) async fn finish(&mut self) -> Result<Bundle, Failed> {
        if self.current.is_some() {
            return Err(breach("the last file is not complete"));
        }
        self.store().await?;
        let bundle = Bundle { files: std::mem::take(&mut self.files) };
        bundle.validate().map_err(|fault| {
            let message = format!("the packages cannot be laid out: {}", fault.message);
            Failed::Fault(Box::new(Fault::new(Code::DeploymentFailed, message)))
        })?;
        Ok(bundle)
    }

    /// Ends the file in progress when all of it is there.
    async fn settle(&mut self) -> Result<(), Failed> {
        if self.current.as_ref().is_none_or(|(head, content)| content.len() as u64 != head.size) {
            return Ok(());
        }
        let Some((head, content)) = self.current.take() else { return Ok(()) };
        if let Some(path) = self.betrays(&head, &content) {
            let message = format!("the package's file `{path}` holds credentials of the index");
            let fault = Fault::new(Code::DeploymentFailed, message)
                .with_hint("a package has read them while it was installed: look at it, and replace them");
            return Err(Failed::Fault(Box::new(fault)));
        }
        let digest = Digest::from_bytes(*blake3::hash(&content).as_bytes());
        self.files.push(BundleFile { path: head.path, digest, size: head.size, executable: head.executable });
        self.group_bytes += content.len();
        self.group.push(content.freeze());
        if self.group_bytes >= GROUP_BYTES || self.group.len() >= GROUP_FILES { self.store().await } else { Ok(()) }
    }

    async fn store(&mut self) -> Result<(), Failed> {
        self.group_bytes = 0;
        let puts = std::mem::take(&mut self.group).into_iter().map(|content| self.blobs.put(content));
        let stored = stream::iter(puts).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await;
        stored.map_err(|error| Failed::Fault(Box::new(error.into())))
    }

    /// The path of a file that holds a secret as it is. Not a wall, since there are other ways to write it, but most
    /// accidents end here.
    fn betrays(&self, head: &FileHead, content: &[u8]) -> Option<String> {
        let holds = |secret: &String| content.windows(secret.len()).any(|part| part == secret.as_bytes());
        self.secrets.iter().any(holds).then(|| shown(&head.path))
    }
}

fn breach(why: &str) -> Failed {
    Failed::Breach(why.to_owned())
}

fn too_large(what: &str) -> Failed {
    let fault = Fault::new(Code::PayloadTooLarge, format!("the packages have {what}")).with_command_hint(
        "depend on less, or on smaller builds of the same packages; `faas layers get` shows what is heavy",
    );
    Failed::Fault(Box::new(fault))
}

fn shown(path: &str) -> String {
    path.chars().take(100).flat_map(char::escape_default).collect()
}
