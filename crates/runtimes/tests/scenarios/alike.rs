//! What a handler returns is the same reply in every language: some hundred values, made up by a seed.

use faas_ports::{ExchangeEnd, Launched};
use serde_json::{Map, Value, json};

use crate::case::{Collected, invocation, invoke};
use crate::pacing::{launch, on_every_version};

const VALUES: usize = 600;
const ECHO: [(&str, &str, &str); 2] = [
    ("python", "main.py", "def handler(event):\n    return event\n"),
    ("javascript", "main.mjs", "export const handler = (event) => event;\n"),
];

/// Numbers that look random and are the same each time.
struct Seed(u64);

// === impl Seed ===

impl Seed {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.next(choices.len())]
    }

    fn plain(&mut self) -> Value {
        let texts = ["", "abc", "a\r\nb", "é", "€", "%%", "aGVsbG8=", "aGVsbG8", "_-8", " 201 ", "200", "null"];
        match self.next(10) {
            0 => Value::Null,
            1 => json!(self.next(2) == 0),
            2..=4 => json!(self.of(&[0, 1, -1, 99, 100, 200, 204, 301, 404, 599, 600])),
            5 => json!(200.5),
            _ => json!(self.of(&texts)),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.next(10) {
            0..=1 if depth < 3 => (0..self.next(4)).map(|_| self.value(depth + 1)).collect(),
            2..=3 if depth < 3 => {
                let names = ["a", "b", "x-one", "Set-Cookie", "X One", ""];
                (0..self.next(4)).map(|_| ((*self.of(&names)).to_owned(), self.value(depth + 1))).collect()
            }
            _ => self.plain(),
        }
    }

    fn headers(&mut self) -> Value {
        if self.next(8) == 0 {
            return self.value(2);
        }
        let names = ["X-One", "x-one", "Content-Type", "content-type", "Set-Cookie", "X-Two"];
        let field = |seed: &mut Self| match seed.next(3) {
            0 => (0..seed.next(3)).map(|_| seed.plain()).collect(),
            1 => seed.value(1),
            _ => seed.plain(),
        };
        (0..self.next(4)).map(|_| ((*self.of(&names)).to_owned(), field(self))).collect()
    }

    /// A value that may be a reply of either form, or data.
    fn reply(&mut self) -> Value {
        let mut reply = Map::new();
        let is_proxy = match self.next(8) {
            0 => return self.value(0),
            choice => choice < 6,
        };
        let status = if self.next(2) == 0 { json!(self.of(&[200, 201, 204, 302])) } else { self.plain() };
        reply.insert((if is_proxy { "statusCode" } else { "status" }).into(), status);
        if !is_proxy || self.next(2) == 0 {
            reply.insert("body".into(), self.value(1));
        }
        if self.next(2) == 0 {
            reply.insert("headers".into(), self.headers());
        }
        if is_proxy {
            if self.next(3) == 0 {
                reply.insert("multiValueHeaders".into(), self.headers());
            }
            if self.next(3) == 0 {
                reply
                    .insert("cookies".into(), (*self.of(&[json!(["a=1", null, "b"]), json!("a=1"), json!(5)])).clone());
            }
            if self.next(3) == 0 {
                reply.insert("isBase64Encoded".into(), self.plain());
            }
        }
        Value::Object(reply)
    }
}

/// What the caller sees, with the order of a JSON object's keys left out.
fn seen(collected: Collected) -> (String, String) {
    match collected.end {
        Some(ExchangeEnd::Raised { error, .. }) => ("raised".into(), error.kind),
        Some(ExchangeEnd::Complete { .. }) => {
            let mut head = collected.head.expect("a reply has a head");
            head.headers.sort();
            let text = String::from_utf8_lossy(&collected.body).into_owned();
            let body = serde_json::from_str::<Value>(&text).map_or(text, |value| value.to_string());
            (format!("{} {:?}", head.status, head.headers), body)
        }
        end => panic!("{end:?}"),
    }
}

async fn answer(launched: &Launched, event: &Value) -> (String, String) {
    seen(invoke(&*launched.instance, invocation("POST", event.to_string().into_bytes())).await)
}

#[tokio::test]
async fn a_returned_value_is_the_same_reply_in_every_language() {
    let mut instances = Vec::new();
    for function in on_every_version(&ECHO) {
        instances.push((function.0.clone(), launch(&function, 1).await));
    }
    let mut seed = Seed(0x5eed_0f5e_ed00);
    for _ in 0..VALUES {
        let event = seed.reply();
        let (first, (_, launched)) = &instances[0];
        let wanted = answer(launched, &event).await;
        for (name, (_, launched)) in &instances[1..] {
            assert_eq!(answer(launched, &event).await, wanted, "{name} and {first} differ in {event}");
        }
    }
}
