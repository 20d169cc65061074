//! What a stack of named layers is made of.

use std::fmt::Write as _;

use faas_types::{Digest, FunctionSettings, LayerName, VersionRecord};

/// What a stack of layers is made of.
#[derive(Clone, Copy, Debug)]
pub struct StackSpec<'v> {
    /// The settings that name the layers.
    pub settings: &'v FunctionSettings,
    /// The bundles of `settings.layers`, in their order.
    pub digests: &'v [Digest],
    /// The bundle of the installed packages.
    pub packages: Option<Digest>,
}

// === impl StackSpec ===

impl<'v> StackSpec<'v> {
    /// The stack that a version stands on.
    #[must_use]
    pub fn of(version: &'v VersionRecord) -> Self {
        Self { settings: &version.settings, digests: &version.layers, packages: version.dependencies }
    }

    /// What the tree of mount points is named after.
    #[must_use]
    pub fn recipe(&self) -> Vec<u8> {
        let mut text = format!("faas-stack 1\n{}\n", self.settings.runtime.language());
        if let Some(packages) = self.packages {
            writeln!(text, "{packages}").expect("a string takes all text");
        }
        for (name, digest) in self.names() {
            writeln!(text, "{digest} {name}").expect("a string takes all text");
        }
        text.into_bytes()
    }

    /// The name of that tree; `None` where there is nothing to mount.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        (!self.digests.is_empty()).then(|| Digest::from_bytes(*blake3::hash(&self.recipe()).as_bytes()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&LayerName, &Digest)> {
        self.settings.layers.iter().map(|layer| &layer.name).zip(self.digests)
    }
}
