//! Good manifests in three syntaxes, and a table of bad ones with what they are told.

use faas_types::{AuthMode, FieldRule, HttpMethod, IsolationLevel, NetworkMode, Span, TriggerSettings};
use serde_json::json;

use super::*;

const FULL: &str = r#"
name = "hello"
description = "greets"
runtime = "python3.12"
entrypoint = "main:handler"
auth = "public"
timeout = "90s"
memory = "256MB"
cpu = "500m"
network = "none"
min_isolation = 2
[scaling]
min = 1
max = 3
concurrency = 4
[vars]
GREETING = "hi"
[[triggers]]
type = "http"
path = "/"
methods = ["GET", "POST"]
"#;

fn toml(text: &str) -> Manifest {
    Manifest::from_toml("faas.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A manifest whatever syntax it was written in.
pub(super) fn unplaced(manifest: Manifest) -> Manifest {
    Manifest { origins: Origins::new(), ..manifest }
}

/// What a TOML manifest is told, without the file's name.
fn told(text: &str) -> Vec<String> {
    let errors = Manifest::from_toml("faas.toml", text).expect_err(text);
    errors.lines().map(|line| line.trim_start_matches("faas.toml:").to_owned()).collect()
}

#[test]
fn every_key_reaches_the_settings() {
    let (name, settings) = toml(FULL).resolve().expect("named");
    assert_eq!(name.as_str(), "hello");
    assert_eq!((settings.auth, settings.network), (AuthMode::Public, NetworkMode::None));
    assert_eq!((settings.timeout, settings.memory.bytes()), (Span::from_secs(90), 256 << 20));
    assert_eq!((settings.cpu_millis, settings.min_isolation), (500, IsolationLevel::Full));
    assert_eq!((settings.scaling.min, settings.scaling.max, settings.scaling.concurrency), (1, 3, Some(4)));
    assert_eq!(settings.vars["GREETING"], "hi");
    let methods = vec![HttpMethod::Get, HttpMethod::Post];
    assert_eq!(settings.triggers, [TriggerSettings::Http { path: "/".into(), methods }]);
}

#[test]
fn a_name_alone_is_a_manifest() {
    let manifest = toml("name = \"hello\"");
    assert_eq!(manifest.settings.runtime.as_str(), "python");
    assert_eq!(manifest.settings.entrypoint.to_string(), "main:handler");
    assert_eq!(manifest.settings.timeout, Span::from_secs(30));
    assert_eq!(manifest.settings.memory.bytes(), 128 << 20);
}

#[test]
fn the_three_syntaxes_mean_the_same() {
    let yaml = "kind: function\nname: hello\ntimeout: 45\nmin_isolation: 0\nscaling: {min: 0, max: 2}\n\
                vars:\n  PORT: \"80\"\ntriggers:\n  - type: http\n    path: /api\n";
    let from_yaml = Manifest::from_yaml("platform.yaml", yaml).expect("good YAML");
    let from_toml = toml(
        "name = 'hello'\ntimeout = '45s'\nscaling = { max = 2 }\nvars.PORT = '80'\ntriggers = [{type='http', path='/api'}]",
    );
    let from_json = Manifest::from_json(json!({
        "name": "hello", "timeout": 45, "scaling": {"max": 2}, "vars": {"PORT": "80"}, "description": null,
        "triggers": [{"type": "http", "path": "/api"}],
    }));
    let from_toml = unplaced(from_toml);
    assert_eq!(unplaced(from_yaml), from_toml);
    assert_eq!(from_json.map(unplaced), Ok(from_toml));
}

const ONWARD: &str =
    "name = 'a'\nbackground = { on_success = 'b', on_failure = 'a', keyless_options = ['delay', 'ordering_key'] }";

#[test]
fn json_carries_everything_to_the_server() {
    for text in
        [FULL, "name = 'a'", "name = 'a'\ncpu = 2\ntimeout = '1m'\nnetwork = 'loopback'\nscaling.min = 20", ONWARD]
    {
        let manifest = toml(text);
        assert_eq!(Manifest::from_json(manifest.to_json()).map(unplaced), Ok(unplaced(manifest)));
    }
}

#[test]
fn each_bad_value_is_told_with_place_and_way_out() {
    let table = [
        ("name = \"x\"\ntiemout = 3", "2:1: unknown key `tiemout`; did you mean `timeout`?"),
        ("env = {}", "1:1: unknown key `env`; did you mean `vars`?"),
        ("zzz = 1", "1:1: unknown key `zzz`; known keys are name, kind,"),
        ("name = \"Hello World\"", "1:8: `name`: `Hello World` is not a valid function name: use 1 to 63 of a-z"),
        ("name = 3", "1:8: `name` must be text in quotes, not a number"),
        ("name = 2026-01-01", "1:8: `name` must be text in quotes, not a date"),
        ("kind = \"app\"", "1:8: kind `app` is not available in this release;"),
        ("kind = \"job\"", "1:8: `kind` must be \"function\""),
        (
            "runtime = \"pyhton3.12\"",
            "1:11: runtime `pyhton3.12` is not available in this release; did you mean `python3.12`?",
        ),
        ("runtime = \"ruby3.3\"", "1:11: runtime `ruby3.3` is not available in this release; this release runs "),
        ("runtime = \"Python 3\"", "1:11: `runtime`: `Python 3` is not a valid runtime name"),
        ("entrypoint = \"main.py\"", "1:14: `entrypoint`: `main.py` is not a valid entrypoint: write it as file:name"),
        ("entrypoint = \"../x:y\"", "1:14: `entrypoint`: `../x:y` is not"),
        ("auth = \"open\"", "1:8: `auth` is \"private\" or \"public\", not \"open\""),
        ("background.on_success = \"B C\"", "1:25: `background.on_success`: `B C` is not a valid function name"),
        ("background.keyless_options = [\"later\"]", "1:31: `later` is not an option of a run; use \"delay\""),
        (
            "background.keyless_options = [\"delay\", \"delay\"]",
            "1:40: `background.keyless_options` names delay twice; remove one",
        ),
        ("background.callback_url = \"x\"", "1:12: unknown key `background.callback_url`"),
        ("timeout = \"16m\"", "1:11: `timeout` must be between 1s and 15m"),
        ("timeout = 0", "1:11: `timeout` must be between 1s and 15m"),
        ("timeout = -9223372036854775808", "1:11: `timeout` must be between"),
        ("timeout = \"soon\"", "1:11: `timeout`: `soon` is not a length of time"),
        ("timeout = true", "1:11: `timeout` must be text in quotes, not a boolean"),
        ("memory = \"64MB\"", "1:10: `memory` must be between 128MB and 4GB"),
        ("memory = 128", "1:10: `memory` must be between 128MB and 4GB"),
        ("memory = \"lots\"", "1:10: `memory`: `lots` is not a size"),
        ("cpu = 500", "1:7: `cpu` must be 0.05 to 64 cores"),
        ("cpu = nan", "1:7: `cpu` must be 0.05 to 64 cores"),
        ("network = \"internet\"", "1:11: `network`: did you mean \"egress\" in place of \"internet\"?"),
        ("network = \"lo\"", "1:11: `network` is \"none\" or \"loopback\" or \"egress\", not \"lo\""),
        ("min_isolation = 3", "1:17: `min_isolation` must be a whole number from 0 to 2"),
        ("scaling = 3", "1:11: `scaling` must be a table, not a number"),
        ("[scaling]\nmin = 5\nmax = 2", "2:7: `scaling.min` (5) is more than `scaling.max` (2)"),
        ("[scaling]\nmaximum = 2", "2:1: unknown key `scaling.maximum`; did you mean `scaling.max`?"),
        ("[scaling]\nmax = 1001", "2:7: `scaling.max` must be a whole number from 1 to 1000"),
        ("[scaling]\nconcurrency = 0", "2:15: `scaling.concurrency` must be a whole number from 1 to 1000"),
        ("[vars]\nPORT = 80", "2:8: `vars.PORT` must be text, not a number; put the value in quotes"),
        ("[vars]\nFAAS_X = \"1\"", "2:1: var name `FAAS_X` is reserved"),
        ("[vars]\n1A = \"1\"", "2:1: var name `1A` is not valid"),
        ("[vars]\nA = \"${secrets.a-b}\"", "2:5: `vars.A`: a reference to a secret is written ${secrets.NAME}"),
        ("[vars]\nA = \"\\u0000\"", "2:1: var `A` holds a zero byte"),
        ("triggers = {}", "1:12: `triggers` must be a list, not a table"),
        ("[[triggers]]\npath = \"/\"", "`triggers[0].type` is missing; add type = \"http\""),
        ("[[triggers]]\ntype = \"htpp\"", "2:8: unknown trigger type `htpp`; did you mean \"http\"?"),
        ("[[triggers]]\ntype = \"http\"\npath = \"api\"", "3:8: `triggers[0].path` must be a URL path"),
        ("[[triggers]]\ntype = \"http\"\npath = \"/a/../b\"", "3:8: `triggers[0].path` must be a URL path"),
        ("[[triggers]]\ntype = \"http\"\nmethods = [\"get\"]", "3:12: `get` is not a method; write it as \"GET\""),
        ("name = ", "1:8: this is not TOML: "),
        ("name = \"a\"\nname = \"b\"", "2:1: this is not TOML: duplicate key"),
    ];
    for (text, expected) in table {
        let told = told(text);
        assert!(told.len() == 1 && told[0].contains(expected), "{text}\n  wanted {expected}\n  told   {told:?}");
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let told = told("nam = 1\ntimeout = \"1h\"\n[scaling]\nmax = 0\n[vars]\nFAAS_A = \"\"\n");
    let places: Vec<_> = told.iter().map(|line| line.split(' ').next().expect("a place")).collect();
    assert_eq!(places, ["1:1:", "2:11:", "4:7:", "6:1:"]);
}

#[test]
fn size_and_nesting_are_bounded() {
    let told = told(&format!("description = \"{}\"", "x".repeat(300 << 10)));
    assert!(told[0].contains("larger than 256 KB"), "{told:?}");
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    assert!(Manifest::from_toml("faas.toml", &format!("a = {}", deep("[", "]"))).is_err());
    assert!(Manifest::from_yaml("platform.yaml", &deep("[", "]")).is_err());
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n";
    assert!(Manifest::from_yaml("platform.yaml", bomb).is_err());
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let errors = Manifest::from_json(json!({"vars": nested})).expect_err("too deep");
    assert!(errors.to_string().contains("nested deeper than"), "{errors}");
    let many: String = (0..300).map(|n| format!("V{n} = \"\"\n")).collect();
    let errors = Manifest::from_toml("faas.toml", &format!("[vars]\n{many}")).expect_err("too many");
    assert!(errors.to_string().contains("more than 256 entries"), "{errors}");
}

#[test]
fn yaml_and_json_name_the_place_they_know() {
    let errors = Manifest::from_yaml("platform.yaml", "name: hello\nscaling:\n  maxx: 3\n").expect_err("a typo");
    assert_eq!(errors.to_string(), "platform.yaml:3:3: unknown key `scaling.maxx`; did you mean `scaling.max`?");
    let errors = Manifest::from_yaml("platform.yaml", "name: [\n").expect_err("not YAML");
    assert!(errors.to_string().starts_with("platform.yaml:"), "{errors}");
    for not_a_table in [json!([]), json!("x"), json!(null)] {
        let errors = Manifest::from_json(not_a_table).expect_err("not a table");
        assert!(errors.to_string().starts_with("manifest: a manifest is a table of keys"), "{errors}");
    }
}

#[test]
fn a_directory_has_one_manifest() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = Manifest::load(dir.path()).expect_err("none").to_string();
    assert!(missing.contains("faas init") && missing.contains("single file"), "{missing}");
    std::fs::write(dir.path().join("platform.yaml"), "name: a").expect("written");
    let (path, manifest) = Manifest::load(dir.path()).expect("there is one");
    assert!(path.ends_with("platform.yaml") && manifest.name.is_some());
    std::fs::write(dir.path().join("faas.toml"), "name = 'a'").expect("written");
    let twice = Manifest::load(dir.path()).expect_err("two").to_string();
    assert!(twice.contains("keep one"), "{twice}");
}

#[test]
fn no_name_is_an_invalid_configuration() {
    let fault = toml("timeout = 3").resolve().expect_err("no name");
    assert_eq!(fault.code, Code::InvalidConfiguration);
    let fault = Fault::from(Manifest::from_json(json!({"a": 1, "b": 2})).expect_err("unknown keys"));
    assert_eq!(fault.message, format!("manifest: {} keys are wrong", fault.errors.len()));
    let found: Vec<_> = fault.errors.iter().map(|error| (error.pointer.as_str(), error.rule)).collect();
    let unknown = |pointer| (pointer, FieldRule::Unknown);
    assert!(found.contains(&unknown("/manifest/a")) && found.contains(&unknown("/manifest/b")), "{found:?}");
}

#[test]
fn a_language_brings_its_aliases_and_its_entrypoint() {
    let read = |text: &str| {
        let settings = toml(text).settings;
        (settings.runtime.to_string(), settings.entrypoint.to_string())
    };
    assert_eq!(read("name = \"a\"\nruntime = \"nodejs20\""), ("node20".into(), "index:handler".into()));
    assert_eq!(read("name = \"a\"\nruntime = \"node\"\nentrypoint = \"api:get\""), ("node".into(), "api:get".into()));
    assert_eq!(read("name = \"a\""), ("python".into(), "main:handler".into()));
}

#[test]
fn the_schema_in_the_tree_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/faas.toml.schema.json");
    let mut wanted = serde_json::to_string_pretty(&manifest_schema()).expect("JSON");
    wanted.push('\n');
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &wanted).expect("the schema can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == wanted, "docs/schema is stale; run `UPDATE_SCHEMA=1 cargo test -p faas-config schema`");
}

#[test]
fn the_schema_has_the_keys_that_the_reader_takes() {
    let schema = manifest_schema();
    let keys = |pointer: &str| {
        let mut keys: Vec<String> =
            schema.pointer(pointer).and_then(|v| v.as_object()).expect(pointer).keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |known: &[&str]| {
        let mut known: Vec<String> = known.iter().map(ToString::to_string).collect();
        known.sort();
        known
    };
    assert_eq!(keys("/properties"), sorted(fields::ROOT_KEYS));
    assert_eq!(keys("/properties/scaling/properties"), sorted(fields::SCALING_KEYS));
    assert_eq!(keys("/properties/background/properties"), sorted(background::BACKGROUND_KEYS));
    assert_eq!(keys("/properties/background/properties/retry/properties"), sorted(background::RETRY_KEYS));
    assert_eq!(keys("/properties/cors/properties"), sorted(cors::CORS_KEYS));
    assert_eq!(keys("/properties/egress/properties"), sorted(keys::EGRESS_KEYS));
    let of = |at: usize| keys(&format!("/properties/triggers/items/oneOf/{at}/properties"));
    assert_eq!(of(0), sorted(http::HTTP_KEYS));
    assert_eq!(of(1), sorted(cron::CRON_KEYS));
    assert_eq!(of(2), sorted(webhook::WEBHOOK_KEYS));
    assert_eq!(of(3), sorted(event::EVENT_KEYS));
}
