//! The test server keeps its word: others' tests rest on it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dhow-testserver"));
        command.env("PORT", "0").envs(settings.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let mut lines =
            BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok()).expect("it listens");
        // Nobody reads on: what it prints later fits into the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        stream
    }

    fn ask(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn stop(&self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A WebSocket, up to the frame with the version.
fn websocket(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    let head = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it answers");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// The kind and the content of a short frame.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut content = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut content).expect("a whole frame");
    (head[0] & 0x0f, content)
}

#[test]
fn it_says_its_version_and_its_health() {
    let server = Server::start(&[("VERSION", "7"), ("HEALTH", "fail")]);
    assert!(server.ask("/version").ends_with("\r\n\r\n7\n"));
    assert!(server.ask("/healthz").starts_with("HTTP/1.0 503"));
}

#[test]
fn a_websocket_echoes_while_it_drains_and_is_closed_at_its_end() {
    let mut server = Server::start(&[("VERSION", "7"), ("DRAIN_MS", "700")]);
    let mut socket = websocket(&server);
    assert_eq!(frame(&mut socket), (1, b"7".to_vec()));
    let asked = Instant::now();
    server.stop();
    // A text of two bytes, masked with zeroes.
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).expect("it reads");
    assert_eq!(frame(&mut socket), (1, b"hi".to_vec()));
    assert_eq!(frame(&mut socket).0, 8, "a goodbye");
    assert!(asked.elapsed() >= Duration::from_millis(700));
    assert!(server.child.wait().expect("it ends").success());
}

#[test]
fn a_long_request_is_answered_though_it_is_asked_to_stop() {
    let mut server = Server::start(&[("VERSION", "7")]);
    let mut stream = server.connect();
    stream.write_all(b"GET /slow?ms=600 HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    // A second answer shows that the first request was taken up.
    server.ask("/healthz");
    server.stop();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.ends_with("\r\n\r\n7\n"), "{answer}");
    assert!(server.child.wait().expect("it ends").success());
}

#[test]
fn rows_are_kept_in_the_folder() {
    let dir = std::env::temp_dir().join(format!("dhow-testserver-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let server = Server::start(&[("DATA", &dir.display().to_string())]);
    for row in ["a", "b"] {
        let mut stream = server.connect();
        write!(stream, "POST /rows HTTP/1.0\r\nContent-Length: 1\r\n\r\n{row}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.0 201"), "{answer}");
    }
    assert!(server.ask("/rows").ends_with("\r\n\r\n2\n"));
    std::fs::remove_dir_all(&dir).expect("the folder is ours");
}

#[test]
fn it_crashes_when_told() {
    let run = |name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dhow-testserver"));
        command.env("PORT", "0").env(name, value).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("it runs").code()
    };
    assert_eq!(run("CRASH", "start"), Some(1));
    assert_eq!(run("CRASH_MS", "1"), Some(3));
}
