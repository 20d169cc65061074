//! How the named layers of a version lie over each other.
//!
//! Each appears at its own path. Languages that look for packages in one place get links there, one for each package:
//! those that were installed for the function win, then the layers in the order of the manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use faas_languages::{Language, LinkedPackages};
use faas_ports::LayerStack;
use faas_types::{Bundle, Digest, Fault};

use crate::bundle_store::BundleStore;
use crate::stack_spec::StackSpec;

/// Where layers appear inside.
const LAYERS: &str = "/opt/layers";

/// A layer with its files.
struct LayerSource<'b> {
    /// Where it appears, below [`LAYERS`].
    place: String,
    bundle: &'b Bundle,
}

// === impl BundleStore ===

impl BundleStore {
    /// The trees of a version's named layers on this machine; laid out again from the stored files when they are gone.
    ///
    /// # Errors
    /// When their files are not stored.
    pub async fn lay_out_stack(&self, spec: StackSpec<'_>) -> Result<Option<LayerStack>, Fault> {
        let Some(digest) = spec.digest() else { return Ok(None) };
        let mut layers = Vec::with_capacity(spec.digests.len());
        for (name, digest) in spec.names() {
            layers.push((name.clone(), self.lay_out(digest).await?));
        }
        let base = match self.layers.find(&digest) {
            Some(base) => base,
            None => self.seal_stack(digest, spec).await?,
        };
        Ok(Some(LayerStack { base, layers }))
    }

    async fn seal_stack(&self, digest: Digest, spec: StackSpec<'_>) -> Result<PathBuf, Fault> {
        let names: Vec<String> = spec.names().map(|(name, _)| name.to_string()).collect();
        let language = Language::named(spec.settings.runtime.language());
        let linked = language.and_then(|language| language.layers.as_ref());
        let links = match linked {
            Some(linked) => self.package_links(linked, spec).await?,
            None => BTreeMap::new(),
        };
        let installed = linked.map(|linked| linked.installed.as_str());
        Ok(self.layers.seal(&digest, Box::new(move |draft| build(draft, &names, installed, &links))).await?)
    }

    async fn package_links(
        &self,
        linked: &LinkedPackages,
        spec: StackSpec<'_>,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let mut bundles = Vec::with_capacity(spec.digests.len());
        for (name, digest) in spec.names() {
            bundles.push((name.to_string(), self.listing(digest).await?));
        }
        let installed = match &spec.packages {
            Some(packages) => Some(self.listing(packages).await?),
            None => None,
        };
        let layers = bundles.iter().map(|(name, bundle)| LayerSource { place: name.clone(), bundle });
        Ok(package_links(linked, installed.as_ref(), layers))
    }
}

/// Packages by name, with the paths that they appear at.
fn package_links<'b>(
    linked: &LinkedPackages,
    installed: Option<&Bundle>,
    layers: impl Iterator<Item = LayerSource<'b>>,
) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for file in installed.iter().flat_map(|bundle| &bundle.files) {
        if let Some(package) = package(&file.path) {
            links.entry(package.to_owned()).or_insert_with(|| format!("{LAYERS}/{}/{package}", linked.installed));
        }
    }
    for LayerSource { place, bundle } in layers {
        for file in &bundle.files {
            if linked.roots.contains(&file.path) {
                links.entry(place.clone()).or_insert_with(|| format!("{LAYERS}/{place}"));
            }
            for below in &linked.places {
                if let Some(package) = file.path.strip_prefix(below.as_str()).and_then(package) {
                    links.entry(package.to_owned()).or_insert_with(|| format!("{LAYERS}/{place}/{below}{package}"));
                }
            }
        }
    }
    links
}

/// The package that a file below `node_modules` belongs to: `name` or `@scope/name`.
fn package(path: &str) -> Option<&str> {
    let (first, rest) = path.split_once('/')?;
    match first.as_bytes().first()? {
        b'.' => None,
        b'@' => rest.split_once('/').map(|(name, _)| &path[..=first.len() + name.len()]),
        _ => Some(first),
    }
}

fn build(draft: &Path, names: &[String], installed: Option<&str>, links: &BTreeMap<String, String>) -> io::Result<()> {
    let (mounts, packages) = (draft.join("names"), draft.join("packages"));
    fs::create_dir_all(mounts.join(installed.unwrap_or_default()))?;
    fs::create_dir(&packages)?;
    names.iter().try_for_each(|name| fs::create_dir(mounts.join(name)))?;
    for (package, target) in links {
        let link = packages.join(package);
        link.parent().map_or(Ok(()), fs::create_dir_all)?;
        symlink(target, link)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use faas_types::BundleFile;

    use super::*;

    fn bundle(paths: &[&str]) -> Bundle {
        let file = |path: &&str| BundleFile {
            path: (*path).into(),
            digest: Digest::from_bytes([7; 32]),
            size: 1,
            executable: false,
        };
        Bundle { files: paths.iter().map(file).collect() }
    }

    #[test]
    fn installed_packages_win_then_the_first_layer() {
        let installed = bundle(&["lodash/index.js", ".package-lock.json", ".bin/x", "@a/b/index.js"]);
        let (first, second) = (
            bundle(&["node_modules/lodash/index.js", "node_modules/ms/index.js", "node_modules/@a/c/x.js", "data.txt"]),
            bundle(&["nodejs/node_modules/ms/index.js", "nodejs/node_modules/qs/index.js", "index.mjs"]),
        );
        let linked = Language::named("node").and_then(|language| language.layers.as_ref()).expect("links packages");
        let layers = [("one", &first), ("two", &second)];
        let layers = layers.into_iter().map(|(name, bundle)| LayerSource { place: name.into(), bundle });
        let found = package_links(linked, Some(&installed), layers);
        let found: Vec<(&str, &str)> = found.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
        assert_eq!(
            found,
            [
                ("@a/b", "/opt/layers/.packages/node_modules/@a/b"),
                ("@a/c", "/opt/layers/one/node_modules/@a/c"),
                ("lodash", "/opt/layers/.packages/node_modules/lodash"),
                ("ms", "/opt/layers/one/node_modules/ms"),
                ("qs", "/opt/layers/two/nodejs/node_modules/qs"),
                ("two", "/opt/layers/two"),
            ]
        );
    }

    #[test]
    fn files_beside_packages_are_none() {
        for path in ["x.js", ".bin/x", "@a/x.js", "@a", ""] {
            assert_eq!(package(path), None, "{path}");
        }
        assert_eq!(package("@a/b/c/d.js"), Some("@a/b"));
    }
}
