//! Translates paths inside a sandbox to paths on the host, for programs that run without a sandbox.

use std::path::{Path, PathBuf};

use crate::spawner_protocol::{OpenRequest, Program};

/// Not translated: the host's own are used, and a layer has only empty directories there.
const OF_THE_HOST: [&str; 3] = ["/tmp", "/proc", "/dev"];

/// Rewrites the working directory, the arguments and the variables from paths inside to paths on the host.
///
/// Of arguments and variables only what names a file is changed, in variables also as a part of a `PATH`-like list. A
/// program that has such paths built in will not find them.
pub(crate) fn translate(request: OpenRequest) -> OpenRequest {
    let layers = Layers { root: &request.root, mounts: &request.mounts };
    let cwd = layers.on_host(&request.cwd);
    let program = match request.program {
        Program::Exec { argv, env } => Program::Exec {
            argv: argv.iter().map(|argument| layers.named(argument)).collect(),
            env: env.into_iter().map(|(name, value)| (name, layers.list(&value))).collect(),
        },
        other => other,
    };
    OpenRequest { cwd, program, ..request }
}

struct Layers<'a> {
    root: &'a Path,
    mounts: &'a [(PathBuf, PathBuf)],
}

// === impl Layers ===

impl Layers<'_> {
    fn on_host(&self, inside: &Path) -> PathBuf {
        if OF_THE_HOST.iter().any(|path| inside.starts_with(path)) {
            return inside.to_owned();
        }
        let covering = self.mounts.iter().filter(|(_, target)| inside.starts_with(target));
        let (layer, target) = covering
            .max_by_key(|(_, target)| target.components().count())
            .map_or((self.root, Path::new("/")), |(source, target)| (source, target));
        match inside.strip_prefix(target) {
            Ok(rest) if !rest.as_os_str().is_empty() => layer.join(rest),
            _ => layer.to_owned(),
        }
    }

    /// The text itself unless it is the path of something that exists in a layer.
    fn named(&self, text: &str) -> String {
        let path = Path::new(text);
        let found = path.is_absolute().then(|| self.on_host(path)).filter(|path| path.exists());
        found.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_else(|| text.to_owned())
    }

    fn list(&self, value: &str) -> String {
        value.split(':').map(|part| self.named(part)).collect::<Vec<_>>().join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_layer_counts_and_other_text_stays() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        let at = |name: &str| home.path().join(name);
        for name in ["root/etc", "root/tmp", "app/lib"] {
            std::fs::create_dir_all(at(name))?;
        }
        let mounts = [(at("app"), PathBuf::from("/srv/app"))];
        let layers = Layers { root: &at("root"), mounts: &mounts };
        let text = |name: &str| at(name).to_string_lossy().into_owned();
        assert_eq!(layers.on_host(Path::new("/srv/app")), at("app"));
        assert_eq!(layers.named("/srv/app/lib"), text("app/lib"));
        assert_eq!(layers.named("/srv/apple"), "/srv/apple");
        assert_eq!(layers.list("/etc:/tmp:x"), format!("{}:/tmp:x", text("root/etc")));
        assert_eq!(layers.named("https://example.com/etc"), "https://example.com/etc");
        Ok(())
    }
}
