//! What takes more than requests one after the other: concurrency, cancellation, time limits, large bodies, ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use faas_ports::{ExchangeEnd, ExchangeItem, InstanceSpec, Launched, Launcher};
use faas_types::{Code, RuntimeName};
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::case::{self, invocation, invoke};
use crate::launcher;

fn function(code: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.py"), code).unwrap();
    folder
}

fn spec(folder: &Path, python: &RuntimeName, concurrency: u32) -> InstanceSpec {
    case::spec(folder, python, "main:handler", concurrency, &BTreeMap::new())
}

/// Every Python of this machine.
fn pythons() -> Vec<RuntimeName> {
    let names = launcher().runtimes().into_iter().map(|runtime| runtime.name);
    let found: Vec<_> = names.filter(|name| name.language() == "python").collect();
    assert!(!found.is_empty(), "there is no Python to test");
    found
}

/// Every Node of this machine, with an instance of a module each.
async fn on_each_node(code: &str, concurrency: u32) -> Vec<(RuntimeName, tempfile::TempDir, Launched)> {
    let mut launched = Vec::new();
    for name in launcher().runtimes().into_iter().map(|runtime| runtime.name).filter(|name| name.language() == "node") {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main.mjs"), code).unwrap();
        let spec = case::spec(folder.path(), &name, "main:handler", concurrency, &BTreeMap::new());
        let instance = launcher().launch(spec).await.unwrap();
        launched.push((name, folder, instance));
    }
    launched
}

#[tokio::test]
async fn calls_of_node_share_an_instance_and_keep_their_logs_apart() {
    let code = "let running = 0;\n\
                const nap = () => new Promise((resolve) => setTimeout(resolve, 1));\n\
                export async function handler(event) {\n  \
                  running += 1;\n  \
                  console.log('start', event);\n  \
                  while (running < 20) await nap();\n  \
                  await new Promise((resolve) => setImmediate(() => resolve(console.log('later', event))));\n  \
                  return event;\n\
                }\n";
    for (name, _folder, launched) in on_each_node(code, 20).await {
        assert_eq!(launched.instance.concurrency(), 20);
        let calls = (0..20).map(|n| invoke(&*launched.instance, invocation("POST", n.to_string().into_bytes())));
        for (n, collected) in join_all(calls).await.into_iter().enumerate() {
            assert_eq!(collected.body, n.to_string().into_bytes(), "{name}");
            let logs: Vec<String> = collected.logs.into_iter().map(|entry| entry.message).collect();
            assert_eq!(logs, [format!("start {n}"), format!("later {n}")], "{name}");
        }
        launched.instance.stop(Duration::from_secs(2)).await;
    }
}

#[tokio::test]
async fn a_dropped_exchange_aborts_the_signal_and_the_stream_of_node() {
    let code = "const seen = [];\n\
                const nap = () => new Promise((resolve) => setTimeout(resolve, 1));\n\
                export async function handler(event, context) {\n  \
                  if (event === 'wait') {\n    \
                    context.signal.addEventListener('abort', () => seen.push('aborted'));\n    \
                    console.log('waiting');\n    \
                    await new Promise(() => {});\n  \
                  }\n  \
                  if (event === 'stream') {\n    \
                    const pull = async (controller) => (await nap(), controller.enqueue('x'.repeat(1000)));\n    \
                    return new ReadableStream({ pull, cancel: () => seen.push('closed') });\n  \
                  }\n  \
                  while (seen.length < 2) await nap();\n  \
                  return seen.sort();\n\
                }\n";
    for (name, _folder, launched) in on_each_node(code, 3).await {
        let mut waiting = launched.instance.invoke(invocation("POST", b"wait".to_vec()));
        assert!(matches!(waiting.next().await, Some(ExchangeItem::Log(_))), "{name}");
        let mut stream = launched.instance.invoke(invocation("POST", b"stream".to_vec()));
        assert!(matches!(stream.next().await, Some(ExchangeItem::Head(_))), "{name}");
        drop((waiting, stream));
        let collected = invoke(&*launched.instance, invocation("POST", b"ask".to_vec())).await;
        assert_eq!(collected.body, br#"["aborted","closed"]"#, "{name}");
    }
}

#[tokio::test]
async fn a_heap_that_is_full_is_told_from_a_crash() {
    let full = "const kept = [];\nexport function handler() {\n  for (;;) kept.push(new Array(1e5).fill(0.5));\n}\n";
    let crash = "export const handler = () => process.abort();\n";
    for (code, out_of_memory) in [(full, true), (crash, false)] {
        for (name, _folder, launched) in on_each_node(code, 1).await {
            let collected = invoke(&*launched.instance, invocation("POST", Vec::new())).await;
            assert!(matches!(collected.end, Some(ExchangeEnd::Lost)), "{name}");
            let exit = launched.instance.exited().await;
            assert_eq!((exit.out_of_memory, exit.signal.is_some()), (out_of_memory, true), "{name}");
        }
    }
}

#[tokio::test]
async fn node_says_goodbye_when_it_is_told_to_stop() {
    let code = "process.on('exit', () => process.exit(9));\nexport const handler = () => 1;\n";
    for (name, _folder, launched) in on_each_node(code, 1).await {
        assert_eq!(launched.instance.stop(Duration::from_secs(5)).await.code, Some(9), "{name}");
    }
}

#[tokio::test]
async fn lines_arrive_while_a_handler_of_node_blocks() {
    let code = "export function handler() {\n  \
                  console.log('one');\n  \
                  console.log('two');\n  \
                  const end = Date.now() + 3000;\n  \
                  while (Date.now() < end);\n\
                }\n";
    for (name, _folder, launched) in on_each_node(code, 1).await {
        let begun = Instant::now();
        let mut stream = launched.instance.invoke(invocation("POST", Vec::new()));
        for _ in 0..2 {
            assert!(matches!(stream.next().await, Some(ExchangeItem::Log(_))), "{name}");
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{name}: the lines waited for the end");
    }
}

async fn launch(folder: &Path, python: &RuntimeName, concurrency: u32) -> Launched {
    launcher().launch(spec(folder, python, concurrency)).await.unwrap()
}

#[tokio::test]
async fn async_calls_share_an_instance_and_keep_their_logs_apart() {
    let folder = function(
        "import asyncio\n\
         running = 0\n\
         async def handler(event):\n    \
             global running\n    \
             running += 1\n    \
             print('start', event)\n    \
             while running < 20:\n        \
                 await asyncio.sleep(0.001)\n    \
             await asyncio.to_thread(print, 'thread', event)\n    \
             return event\n",
    );
    for python in pythons() {
        let launched = launch(folder.path(), &python, 20).await;
        assert_eq!(launched.instance.concurrency(), 20);
        let instance = &*launched.instance;
        let calls = (0..20).map(|n| invoke(instance, invocation("POST", n.to_string().into_bytes())));
        for (n, collected) in join_all(calls).await.into_iter().enumerate() {
            assert_eq!(collected.body, n.to_string().into_bytes());
            let logs: Vec<String> = collected.logs.into_iter().map(|entry| entry.message).collect();
            assert_eq!(logs, [format!("start {n}"), format!("thread {n}")]);
        }
        instance.stop(Duration::from_secs(2)).await;
    }
}

#[tokio::test]
async fn a_sync_handler_takes_one_call_at_a_time() {
    let folder = function("def handler(event):\n    return event\n");
    for python in pythons() {
        assert_eq!(launch(folder.path(), &python, 20).await.instance.concurrency(), 1);
    }
}

#[tokio::test]
async fn dropping_an_exchange_cancels_the_call_inside() {
    let folder = function(
        "import asyncio\n\
         seen = []\n\
         async def handler(event):\n    \
             if event == 'wait':\n        \
                 try:\n            \
                     print('waiting')\n            \
                     await asyncio.sleep(60)\n        \
                 except asyncio.CancelledError:\n            \
                     seen.append('cancelled')\n            \
                     raise\n    \
             while not seen:\n        \
                 await asyncio.sleep(0.001)\n    \
             return seen\n",
    );
    for python in pythons() {
        let launched = launch(folder.path(), &python, 2).await;
        let mut waiting = launched.instance.invoke(invocation("POST", b"wait".to_vec()));
        assert!(matches!(waiting.next().await, Some(ExchangeItem::Log(_))));
        drop(waiting);
        let collected = invoke(&*launched.instance, invocation("POST", b"ask".to_vec())).await;
        assert_eq!(collected.body, br#"["cancelled"]"#);
    }
}

#[tokio::test]
async fn a_slow_import_ends_at_the_init_limit() {
    let folder = function("import time\nprint('slow')\ntime.sleep(60)\n");
    let launcher = launcher();
    for python in pythons() {
        launcher.prepare(&python).await.unwrap();
        let begun = Instant::now();
        let slow = InstanceSpec { init_timeout: Duration::from_millis(300), ..spec(folder.path(), &python, 1) };
        let fault = launcher.launch(slow).await.err().unwrap();
        assert_eq!(fault.code, Code::ColdStartTimeout, "{python}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{python}");
    }
}

#[tokio::test]
async fn what_an_import_prints_is_the_instances_log() {
    let folder = function("import os\nprint('loading')\nos.write(2, b'raw')\ndef handler(event):\n    return 1\n");
    for python in pythons() {
        let mut launched = launch(folder.path(), &python, 1).await;
        let mut messages =
            vec![launched.logs.recv().await.unwrap().message, launched.logs.recv().await.unwrap().message];
        messages.sort();
        assert_eq!(messages, ["loading", "raw"]);
        assert!(launched.timings.sandbox + launched.timings.runtime + launched.timings.import > Duration::ZERO);
    }
}

#[tokio::test]
async fn lines_arrive_while_the_handler_sleeps() {
    let folder = function(
        "import time\ndef handler(event):\n    print('one')\n    print('two')\n    time.sleep(3)\n    return 1\n",
    );
    for python in pythons() {
        let launched = launch(folder.path(), &python, 1).await;
        let begun = Instant::now();
        let mut stream = launched.instance.invoke(invocation("POST", Vec::new()));
        for _ in 0..2 {
            assert!(matches!(stream.next().await, Some(ExchangeItem::Log(_))));
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "the lines waited for the end");
    }
}

#[tokio::test]
async fn stop_lets_the_handler_say_goodbye_and_then_kills() {
    let polite = function("import atexit, os\natexit.register(os._exit, 9)\ndef handler(event):\n    return 1\n");
    for python in pythons() {
        let launched = launch(polite.path(), &python, 1).await;
        assert_eq!(launched.instance.stop(Duration::from_secs(5)).await.code, Some(9));
        let deaf = function("import time\ndef handler(event):\n    print('deaf')\n    time.sleep(60)\n");
        let launched = launch(deaf.path(), &python, 1).await;
        let mut stream = launched.instance.invoke(invocation("POST", Vec::new()));
        assert!(matches!(stream.next().await, Some(ExchangeItem::Log(_))));
        assert_eq!(launched.instance.stop(Duration::from_millis(50)).await.signal, Some(9));
        assert!(matches!(stream.next().await, Some(ExchangeItem::End(ExchangeEnd::Lost))));
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test]
async fn a_dropped_instance_leaves_no_process() {
    let folder = function("import os\ndef handler(event):\n    return os.getpid()\n");
    for python in pythons() {
        let launched = launch(folder.path(), &python, 1).await;
        let collected = invoke(&*launched.instance, invocation("POST", Vec::new())).await;
        let process = format!("/proc/{}", String::from_utf8(collected.body).unwrap());
        assert!(Path::new(&process).exists());
        drop(launched);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Path::new(&process).exists() {
            assert!(Instant::now() < deadline, "the process outlived its instance");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_runtime_that_is_not_here_is_named_with_those_that_are() {
    let fault = launcher().resolve(&"python2.7".parse().unwrap()).unwrap_err();
    assert_eq!(fault.code, Code::RuntimeMissing);
    assert!(fault.hint.unwrap().contains("python3."));
}
