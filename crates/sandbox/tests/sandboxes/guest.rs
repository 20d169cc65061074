//! The program inside a sandbox.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    match argument(0) {
        "wait" => return run(&words()),
        "zygote" => {
            crate::zygote::serve(argument(1) == "deaf");
            return run(&words());
        }
        "exit" => return ExitCode::from(argument(1).parse::<u8>().unwrap_or(99)),
        "raise" => {
            let signal = argument(1).parse().unwrap_or(0);
            // SAFETY: neither call touches memory; the handler that goes is the one for stack overflows.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
        "allocate" => allocate(argument(1).parse().unwrap_or(0)),
        "echo" => echo(),
        "environment" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
        "cat" => arguments[1..].iter().for_each(|path| cat(path)),
        "list" => list(argument(1)),
        "links" => arguments[1..].iter().for_each(|path| println!("{path} {:?}", std::fs::read_link(path))),
        "hide" => hide(true),
        "hide-and-exit" => hide(false),
        "say" => arguments[1..].iter().for_each(|path| say(path)),
        "fork" => fork_until_refused(),
        "fill" => fill(argument(1)),
        "open" => open_until_refused(),
        "spin" => spin(Duration::from_millis(argument(1).parse().unwrap_or(0))),
        "kill-first" => {
            // SAFETY: sends a signal.
            let outcome = unsafe { libc::kill(1, libc::SIGKILL) };
            std::thread::sleep(Duration::from_millis(50));
            println!("{outcome}");
        }
        "send" => crate::network::send(argument(1), argument(2)),
        "meddle" => crate::network::meddle(),
        "answer" => answer(argument(1).parse().unwrap_or(0)),
        "loopback" => println!(
            "{}",
            std::net::TcpListener::bind("127.0.0.1:0")
                .and_then(|server| std::net::TcpStream::connect(server.local_addr()?))
                .is_ok()
        ),
        _ => sleep(),
    }
    ExitCode::SUCCESS
}

/// What the channel tells to do.
fn words() -> Vec<String> {
    // SAFETY: descriptor 3 is the channel, which is not closed here.
    let mut channel = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(3) });
    let (mut line, mut byte) = (Vec::new(), [0]);
    while channel.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8_lossy(&line).split('\u{1f}').map(str::to_owned).collect()
}

fn sleep() -> ! {
    loop {
        std::thread::park();
    }
}

fn allocate(bytes: usize) {
    let mut memory = vec![1_u8; bytes];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
    println!("{}", std::hint::black_box(memory).len());
}

fn echo() {
    // SAFETY: descriptor 3 is the channel that a sandbox's program is given.
    let mut channel = unsafe { File::from_raw_fd(3) };
    let mut buffer = [0; 64];
    while let Ok(length @ 1..) = channel.read(&mut buffer) {
        if channel.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

fn cat(path: &str) {
    match std::fs::read(path) {
        Ok(content) => println!("{path}: {}", String::from_utf8_lossy(&content).replace('\0', " ")),
        Err(error) => println!("{path}: {error}"),
    }
}

fn say(path: &str) {
    let said = File::options().write(true).open(path).and_then(|mut file| file.write_all(b"said\n"));
    if let Err(error) = said {
        println!("{path}: {error}");
    }
}

fn list(path: &str) {
    let mut names: Vec<String> = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        Err(error) => vec![error.to_string()],
    };
    names.sort();
    println!("{}", names.join(" "));
}

/// Leaves processes behind that belong to no session, group or parent of this one and that ignore polite signals.
fn hide(stay: bool) {
    for _ in 0..3 {
        // SAFETY: this program has one thread.
        if unsafe { libc::fork() } != 0 {
            continue;
        }
        // SAFETY: as above; neither call touches memory.
        unsafe {
            libc::setsid();
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            if libc::fork() != 0 {
                libc::_exit(0);
            }
        }
        sleep();
    }
    println!("hidden");
    if !stay {
        return;
    }
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    sleep();
}

fn fork_until_refused() {
    for count in 1..1000 {
        // SAFETY: this program has one thread.
        match unsafe { libc::fork() } {
            0 => sleep(),
            1.. => {}
            _ => {
                println!("{count} {}", std::io::Error::last_os_error());
                return;
            }
        }
    }
    println!("1000 unlimited");
}

fn fill(directory: &str) {
    let block = vec![0; 64 << 10];
    let outcome = File::create(Path::new(directory).join("fill")).and_then(|mut file| {
        for count in 0..10_000 {
            if let Err(error) = file.write_all(&block) {
                println!("{count} {}", error.kind());
                return Err(error);
            }
        }
        Ok(())
    });
    println!("{outcome:?}");
}

fn open_until_refused() {
    let open: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).take(10_000).collect();
    println!("{}", open.len());
}

/// Answers on the loopback interface once, which the channel tells when it can.
fn answer(port: u16) {
    let Ok(server) = std::net::TcpListener::bind(("127.0.0.1", port)) else { return };
    // SAFETY: descriptor 3 is the channel, which is not closed here.
    let mut channel = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(3) });
    let _ = channel.write_all(b"!");
    if let Ok((mut stream, _)) = server.accept() {
        let _ = stream.write_all(b"inside");
    }
    sleep();
}

fn spin(wall: Duration) {
    let start = std::time::Instant::now();
    while start.elapsed() < wall {
        std::hint::spin_loop();
    }
}
