//! `faas layers publish`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use faas_client::rest::PublishLayer;
use faas_client::{LocalFile, UploadStep};
use faas_config::SourceDir;
use faas_packages::{Ecosystem, ecosystem};
use faas_preflight::AllowedSecret;
use faas_source::fetched::{FetchedSource, SourceArgs};
use faas_source::{bundle, checks, project};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::{Code, LayerName, RuntimeName, limits};

use super::version_table;

/// A layer that is worth a word about what is heavy in it.
const HEAVY: u64 = 50 << 20;
/// Heavy things that the word names.
const NAMED: usize = 3;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas layers publish shared-utils ./lib --runtime python\n  faas layers publish models ./models.zip -m 'retrained'\n  faas layers publish web --file requirements.txt --runtime python3.13\n\nA function names it in its manifest: layers = [\"shared-utils:1\"]"
)]
pub(crate) struct PublishArgs {
    /// The layer; made when it does not exist
    name: LayerName,
    #[command(flatten)]
    source: SourceArgs,
    /// A runtime that it is for, such as python3.13, or python for any version; may be given again [default: any]
    #[arg(long = "runtime", value_name = "RUNTIME")]
    runtimes: Vec<RuntimeName>,
    /// Install the packages that a file asks for, such as requirements.txt or package-lock.json
    #[arg(long, alias = "from", value_name = "FILE", conflicts_with_all = ["path", "git"])]
    file: Option<PathBuf>,
    /// What changed, for people
    #[arg(short = 'm', long = "note", value_name = "TEXT")]
    note: Option<String>,
    /// A false positive of the secret scan, such as tests/keys.py:jwt; may be given again
    #[arg(long, value_name = "PATH:RULE")]
    allow_secret: Vec<AllowedSecret>,
}

pub(crate) async fn run(args: PublishArgs, session: &Session) -> anyhow::Result<()> {
    if args.note.as_ref().is_some_and(|note| note.len() > limits::NOTE_MAX) {
        return Err(Failure::usage(format!("the note is longer than {} bytes; shorten it", limits::NOTE_MAX)).into());
    }
    if args.file.is_some() && args.runtimes.len() != 1 {
        let failure = Failure::usage("packages are installed for one runtime");
        return Err(failure.with_hint("name it, such as --runtime python3.13, and publish once for each").into());
    }
    // Held until the upload has ended: what was unpacked is gone afterwards.
    let (files, _source) = match &args.file {
        Some(file) => (asking(file, &args.runtimes[0])?, None),
        None => {
            let source = FetchedSource::fetch_whole(args.source)?;
            (files_of(&source.path).map_err(|error| source.named(&error))?, Some(source))
        }
    };
    if files.is_empty() {
        return Err(Failure::of(Code::InvalidConfiguration, "there is not a single file to publish").into());
    }
    let findings = checks::preflight(&files, &args.allow_secret, &checks::policies(session).await);
    checks::warnings(&findings).for_each(|warning| session.out.note(format_args!("warning: {warning}")));
    checks::refuse(&findings)?;
    let client = session.client()?;
    let name = args.name.as_str();
    let plan = client.check_blobs(&files).await?;
    let count = text::counted(files.len(), "file");
    session.out.note(format_args!(
        "publishing {name}: {count}, {}; {} to upload",
        text::bytes(plan.total_bytes),
        text::bytes(plan.missing_bytes)
    ));
    client.upload(&plan.missing, &files, |_: UploadStep| {}).await?;
    let layer = PublishLayer {
        files: files.into_iter().map(|file| file.entry).collect(),
        runtimes: args.runtimes.iter().map(ToString::to_string).collect(),
        install: args.file.is_some(),
        note: args.note,
        allow_secrets: args.allow_secret.iter().map(ToString::to_string).collect(),
    };
    let version = client.publish_layer(name, &layer).await?;
    if version.size >= HEAVY {
        let one = |heavy: &faas_types::InstalledPackage| {
            format!("{} {}", text::visible(&heavy.name), text::bytes(heavy.size))
        };
        let heavy: Vec<String> = version.heaviest.iter().take(NAMED).map(one).collect();
        session.out.note(format_args!("the heaviest in it: {}", heavy.join(", ")));
    }
    session.out.item(&version, version_table)
}

/// A directory, or a single file.
fn files_of(path: &Path) -> anyhow::Result<Vec<LocalFile>> {
    let looked = project::look(path).map_err(|failure| failure.with_hint("name a directory, a file or an archive"))?;
    if looked.is_dir() {
        return bundle::walk(path);
    }
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => bundle::single(path, name),
        None => Err(Failure::usage(format!("{} has no name in UTF-8", path.display())).into()),
    }
}

/// A file that asks for packages of a runtime, with what is read beside it. One of another name is taken for the usual one.
fn asking(path: &Path, runtime: &RuntimeName) -> anyhow::Result<Vec<LocalFile>> {
    project::look(path)?;
    let known = ecosystem(runtime.language()).map(Ecosystem::request_files).unwrap_or_default();
    let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let none = || Failure::of(Code::NotImplemented, format!("packages of {runtime} are not installed in this release"));
    let (name, beside) = known.iter().find(|(name, _)| *name == own).or_else(|| known.first()).ok_or_else(none)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut files = bundle::single(path, name)?;
    let source = SourceDir::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    for name in beside.iter().filter(|name| source.has(name)) {
        files.extend(bundle::single(&dir.join(name), name)?);
    }
    files.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    Ok(files)
}
