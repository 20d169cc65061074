//! Named layers of a private server, from directories of this machine.

use std::path::PathBuf;
use std::str::FromStr;

use faas_client::rest::PublishLayer;
use faas_client::{Client, LocalFile};
use faas_config::Manifest;
use faas_source::bundle;
use faas_terminal::failure::Failure;
use faas_types::{Bundle, BundleFile, Code, LayerName, LayerRef};

/// A directory that stands for a named layer, whatever version of it a manifest names.
#[derive(Clone, Debug)]
pub struct LocalLayer {
    name: LayerName,
    dir: PathBuf,
}

/// Publishes the layers that a manifest names, and lets it name them as they are called there.
pub(crate) async fn lay_in(client: &Client, layers: &[LocalLayer], manifest: &mut Manifest) -> anyhow::Result<()> {
    let wanted = &mut manifest.settings.layers;
    if let Some(LocalLayer { name, .. }) = layers.iter().find(|local| wanted.iter().all(|one| one.name != local.name)) {
        let failure = Failure::usage(format!("--layer {name}: the manifest names no layer {name}"));
        return Err(failure.with_hint(format!("add it: layers = [\"{name}\"]")).into());
    }
    for one in wanted {
        match layers.iter().find(|local| local.name == one.name) {
            Some(local) => one.version = Some(published(client, local).await?),
            None => is_there(client, one).await?,
        }
    }
    Ok(())
}

/// The number of the version that has the directory's files; the newest if that is so already.
async fn published(client: &Client, layer: &LocalLayer) -> anyhow::Result<u32> {
    let dir = layer.dir.clone();
    let files = tokio::task::spawn_blocking(move || bundle::walk(&dir)).await??;
    let newest = client.layer_version(&LayerRef { name: layer.name.clone(), version: None }).await;
    if let Ok(newest) = newest
        && digest_of(&files).is_some_and(|digest| digest == newest.digest)
    {
        return Ok(newest.version);
    }
    let name = layer.name.as_str();
    let plan = client.check_blobs(&files).await?;
    client.upload(&plan.missing, &files, |_| {}).await?;
    let files = files.into_iter().map(|file| file.entry).collect();
    Ok(client.publish_layer(name, &PublishLayer { files, ..PublishLayer::default() }).await?.version)
}

/// The hash of a list of files, as the server tells it.
fn digest_of(files: &[LocalFile]) -> Option<String> {
    let file = |LocalFile { entry, .. }: &LocalFile| {
        let digest = entry.digest.parse().ok()?;
        Some(BundleFile { path: entry.path.clone(), digest, size: entry.size, executable: entry.executable })
    };
    let bundle = Bundle { files: files.iter().map(file).collect::<Option<_>>()? };
    Some(blake3::hash(&bundle.canonical_bytes()).to_hex().to_string())
}

async fn is_there(client: &Client, layer: &LayerRef) -> anyhow::Result<()> {
    if client.layer_version(layer).await.is_ok() {
        return Ok(());
    }
    let failure = Failure::of(
        Code::InvalidConfiguration,
        format!("layers: {layer} is not here; a server of one's own starts empty"),
    );
    Err(failure.with_hint(format!("name the directory that it is made of: --layer {}=DIR", layer.name)).into())
}

// === impl LocalLayer ===

impl LocalLayer {
    /// Refuses a path that is not a directory, before anything is started.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Self { name, dir } = self;
        if dir.is_dir() {
            return Ok(());
        }
        Err(Failure::usage(format!("--layer {name}: {} is no directory", dir.display())))
    }
}

impl FromStr for LocalLayer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, dir) = text.split_once('=').ok_or("write NAME=DIR, such as shared-utils=../shared")?;
        let name = name.parse().map_err(|error: faas_types::InvalidName| error.to_string())?;
        Ok(Self { name, dir: PathBuf::from(dir) })
    }
}
