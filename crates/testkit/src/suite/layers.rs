//! What every layer store promises.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas_ports::{Blobs, LayerBuild, Layers, PortError};
use faas_types::{Bundle, BundleFile, Digest, RunId, limits};

use super::blobs::digest_of;
use super::{ok, refused, soon};
use crate::fixture::fresh;

/// Layers from builds and from bundles. Uses its own digests; files of bundles go to `blobs`.
pub async fn layers(layers: Arc<dyn Layers>, blobs: Arc<dyn Blobs>) {
    a_build_is_sealed_and_normalised(&*layers).await;
    a_failed_build_leaves_nothing(&*layers).await;
    concurrent_calls_build_once(Arc::clone(&layers)).await;
    a_caller_that_goes_away_blocks_nobody(Arc::clone(&layers)).await;
    a_bundle_is_laid_out(&*layers, &*blobs).await;
    hostile_bundles_are_refused(&*layers, &*blobs).await;
    concurrent_bundles_agree(layers, blobs).await;
}

fn unique() -> Digest {
    let id: RunId = fresh();
    digest_of(id.to_string().as_bytes())
}

fn build(work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> LayerBuild {
    Box::new(work)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).map(|found| found.permissions().mode() & 0o7777).unwrap_or_default()
}

async fn a_build_is_sealed_and_normalised(layers: &dyn Layers) {
    let digest = unique();
    assert_eq!(layers.find(&digest), None, "an absent layer is found");
    ok("remove of nothing", layers.remove(&digest).await);
    let work = |draft: &Path| {
        assert_eq!(fs::read_dir(draft)?.count(), 0, "the draft is not empty");
        fs::create_dir_all(draft.join("a/private"))?;
        fs::write(draft.join("a/private/data"), "data")?;
        fs::write(draft.join("program"), "#!/bin/sh")?;
        fs::set_permissions(draft.join("program"), Permissions::from_mode(0o4710))?;
        fs::set_permissions(draft.join("a/private/data"), Permissions::from_mode(0o600))?;
        fs::set_permissions(draft.join("a/private"), Permissions::from_mode(0o700))?;
        symlink("/nowhere/outside", draft.join("link"))
    };
    let path = ok("seal", layers.seal(&digest, build(work)).await);
    assert_eq!(layers.find(&digest).as_deref(), Some(&*path), "a sealed layer is found under another path");
    for (name, wanted) in
        [("", 0o755), ("a", 0o755), ("a/private", 0o755), ("a/private/data", 0o644), ("program", 0o755)]
    {
        assert_eq!(mode(&path.join(name)), wanted, "the mode of `{name}`");
    }
    assert_eq!(fs::read(path.join("a/private/data")).expect("the file is there"), b"data");
    assert_eq!(fs::read_link(path.join("link")).expect("the link is there"), Path::new("/nowhere/outside"));
    let again = layers.seal(&digest, build(|_| panic!("a sealed layer was built again"))).await;
    assert_eq!(ok("seal again", again), path);
    ok("remove", layers.remove(&digest).await);
    assert!(layers.find(&digest).is_none() && !path.exists(), "a removed layer is found");
}

async fn a_failed_build_leaves_nothing(layers: &dyn Layers) {
    let digest = unique();
    let fail = |draft: &Path| {
        fs::write(draft.join("half"), "half")?;
        Err(io::Error::other("the recipe is wrong"))
    };
    let error = refused("a failed build", layers.seal(&digest, build(fail)).await);
    assert!(error.to_string().contains("the recipe is wrong"), "the cause is lost: {error}");
    assert_eq!(layers.find(&digest), None, "a failed build is found");
    let invalid = |_: &Path| Err(io::Error::new(io::ErrorKind::InvalidData, "bad archive"));
    let error = refused("a build of bad input", layers.seal(&digest, build(invalid)).await);
    assert!(matches!(error, PortError::Invalid(_)), "bad input is the caller's fault: {error}");
    let full = |_: &Path| Err(io::Error::from(io::ErrorKind::StorageFull));
    let error = refused("a build on a full disk", layers.seal(&digest, build(full)).await);
    assert!(matches!(error, PortError::StorageFull), "{error}");
    let panics = |draft: &Path| {
        fs::write(draft.join("half"), "half")?;
        panic!("this panic is part of the test")
    };
    refused("a build that panics", layers.seal(&digest, build(panics)).await);
    let good = |draft: &Path| {
        assert!(!draft.join("half").exists(), "a failed build's file is in the next draft");
        fs::write(draft.join("whole"), "whole")
    };
    let path = ok("seal after failures", layers.seal(&digest, build(good)).await);
    assert!(path.join("whole").exists() && !path.join("half").exists());
}

async fn concurrent_calls_build_once(layers: Arc<dyn Layers>) {
    let digest = unique();
    let builds = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (layers, builds) = (Arc::clone(&layers), Arc::clone(&builds));
            tokio::spawn(async move {
                let work = move |draft: &Path| {
                    builds.fetch_add(1, Ordering::SeqCst);
                    // Long enough that the other calls arrive meanwhile.
                    std::thread::sleep(Duration::from_millis(50));
                    fs::write(draft.join("file"), "x")
                };
                let path = ok("seal", layers.seal(&digest, build(work)).await);
                assert!(path.join("file").exists(), "a call returned before the layer was complete");
            })
        })
        .collect();
    for call in calls {
        soon("a concurrent seal", call).await.expect("the call ends well");
    }
    assert_eq!(builds.load(Ordering::SeqCst), 1, "concurrent calls for one digest must build once");
}

async fn a_caller_that_goes_away_blocks_nobody(layers: Arc<dyn Layers>) {
    let digest = unique();
    let (begun, began) = tokio::sync::oneshot::channel();
    let slow = Arc::clone(&layers);
    let work = move |draft: &Path| {
        fs::write(draft.join("first"), "x")?;
        let _ = begun.send(());
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    };
    let call = tokio::spawn(async move { slow.seal(&digest, build(work)).await });
    soon("the beginning of a build", began).await.expect("the build began");
    call.abort();
    let second = layers.seal(&digest, build(|draft| fs::write(draft.join("second"), "x")));
    let path = ok("seal after an abandoned one", soon("a seal after an abandoned one", second).await);
    assert_eq!(fs::read_dir(path).expect("the layer is there").count(), 1, "two builds are mixed");
}

/// A bundle of files whose bytes are stored.
async fn bundle(blobs: &dyn Blobs, files: &[(&str, &str)]) -> Bundle {
    let mut bundle = Bundle::default();
    for (path, content) in files {
        let digest = ok("put", blobs.put(content.to_string().into()).await);
        let size = content.len() as u64;
        bundle.files.push(BundleFile { path: (*path).into(), digest, size, executable: path.ends_with(".sh") });
    }
    bundle
}

fn digest_of_bundle(bundle: &Bundle) -> Digest {
    digest_of(&bundle.canonical_bytes())
}

async fn a_bundle_is_laid_out(layers: &dyn Layers, blobs: &dyn Blobs) {
    let id: RunId = fresh();
    let unique = id.to_string();
    let files = [("main.py", &*unique), ("pkg/sub/mod.py", "1"), ("pkg/run.sh", "2"), ("pkg/empty", ""), ("ü ☃", "3")];
    let bundle = bundle(blobs, &files).await;
    let digest = digest_of_bundle(&bundle);
    let path = ok("seal_bundle", layers.seal_bundle(&digest, &bundle, blobs).await);
    assert_eq!(layers.find(&digest).as_deref(), Some(&*path));
    for (name, content) in files {
        assert_eq!(fs::read(path.join(name)).expect("the file is there"), content.as_bytes(), "{name}");
        let wanted = if name.ends_with(".sh") { 0o755 } else { 0o644 };
        assert_eq!(mode(&path.join(name)), wanted, "the mode of {name}");
    }
    assert_eq!((mode(&path), mode(&path.join("pkg/sub"))), (0o755, 0o755), "the modes of directories");
    ok("delete", blobs.delete(&bundle.files[0].digest).await);
    assert_eq!(ok("a sealed bundle needs no blobs", layers.seal_bundle(&digest, &bundle, blobs).await), path);
    let mut turned = bundle;
    turned.files.reverse();
    assert_eq!(ok("another order of files", layers.seal_bundle(&digest, &turned, blobs).await), path);
}

async fn hostile_bundles_are_refused(layers: &dyn Layers, blobs: &dyn Blobs) {
    let long = format!("{}/{}/{}", "a".repeat(255), "b".repeat(255), "c");
    let deep = vec!["d"; limits::BUNDLE_DEPTH_MAX + 1].join("/");
    assert_eq!(long.len(), limits::BUNDLE_PATH_MAX + 1);
    let single = ["../x", "/etc/x", "a/../../b", "a/..", "..", ".", "", "a//b", "a/", "a\0b", "a\nb", &long, &deep];
    let mut hostile: Vec<Vec<(&str, &str)>> = single.iter().map(|path| vec![("ok", "x"), (*path, "x")]).collect();
    hostile.push(vec![("a", "x"), ("a", "x")]);
    hostile.push(vec![("a", "x"), ("a/b", "x")]);
    hostile.push(vec![("a/b/c", "x"), ("a/b", "x")]);
    for files in hostile {
        let bundle = bundle(blobs, &files).await;
        let digest = digest_of_bundle(&bundle);
        let error = refused("a hostile bundle", layers.seal_bundle(&digest, &bundle, blobs).await);
        assert!(matches!(error, PortError::Invalid(_)), "{files:?}: {error}");
        assert_eq!(layers.find(&digest), None, "a hostile bundle was sealed: {files:?}");
    }
    let good = bundle(blobs, &[("a", "x"), ("b", "yy")]).await;
    let error = refused("another digest", layers.seal_bundle(&unique(), &good, blobs).await);
    assert!(matches!(error, PortError::Invalid(_)), "{error}");
    let mut lying = good.clone();
    lying.files[1].size = 1;
    let error = refused("a wrong size", layers.seal_bundle(&digest_of_bundle(&lying), &lying, blobs).await);
    assert!(matches!(error, PortError::Invalid(_)), "{error}");
    let mut absent = good;
    absent.files[1].digest = unique();
    let digest = digest_of_bundle(&absent);
    let error = refused("a file that is not stored", layers.seal_bundle(&digest, &absent, blobs).await);
    assert!(matches!(error, PortError::NotFound { .. }), "{error}");
    assert_eq!(layers.find(&digest), None, "half a bundle was sealed");
}

async fn concurrent_bundles_agree(layers: Arc<dyn Layers>, blobs: Arc<dyn Blobs>) {
    let id: RunId = fresh();
    let bundle = Arc::new(bundle(&*blobs, &[("a", &id.to_string()), ("b/c", "x")]).await);
    let digest = digest_of_bundle(&bundle);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (layers, blobs, bundle) = (Arc::clone(&layers), Arc::clone(&blobs), Arc::clone(&bundle));
            tokio::spawn(async move { ok("seal_bundle", layers.seal_bundle(&digest, &bundle, &*blobs).await) })
        })
        .collect();
    for call in calls {
        let path = soon("a concurrent bundle", call).await.expect("the call ends well");
        assert!(path.join("a").exists() && path.join("b/c").exists(), "a bundle was returned half laid out");
    }
}
