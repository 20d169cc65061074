//! Leads each runtime to the launcher of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use faas_languages::Language;
use faas_ports::{InstanceSpec, Launched, Launcher, RuntimeDescription, StartMetrics};
use faas_types::{ByteSize, Code, Fault, RuntimeName};

/// The launchers of a server, one for each kind of runtime that it can start. The kind of a language is a key of its
/// description; a language of another kind is refused when it is deployed.
pub struct LauncherRouter {
    launchers: BTreeMap<&'static str, Arc<dyn Launcher>>,
    /// The kind of each language.
    kinds: BTreeMap<String, String>,
}

// === impl LauncherRouter ===

impl LauncherRouter {
    /// Of these launchers, by the kind that each starts.
    #[must_use]
    pub fn new(launchers: impl IntoIterator<Item = (&'static str, Arc<dyn Launcher>)>) -> Self {
        let kinds = Language::all().iter().map(|language| (language.name.clone(), language.kind.clone())).collect();
        Self { launchers: launchers.into_iter().collect(), kinds }
    }

    fn route(&self, name: &RuntimeName) -> Result<&Arc<dyn Launcher>, Fault> {
        let Some(kind) = self.kinds.get(name.language()) else {
            let fault = Fault::new(Code::RuntimeMissing, format!("runtime {name} is not part of this release"));
            return Err(fault.with_hint(self.advice()));
        };
        self.launchers.get(kind.as_str()).ok_or_else(|| {
            let message = format!("runtime {name} is of the kind `{kind}`, which this release does not start");
            Fault::new(Code::NotImplemented, message).with_hint(self.advice())
        })
    }

    fn advice(&self) -> String {
        let names: Vec<String> = self.runtimes().into_iter().map(|runtime| runtime.name.to_string()).collect();
        if names.is_empty() {
            "install a language that this release runs, and restart the server".to_owned()
        } else {
            format!("name one of {} as `runtime`", names.join(", "))
        }
    }
}

#[async_trait]
impl Launcher for LauncherRouter {
    fn runtimes(&self) -> Vec<RuntimeDescription> {
        self.launchers.values().flat_map(|launcher| launcher.runtimes()).collect()
    }

    fn resolve(&self, name: &RuntimeName) -> Result<RuntimeDescription, Fault> {
        self.route(name)?.resolve(name)
    }

    /// What cannot be started has nothing to wait for.
    fn is_prepared(&self, name: &RuntimeName) -> bool {
        self.route(name).map_or(true, |launcher| launcher.is_prepared(name))
    }

    fn anticipate(&self, wanted: BTreeSet<(RuntimeName, ByteSize)>) {
        for (kind, launcher) in &self.launchers {
            let is_own = |name: &RuntimeName| self.kinds.get(name.language()).is_some_and(|of| of == kind);
            launcher.anticipate(wanted.iter().filter(|(name, _)| is_own(name)).cloned().collect());
        }
    }

    fn starts(&self) -> StartMetrics {
        self.launchers.values().fold(StartMetrics::default(), |sum, launcher| sum.plus(launcher.starts()))
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<Launched, Fault> {
        self.route(&spec.settings.runtime)?.launch(spec).await
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Knows one runtime and hears what is anticipated.
    struct One {
        name: &'static str,
        wanted: Mutex<Vec<String>>,
    }

    impl One {
        fn new(name: &'static str) -> Arc<Self> {
            Arc::new(Self { name, wanted: Mutex::default() })
        }

        fn description(&self) -> RuntimeDescription {
            RuntimeDescription { name: runtime(self.name), exact: "1".into(), origin: "/x".into() }
        }
    }

    #[async_trait]
    impl Launcher for One {
        fn runtimes(&self) -> Vec<RuntimeDescription> {
            vec![self.description()]
        }

        fn resolve(&self, _: &RuntimeName) -> Result<RuntimeDescription, Fault> {
            Ok(self.description())
        }

        fn anticipate(&self, wanted: BTreeSet<(RuntimeName, ByteSize)>) {
            *self.wanted.lock() = wanted.into_iter().map(|(name, _)| name.to_string()).collect();
        }

        fn starts(&self) -> StartMetrics {
            StartMetrics { parked: vec![(runtime(self.name), 1)], started: [1, 0, 2], ..StartMetrics::default() }
        }

        async fn launch(&self, _: InstanceSpec) -> Result<Launched, Fault> {
            Err(Fault::new(Code::NotImplemented, "starts nothing"))
        }
    }

    fn runtime(name: &str) -> RuntimeName {
        name.parse().expect("a runtime")
    }

    fn router(processes: &Arc<One>, modules: &Arc<One>) -> LauncherRouter {
        let kinds = [("ruby", "process"), ("wasm", "module"), ("image", "image")];
        LauncherRouter {
            launchers: BTreeMap::from([("process", Arc::clone(processes) as _), ("module", Arc::clone(modules) as _)]),
            kinds: kinds.map(|(language, kind)| (language.to_owned(), kind.to_owned())).into(),
        }
    }

    #[test]
    fn a_runtime_goes_to_the_launcher_of_its_kind() {
        let (processes, modules) = (One::new("ruby3.4"), One::new("wasm1"));
        let router = router(&processes, &modules);
        let resolved = |name: &str| router.resolve(&runtime(name)).map(|found| found.name.to_string());
        assert_eq!(resolved("ruby3.4"), Ok("ruby3.4".to_owned()));
        assert_eq!(resolved("wasm"), Ok("wasm1".to_owned()));
        router.anticipate(["ruby", "wasm1", "image1"].map(|name| (runtime(name), ByteSize::from_mib(128))).into());
        assert_eq!((&*processes.wanted.lock(), &*modules.wanted.lock()), (&vec!["ruby".into()], &vec!["wasm1".into()]));
        let starts = router.starts();
        assert_eq!((starts.parked.len(), starts.started), (2, [2, 0, 4]));
    }

    #[test]
    fn a_kind_without_a_launcher_is_refused_with_what_there_is() {
        let router = router(&One::new("ruby3.4"), &One::new("wasm1"));
        let refused = router.resolve(&runtime("image7")).expect_err("nothing starts images");
        assert_eq!(refused.code, Code::NotImplemented);
        assert_eq!(refused.message, "runtime image7 is of the kind `image`, which this release does not start");
        assert_eq!(refused.hint.as_deref(), Some("name one of wasm1, ruby3.4 as `runtime`"));
        let unknown = router.resolve(&runtime("cobol")).expect_err("no such language");
        assert_eq!(unknown.code, Code::RuntimeMissing);
        assert!(router.is_prepared(&runtime("image")), "nothing to wait for");
    }

    #[test]
    fn every_language_of_this_release_is_of_a_kind_that_starts() {
        let router = LauncherRouter::new([(crate::PROCESS, One::new("x") as _)]);
        for language in Language::all() {
            assert!(router.route(&language.newest()).is_ok(), "{} is of kind {}", language.name, language.kind);
        }
    }
}
