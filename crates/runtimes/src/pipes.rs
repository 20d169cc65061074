//! Raw output of a sandbox: what bypasses the shim, such as child processes and C libraries.

use std::io;
use std::os::fd::OwnedFd;

use faas_ports::LogEntry;
use faas_types::limits::LOG_LINE_MAX;
use faas_types::{LogLevel, LogStream, Timestamp};
use tokio::net::unix::pipe::Receiver;

/// Bytes read at once.
const READ_LEN: usize = 64 << 10;

/// One of the two output pipes, cut into lines.
pub(crate) struct Pipe {
    reader: Option<Receiver>,
    stream: LogStream,
    line: Vec<u8>,
    /// The line in progress is over its bound; its rest is skipped.
    skipping: bool,
    buffer: Box<[u8]>,
}

// === impl Pipe ===

impl Pipe {
    pub(crate) fn new(fd: OwnedFd, stream: LogStream) -> io::Result<Self> {
        let reader = Some(Receiver::from_owned_fd(fd)?);
        Ok(Self { reader, stream, line: Vec::new(), skipping: false, buffer: vec![0; READ_LEN].into() })
    }

    /// Waits until there is something to read. Never returns once the pipe has ended.
    pub(crate) async fn readable(&self) {
        match &self.reader {
            Some(reader) if reader.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Reads what [`readable`](Self::readable) announced, and appends whole lines to `lines`.
    pub(crate) fn read(&mut self, now: Timestamp, lines: &mut Vec<LogEntry>) {
        let Some(reader) = &self.reader else {
            return;
        };
        let outcome = reader.try_read(&mut self.buffer);
        self.take(outcome, now, lines);
    }

    /// Asks the kernel for what is in the pipe, whether the runtime has heard of it or not. Whether there may be more.
    pub(crate) fn read_now(&mut self, now: Timestamp, lines: &mut Vec<LogEntry>) -> bool {
        let Some(reader) = &self.reader else {
            return false;
        };
        let outcome = nix::unistd::read(reader, &mut self.buffer).map_err(io::Error::from);
        self.take(outcome, now, lines)
    }

    fn take(&mut self, outcome: io::Result<usize>, now: Timestamp, lines: &mut Vec<LogEntry>) -> bool {
        match outcome {
            Ok(count) if count > 0 => {
                let buffer = std::mem::take(&mut self.buffer);
                self.cut(&buffer[..count], now, lines);
                self.buffer = buffer;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            _ => {
                self.reader = None;
                self.flush(now, lines);
                false
            }
        }
    }

    /// The line in progress as far as it has come, for somebody who keeps it until the rest comes.
    pub(crate) fn take_unfinished(&mut self, now: Timestamp) -> Option<LogEntry> {
        let mut part = Vec::new();
        if !self.line.is_empty() && !self.skipping {
            self.end_line(now, &mut part);
        }
        part.pop()
    }

    /// Ends the line in progress.
    pub(crate) fn flush(&mut self, now: Timestamp, lines: &mut Vec<LogEntry>) {
        if !self.line.is_empty() {
            self.end_line(now, lines);
        }
        self.skipping = false;
    }

    fn cut(&mut self, mut bytes: &[u8], now: Timestamp, lines: &mut Vec<LogEntry>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.hold(&bytes[..end], now, lines);
            if !std::mem::take(&mut self.skipping) {
                self.end_line(now, lines);
            }
            bytes = &bytes[end + 1..];
        }
        self.hold(bytes, now, lines);
    }

    fn hold(&mut self, part: &[u8], now: Timestamp, lines: &mut Vec<LogEntry>) {
        if self.skipping {
            return;
        }
        let room = LOG_LINE_MAX - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            self.end_line(now, lines);
            self.skipping = true;
        }
    }

    fn end_line(&mut self, at: Timestamp, lines: &mut Vec<LogEntry>) {
        let level = if self.stream == LogStream::Stderr { LogLevel::Warn } else { LogLevel::Info };
        let message = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        lines.push(LogEntry { at, level, stream: self.stream, message });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pipe() -> (io::PipeWriter, Pipe) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (writer, Pipe::new(reader.into(), LogStream::Stdout).expect("a pipe"))
    }

    async fn read_all(pipe: &mut Pipe) -> Vec<String> {
        let mut lines = Vec::new();
        while pipe.reader.is_some() {
            pipe.readable().await;
            pipe.read(Timestamp::default(), &mut lines);
        }
        lines.into_iter().map(|line| line.message).collect()
    }

    #[tokio::test]
    async fn lines_are_cut_and_the_last_needs_no_end() {
        let (mut writer, mut pipe) = pipe();
        writer.write_all(b"one\n\nthree\xff\nfour").expect("room");
        drop(writer);
        assert_eq!(read_all(&mut pipe).await, ["one", "", "three\u{fffd}", "four"]);
    }

    #[tokio::test]
    async fn the_beginning_of_a_line_can_be_taken() {
        let (mut writer, mut pipe) = pipe();
        writer.write_all(b"one\nbegun").expect("room");
        let mut lines = Vec::new();
        pipe.readable().await;
        pipe.read(Timestamp::default(), &mut lines);
        let part = pipe.take_unfinished(Timestamp::default()).map(|part| part.message);
        assert_eq!((part.as_deref(), pipe.take_unfinished(Timestamp::default())), (Some("begun"), None));
        writer.write_all(b", ended\n").expect("room");
        drop(writer);
        assert_eq!(read_all(&mut pipe).await, [", ended"]);
    }

    #[tokio::test]
    async fn a_long_line_is_cut_once() {
        let (mut writer, mut pipe) = pipe();
        let reading = tokio::spawn(async move { read_all(&mut pipe).await });
        tokio::task::spawn_blocking(move || {
            writer.write_all(&vec![b'x'; 300_000]).expect("read meanwhile");
            writer.write_all(b"\nnext\n").expect("read meanwhile");
        })
        .await
        .expect("writes");
        let lines = reading.await.expect("reads");
        assert_eq!((lines.len(), lines[0].len(), lines[1].as_str()), (2, LOG_LINE_MAX, "next"));
    }
}
