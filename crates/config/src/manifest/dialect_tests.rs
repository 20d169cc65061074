//! The other formats of a manifest and the other names of its keys.

use faas_types::{CronSchedule, Span, TriggerSettings};

use super::tests::unplaced;
use super::*;

const SPEC: &str = r#"
// function.config.ts
import type { FunctionConfig } from "@bunbase/functions";

export default {
  name: "users",
  runtime: "nodejs20",
  handler: "index.handler",
  memory: 512, // MB
  timeout: 30, // seconds
  environment: {
    NODE_ENV: 'production',
    "API_KEY": "${secrets.API_KEY}",
    MOTTO: `two
lines`,
  },
  triggers: [
    { type: "http", path: "/api/users", methods: ["GET", "POST"] },
    { type: "schedule", cron: "0 0 * * *", timezone: "UTC" },
  ],
  scaling: { minInstances: 0, maxInstances: 1_00, targetConcurrency: 10 },
  vpc: { enabled: false, subnetIds: [] },
} satisfies FunctionConfig;
"#;

fn told(text: &str) -> Vec<String> {
    let errors = Manifest::from_function_config("function.config.ts", text).expect_err(text);
    errors.lines().map(|line| line.trim_start_matches("function.config.ts:").to_owned()).collect()
}

/// What `export default {…}` with this inside is told.
fn told_of(inside: &str) -> String {
    told(&format!("export default {{{inside}}}")).join("\n")
}

#[test]
fn a_function_config_is_the_same_manifest() {
    let manifest = Manifest::from_function_config("function.config.ts", SPEC).unwrap_or_else(|e| panic!("{e}"));
    let settings = &manifest.settings;
    assert_eq!((settings.runtime.as_str(), settings.entrypoint.to_string()), ("node20", "index:handler".into()));
    assert_eq!((settings.memory.bytes(), settings.timeout), (512 << 20, Span::from_secs(30)));
    assert_eq!(settings.vars["API_KEY"], "${secrets.API_KEY}");
    assert_eq!(settings.vars["MOTTO"], "two\nlines");
    assert_eq!((settings.scaling.min, settings.scaling.max, settings.scaling.concurrency), (0, 100, Some(10)));
    let TriggerSettings::Cron(cron) = &settings.triggers[1] else { panic!("{:?}", settings.triggers) };
    assert_eq!(cron.schedule, CronSchedule::new("0 0 * * *", "UTC").expect("a schedule"));
    let literal = SPEC.split_once("default").and_then(|(_, rest)| rest.split_once("} sat")).expect("framed").0;
    let common = format!("module.exports ={literal}}};");
    let again = Manifest::from_function_config("function.config.js", &common).expect("the same");
    assert_eq!(unplaced(again), unplaced(manifest.clone()));
    let again = Manifest::from_json(manifest.to_json()).expect("as a deployment carries it");
    assert_eq!(unplaced(again), unplaced(manifest));
}

#[test]
fn json_is_read_with_places() {
    let text = "{\n  \"name\": \"hello\",\n  \"memory\": 256,\n  \"smile\": \"\\ud83d\\ude00\"\n}\n";
    let errors = Manifest::from_function_config("function.config.json", text).expect_err("an unknown key");
    assert!(errors.to_string().starts_with("function.config.json:4:3: unknown key `smile`"), "{errors}");
    let good = text.replace("smile", "description");
    let manifest = Manifest::from_function_config("function.config.json", &good).expect("good");
    assert_eq!((manifest.settings.memory.bytes(), manifest.description.as_deref()), (256 << 20, Some("😀")));
}

#[test]
fn mistakes_have_their_place_and_their_fix() {
    for (inside, wanted) in [
        ("\n  tiemout: 3,\n", "2:3: unknown key `tiemout`; did you mean `timeout`?"),
        ("\n  memory: 5,\n", "2:11: `memory` must be between"),
        ("handler: 'a.b', entrypoint: 'c:d'", "1:17: `entrypoint` is there twice"),
        ("vpc: { enabled: true }", "1:33: `vpc.enabled` is not supported"),
        ("vpc: { enabeld: true }", "unknown key `vpc.enabeld`; did you mean `vpc.enabled`?"),
        ("triggers: [{ type: 'database' }]", "trigger type `database` is not available in this release"),
        ("scaling: { maxInstances: 0 }", "`scaling.max` must be a whole number from 1"),
        ("name: 'a', name: 'b'", "1:28: the key `name` is there twice"),
    ] {
        let told = told_of(inside);
        assert!(told.contains(wanted), "{inside}: {told}");
    }
}

#[test]
fn code_is_refused_and_never_run() {
    for (inside, wanted) in [
        ("name: process.env.NAME", "1:23: `process` is code"),
        ("name: `a${1 + 1}`", "in a template literal is code"),
        ("timeout: 10 * 3", "1:29: expected `,` or `}`"),
        ("...base", "`...` is code"),
        ("[key]: 1", "a computed key is code"),
        ("handler() { return 1 }", "expected `:` and a literal behind `handler`"),
        ("name", "expected `:`"),
        ("name: 'a", "the text does not end"),
        ("timeout: 1e999", "this is not a number"),
        ("/* never", "the comment does not end"),
    ] {
        let told = told_of(inside);
        assert!(told.contains(wanted), "{inside}: {told}");
    }
    for text in ["", "const a = 1; export default {}", "export default {}; steal()", "export const x = {}", "module"] {
        assert_eq!(told(text).len(), 1, "{text}");
    }
    assert!(told(&format!("export default {}", "[".repeat(50_000)))[0].contains("nested deeper"));
}

#[test]
fn a_platform_file_has_names_of_its_own() {
    let text = "kind: function\nname: hello\nentrypoint: main:handler\nenv:\n  A: b\ninvocation_mode: async\nruntime_limits:\n  timeout: 10s\n  memory: 256MB\n  concurrency: 3\n";
    let manifest = Manifest::from_yaml("platform.yaml", text).unwrap_or_else(|e| panic!("{e}"));
    let settings = &manifest.settings;
    assert_eq!((settings.timeout, settings.memory.bytes()), (Span::from_secs(10), 256 << 20));
    assert_eq!((settings.scaling.concurrency, settings.vars["A"].as_str()), (Some(3), "b"));
    assert_eq!(settings.background.mode, faas_types::InvocationMode::Async);
    let errors = Manifest::from_yaml("platform.yaml", &text.replace("memory", "memroy")).expect_err("a typo");
    assert!(errors.to_string().contains("platform.yaml:9:3: unknown key `runtime_limits.memroy`"), "{errors}");
    let errors = Manifest::from_yaml("platform.yaml", &format!("{text}timeout: 3s\n")).expect_err("twice");
    assert!(errors.to_string().contains("`timeout` is there twice"), "{errors}");
}
