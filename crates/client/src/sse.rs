//! Server-sent events, as the HTML standard parses them (section 9.2.6), over chunks of bytes.

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `event:`; empty means `message`.
    pub(crate) kind: String,
    /// `data:` lines, joined by newlines.
    pub(crate) data: String,
    /// `id:`; holds for later events until it changes.
    pub(crate) id: Option<String>,
}

/// Turns chunks into events. A chunk may end anywhere, inside a character too.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    buffer: Vec<u8>,
    pending: Event,
    has_data: bool,
    skip_newline: bool,
}

/// A line without an end is an attack or another protocol.
const LINE_MAX: usize = 1 << 20;

// === impl EventParser ===

impl EventParser {
    /// Takes a chunk and gives the events that it completes.
    ///
    /// # Errors
    /// When a line grows past its bound.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for &byte in chunk {
            // CR, LF and CR LF each end a line once.
            let after_return = std::mem::replace(&mut self.skip_newline, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                other => self.buffer.push(other),
            }
            if self.buffer.len() > LINE_MAX {
                return Err(format!("an event line is longer than {LINE_MAX} bytes"));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = String::from_utf8_lossy(&self.buffer).into_owned();
        self.buffer.clear();
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.pending.kind),
            "id" if !value.contains('\0') => self.pending.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.pending.data.push('\n');
                }
                self.has_data = true;
                self.pending.data.push_str(value);
            }
            // Comments keep the line open; `retry` is ours to choose.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let next = Event { id: self.pending.id.clone(), ..Event::default() };
        let event = std::mem::replace(&mut self.pending, next);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed_by(size: usize, text: &str) -> Vec<Event> {
        let mut parser = EventParser::default();
        text.as_bytes().chunks(size).flat_map(|chunk| parser.feed(chunk).expect("short lines")).collect()
    }

    #[test]
    fn events_do_not_depend_on_where_chunks_end() {
        let text = ": hello\n\nevent: line\nid: 7\ndata: {\"é\":\ndata: 1}\n\r\nevent:line\r\ndata:x\r\n\r\nid: 9\n\ndata: tail";
        let whole = feed_by(text.len(), text);
        let expected = [
            Event { kind: "line".into(), data: "{\"é\":\n1}".into(), id: Some("7".into()) },
            Event { kind: "line".into(), data: "x".into(), id: Some("7".into()) },
        ];
        assert_eq!(whole, expected);
        for size in 1..text.len() {
            assert_eq!(feed_by(size, text), whole, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = EventParser::default();
        assert!(parser.feed(&vec![b'x'; LINE_MAX + 1]).is_err());
    }
}
