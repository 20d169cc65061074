//! Far ends on the loopback interface of the machine.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// What the far ends have met, by the word that it was asked for with.
pub(crate) type Met = Arc<Mutex<HashMap<String, String>>>;

/// Servers that are there until the test ends.
pub(crate) struct Far {
    pub(crate) tcp: u16,
    pub(crate) udp: u16,
    pub(crate) http: u16,
    pub(crate) met: Met,
}

impl Far {
    pub(crate) fn new() -> Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let http = TcpListener::bind("127.0.0.1:0")?;
        let met = Met::default();
        let far = Self {
            tcp: tcp.local_addr()?.port(),
            udp: udp.local_addr()?.port(),
            http: http.local_addr()?.port(),
            met: Arc::clone(&met),
        };
        thread::spawn(move || each(&tcp, move |stream| serve(stream, &met)));
        thread::spawn(move || each(&http, answer_http));
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(&buffer[..length], from);
            }
        });
        Ok(far)
    }

    pub(crate) fn met(&self, word: &str) -> Option<String> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).get(word).cloned()
    }
}

/// A port that nothing listens on and nobody else gets as long as the socket is there.
pub(crate) fn shut_tcp() -> Result<(OwnedFd, u16)> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let port = SocketAddr::try_from(getsockname(&socket)?)?.port();
    Ok((socket, port))
}

/// The same for datagrams: the socket takes those of one peer only, which sends none.
pub(crate) fn shut_udp() -> Result<(UdpSocket, u16)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect("127.0.0.2:9")?;
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}

fn each(listener: &TcpListener, serve: impl Fn(&TcpStream) -> Result<()> + Clone + Send + 'static) {
    for stream in listener.incoming().flatten() {
        let serve = serve.clone();
        thread::spawn(move || serve(&stream));
    }
}

pub(crate) fn pattern() -> Vec<u8> {
    (0..65_521_u64).map(|i| ((i * i * 7 + i) >> 3) as u8).collect()
}

fn serve(mut stream: &TcpStream, met: &Met) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (word, number) = line.trim().split_once(' ').unwrap_or((line.trim(), "0"));
    let outcome = match word {
        "echo" => std::io::copy(&mut reader, &mut stream).map(|count| count.to_string()),
        "take" => take(&mut reader).and_then(|said| stream.write_all(said.as_bytes()).map(|()| said)),
        "sink" => std::io::copy(&mut reader, &mut std::io::sink()).map(|count| count.to_string()),
        "flood" => flood(stream, number.parse()?).map(|()| "sent".to_owned()),
        "send" => send(stream, number.parse()?).map(|()| "sent".to_owned()),
        "first" => {
            stream.write_all(b"greeting")?;
            stream.shutdown(Shutdown::Write)?;
            take(&mut reader)
        }
        "deaf" => {
            stream.write_all(b"ok")?;
            // It reads nothing until the test has ended.
            loop {
                thread::park();
            }
        }
        "reset" => {
            set_socket_linger(stream, Some(Duration::ZERO))?;
            Ok("reset".to_owned())
        }
        _ => {
            stream.write_all(b"ok")?;
            let mut byte = [0];
            reader.read(&mut byte).map(|count| format!("{count} bytes"))
        }
    };
    // The kind of a failure: that of a reset, mostly.
    let outcome = outcome.unwrap_or_else(|error| match error.kind() {
        ErrorKind::ConnectionReset => "ConnectionReset".to_owned(),
        other => other.to_string(),
    });
    met.lock().unwrap_or_else(PoisonError::into_inner).insert(word.to_owned(), outcome);
    Ok(())
}

/// Reads to the end, and says how much that was and whether it was the pattern.
fn take(reader: &mut impl BufRead) -> std::io::Result<String> {
    let pattern = pattern();
    let (mut count, mut right) = (0, true);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(format!("{count} {right}"));
        }
        let start = count % pattern.len();
        let length = bytes.len().min(pattern.len() - start);
        right &= bytes[..length] == pattern[start..start + length];
        count += length;
        reader.consume(length);
    }
}

fn send(mut stream: &TcpStream, count: usize) -> std::io::Result<()> {
    let pattern = pattern();
    let mut sent = 0;
    while sent < count {
        let start = sent % pattern.len();
        let length = (pattern.len() - start).min(count - sent);
        stream.write_all(&pattern[start..start + length])?;
        sent += length;
    }
    stream.shutdown(Shutdown::Write)
}

/// Sends without looking at the bytes.
fn flood(mut stream: &TcpStream, count: usize) -> std::io::Result<()> {
    let block = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        stream.write_all(&block)?;
    }
    Ok(())
}

fn answer_http(mut stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")?;
    Ok(())
}
