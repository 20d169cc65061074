//! Publications between other things: a call that is given up meanwhile, and a reply that streams.

use std::time::Duration;

use faas_ports::ExchangeItem;
use futures_util::StreamExt;

use crate::case::{invocation, invoke, published};
use crate::pacing::{launch, on_every_version};

/// Publishes when told to wait; tells what came of it when asked.
const WAITS: [(&str, &str, &str, &str); 3] = [
    (
        "python",
        "main.py",
        "import faas\n\
         seen = []\n\
         def handler(event):\n    \
             for _ in range(2 if event == 'wait' else 0):\n        \
                 try:\n            \
                     faas.publish('paid')\n        \
                 except faas.PublishError as error:\n            \
                     seen.append(error.code)\n    \
             return seen\n",
        r#"["FN_023","FN_023"]"#,
    ),
    (
        "python",
        "main.py",
        "import asyncio\n\
         import faas\n\
         seen = []\n\
         async def handler(event):\n    \
             try:\n        \
                 await faas.publish_async('paid') if event == 'wait' else None\n    \
             except BaseException as error:\n        \
                 seen.append(type(error).__name__)\n        \
                 raise\n    \
             return seen\n",
        r#"["CancelledError"]"#,
    ),
    (
        "javascript",
        "main.mjs",
        "const seen = [];\n\
         export async function handler(event) {\n  \
           for (let left = event === 'wait' ? 2 : 0; left > 0; left--) {\n    \
             await faas.publish('paid').catch((error) => seen.push(error.code));\n  \
           }\n  \
           return seen;\n\
         }\n",
        r#"["FN_023","FN_012"]"#,
    ),
];

/// Publishes between the parts of a reply that is longer than its window.
const STREAMS: [(&str, &str, &str); 3] = [
    (
        "python",
        "main.py",
        "import faas\n\
         def handler(event):\n    \
             for n in range(40):\n        \
                 faas.publish('part', n)\n        \
                 yield b'x' * 65536\n",
    ),
    (
        "python",
        "main.py",
        "import faas\n\
         async def handler(event):\n    \
             for n in range(40):\n        \
                 await faas.publish_async('part', n)\n        \
                 yield b'x' * 65536\n",
    ),
    (
        "javascript",
        "main.mjs",
        "export async function* handler() {\n  \
           for (let n = 0; n < 40; n++) {\n    \
             await faas.publish('part', n);\n    \
             yield new Uint8Array(65536);\n  \
           }\n\
         }\n",
    ),
];

#[tokio::test]
async fn a_publication_ends_with_a_call_that_is_given_up() {
    for (language, file, code, seen) in WAITS {
        for function in on_every_version(&[(language, file, code)]) {
            let (name, (_folder, launched)) = (&function.0, launch(&function, 1).await);
            let mut items = launched.instance.invoke(invocation("POST", b"\"wait\"".to_vec()));
            let Some(ExchangeItem::Publish(publishing)) = items.next().await else { panic!("{name} {code}") };
            drop(items);
            // No reader is left, and nothing is disturbed by that.
            publishing.reply.answer(Ok("late".into()));
            assert!(launched.instance.settle(Duration::from_secs(5)).await, "{name} {code}");
            let asked = invoke(&*launched.instance, invocation("POST", b"\"ask\"".to_vec())).await;
            assert_eq!(String::from_utf8_lossy(&asked.body), seen, "{name} {code}");
        }
    }
}

#[tokio::test]
async fn publications_and_parts_of_a_reply_do_not_mind_each_other() {
    for function in on_every_version(&STREAMS) {
        let (_folder, launched) = launch(&function, 1).await;
        let mut items = launched.instance.invoke(invocation("POST", Vec::new()));
        let (mut taken, mut publications) = (0, 0);
        while let Some(item) = items.next().await {
            match item {
                ExchangeItem::Body(part) => taken += part.len(),
                ExchangeItem::Publish(publishing) => {
                    publications += 1;
                    publishing.reply.answer(published(publishing.publication));
                }
                _ => {}
            }
        }
        assert_eq!((taken, publications), (40 * 65_536, 40), "{}", function.0);
    }
}
