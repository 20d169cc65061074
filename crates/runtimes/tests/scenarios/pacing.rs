//! Bodies that are read while they arrive, replies that are sent as fast as they are taken, and calls that are given up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{ExchangeEnd, ExchangeItem, Invocation, InvocationBody, Launched, Launcher};
use faas_types::{Code, Fault, RuntimeName};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;

use crate::case::{self, invocation, invoke};
use crate::launcher;

const READS: [Function; 2] = [
    (
        "python",
        "main.py",
        "async def handler(scope, receive, send):\n    \
             total, more = 0, True\n    \
             while more:\n        \
                 event = await receive()\n        \
                 total, more = total + len(event['body']), event['more_body']\n        \
                 print('got', total)\n    \
             await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n    \
             await send({'type': 'http.response.body', 'body': str(total).encode()})\n",
    ),
    (
        "javascript",
        "main.mjs",
        "export async function handler(request) {\n  \
           let total = 0;\n  \
           for await (const part of request.body) {\n    \
             total += part.length;\n    \
             console.log('got', total);\n  \
           }\n  \
           return new Response(String(total));\n\
         }\n",
    ),
];

const WRITES: [Function; 2] = [
    (
        "python",
        "main.py",
        "sent = 0\n\
         async def stream():\n    \
             global sent\n    \
             for _ in range(80):\n        \
                 sent += 65536\n        \
                 yield b'x' * 65536\n\
         async def handler(event):\n    \
             return sent if event == 'ask' else stream()\n",
    ),
    (
        "javascript",
        "main.mjs",
        "let sent = 0;\n\
         async function* stream() {\n  \
           for (let i = 0; i < 80; i++) {\n    \
             sent += 65536;\n    \
             yield new Uint8Array(65536);\n  \
           }\n\
         }\n\
         export const handler = async (event) => (event === 'ask' ? sent : stream());\n",
    ),
];

const NAPS: [Function; 3] = [
    (
        "python",
        "main.py",
        "import time\n\
         def handler(event):\n    \
             print('began')\n    \
             time.sleep(event or 0)\n    \
             return 'done'\n",
    ),
    (
        "python",
        "main.py",
        "import time\n\
         async def handler(event):\n    \
             print('began')\n    \
             import asyncio\n    \
             try:\n        \
                 await asyncio.sleep(event or 0)\n    \
             finally:\n        \
                 time.sleep(0.3 if event == 30 else 0)\n    \
             return 'done'\n",
    ),
    (
        "javascript",
        "main.mjs",
        "export async function handler(event) {\n  \
           console.log('began');\n  \
           await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(event) || 0)));\n  \
           return 'done';\n\
         }\n",
    ),
];

const SURROGATES: [Function; 2] = [
    (
        "python",
        "main.py",
        "import asyncio\n\
         async def handler(event):\n    \
             print('began')\n    \
             if event != 1:\n        \
                 raise ValueError(event)\n    \
             await asyncio.sleep(1)\n    \
             return 'done'\n",
    ),
    (
        "javascript",
        "main.mjs",
        "export async function handler(event) {\n  \
           console.log('began');\n  \
           if (event !== 1) throw new Error(event);\n  \
           await new Promise((resolve) => setTimeout(resolve, 1000));\n  \
           return 'done';\n\
         }\n",
    ),
];

/// A language, the name of a file and what is in it.
type Function = (&'static str, &'static str, &'static str);

/// The functions on every version of their language that this machine has.
pub(crate) fn on_every_version(functions: &[Function]) -> Vec<(RuntimeName, &'static str, &'static str)> {
    let runtimes: Vec<RuntimeName> = launcher().runtimes().into_iter().map(|runtime| runtime.name).collect();
    let versions = |function: &Function| {
        let (language, file, code) = *function;
        let is_of = move |name: &str| name == language || language == "javascript" && ["node", "deno"].contains(&name);
        let names = runtimes.iter().filter(move |name| is_of(name.language()));
        names.map(|name| (name.clone(), file, code)).collect::<Vec<_>>()
    };
    functions.iter().flat_map(versions).collect()
}

pub(crate) async fn launch(
    (runtime, file, code): &(RuntimeName, &str, &str),
    concurrency: u32,
) -> (tempfile::TempDir, Launched) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), code).unwrap();
    let spec = case::spec(folder.path(), runtime, "main:handler", concurrency, &BTreeMap::new());
    let launched = launcher().launch(spec).await.unwrap();
    (folder, launched)
}

/// The next line of the log.
async fn line(items: &mut BoxStream<'static, ExchangeItem>) -> String {
    match tokio::time::timeout(Duration::from_secs(20), items.next()).await.expect("in time") {
        Some(ExchangeItem::Log(entry)) => entry.message,
        other => panic!("a line was expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_body_is_read_while_it_arrives() {
    for function in on_every_version(&READS) {
        let (_folder, launched) = launch(&function, 4).await;
        assert!(launched.instance.streams_bodies(), "{}", function.0);
        let (client, body) = mpsc::channel::<Result<Bytes, Fault>>(1);
        let body = stream::unfold(body, |mut body| async move { body.recv().await.map(|part| (part, body)) });
        let body = InvocationBody::Stream(body.boxed());
        let mut items = launched.instance.invoke(Invocation { body, ..invocation("POST", Vec::new()) });
        for (sent, total) in [(1_000, "got 1000"), (2_000, "got 3000")] {
            client.send(Ok(vec![0; sent].into())).await.unwrap();
            assert_eq!(line(&mut items).await, total, "{}", function.0);
        }
        client.send(Ok(vec![0; 3 << 20].into())).await.unwrap();
        drop(client);
        let mut reply = Vec::new();
        while let Some(item) = items.next().await {
            match item {
                ExchangeItem::Reply { body, .. } | ExchangeItem::Body(body) => reply.extend_from_slice(&body),
                ExchangeItem::End(ExchangeEnd::Complete { .. }) => {}
                ExchangeItem::End(end) => panic!("{}: {end:?}", function.0),
                _ => {}
            }
        }
        assert_eq!(reply, (3_000 + (3 << 20)).to_string().into_bytes(), "{}", function.0);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_its_call_and_no_other() {
    for function in on_every_version(&READS) {
        let (_folder, launched) = launch(&function, 4).await;
        let parts = [Ok(Bytes::from_static(b"abc")), Err(Fault::new(Code::BadRequest, "the body broke off"))];
        let body = InvocationBody::Stream(stream::iter(parts).boxed());
        let mut items = launched.instance.invoke(Invocation { body, ..invocation("POST", Vec::new()) });
        let end = loop {
            match items.next().await {
                Some(ExchangeItem::End(end)) => break end,
                Some(_) => {}
                None => panic!("{}: no end", function.0),
            }
        };
        assert!(matches!(end, ExchangeEnd::Broken { .. }), "{}: {end:?}", function.0);
        assert!(launched.instance.settle(Duration::from_secs(5)).await, "{}", function.0);
        let collected = invoke(&*launched.instance, invocation("POST", b"1234".to_vec())).await;
        assert_eq!(collected.body, b"4", "{}", function.0);
    }
}

#[tokio::test]
async fn a_reply_that_nobody_takes_holds_its_handler_and_no_other() {
    for function in on_every_version(&WRITES) {
        let (_folder, launched) = launch(&function, 4).await;
        let mut items = launched.instance.invoke(invocation("POST", Vec::new()));
        assert!(matches!(items.next().await, Some(ExchangeItem::Head(_))), "{}", function.0);
        let mut sent = 0;
        loop {
            let asked = invoke(&*launched.instance, invocation("POST", b"\"ask\"".to_vec())).await;
            let now: u64 = String::from_utf8(asked.body).unwrap().parse().unwrap();
            if now == sent && now > 0 {
                break;
            }
            sent = now;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(sent <= 1 << 20, "{}: {sent} bytes for a client that takes none", function.0);
        let mut taken = 0;
        while let Some(item) = items.next().await {
            if let ExchangeItem::Body(part) = item {
                taken += part.len();
            }
        }
        assert_eq!(taken, 80 * 65_536, "{}", function.0);
    }
}

#[tokio::test]
async fn an_instance_settles_once_what_was_cancelled_has_ended() {
    for function in on_every_version(&NAPS) {
        let (_folder, launched) = launch(&function, 1).await;
        let instance = &*launched.instance;
        let mut items = instance.invoke(invocation("POST", b"0.2".to_vec()));
        assert_eq!(line(&mut items).await, "began");
        drop(items);
        assert!(instance.settle(Duration::from_secs(10)).await, "{}: a short one", function.0);
        assert!(!invoke(instance, invocation("POST", Vec::new())).await.body.is_empty(), "{}", function.0);
        let mut items = instance.invoke(invocation("POST", b"30".to_vec()));
        assert_eq!(line(&mut items).await, "began");
        drop(items);
        assert!(!instance.settle(Duration::from_millis(50)).await, "{}: a long one", function.0);
    }
}

#[tokio::test]
async fn an_error_with_a_lone_surrogate_ends_its_call_and_no_other() {
    for function in on_every_version(&SURROGATES) {
        let (_folder, launched) = launch(&function, 4).await;
        let instance = &*launched.instance;
        let mut neighbour = instance.invoke(invocation("POST", b"1".to_vec()));
        assert_eq!(line(&mut neighbour).await, "began");
        match invoke(instance, invocation("POST", br#""\ud800""#.to_vec())).await.end {
            Some(ExchangeEnd::Raised { error, .. }) => assert_eq!(error.message, "\u{fffd}", "{}", function.0),
            end => panic!("{}: {end:?}", function.0),
        }
        let items: Vec<_> = neighbour.collect().await;
        let ended = matches!(items.last(), Some(ExchangeItem::Reply { body, .. }) if body == "done");
        assert!(ended, "{}: {items:?}", function.0);
    }
}
