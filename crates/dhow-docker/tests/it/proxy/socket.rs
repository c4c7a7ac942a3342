//! A visitor who sees every connection for what it is: plain HTTP/1.1 and WebSockets.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// One connection.
pub struct Visitor {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Visitor {
    pub async fn connect(front: SocketAddr, host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(front).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: host.to_owned() })
    }

    /// One request and its answer. `UnexpectedEof` where the other side hung up before its first byte.
    pub async fn get(&mut self, path: &str, more: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", self.host);
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let mut status = 0;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap();
            } else if line.is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        answer.body = String::from_utf8(body).unwrap();
        Ok(answer)
    }

    /// Makes it a WebSocket, and returns what it says first.
    pub async fn upgrade(&mut self) -> io::Result<String> {
        let more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let answer = self.get("/ws", more).await?;
        if answer.status != 101 {
            return Err(io::Error::other(format!("status {}", answer.status)));
        }
        self.hear().await
    }

    /// Says something short over the WebSocket, and returns what comes back.
    pub async fn say(&mut self, text: &str) -> io::Result<String> {
        // Masked with zeros: the text itself.
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.stream.get_mut().write_all(&frame).await?;
        self.hear().await
    }

    async fn hear(&mut self) -> io::Result<String> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).await?;
        if head[0] != 0x81 {
            return Err(io::Error::other(format!("a frame {:#x}", head[0])));
        }
        let mut text = vec![0; head[1].into()];
        self.stream.read_exact(&mut text).await?;
        String::from_utf8(text).map_err(io::Error::other)
    }
}

/// One request over a connection of its own.
pub async fn get(front: SocketAddr, host: &str, path: &str) -> Answer {
    get_with(front, host, path, "").await
}

/// The same, with more headers.
pub async fn get_with(front: SocketAddr, host: &str, path: &str, more: &str) -> Answer {
    Visitor::connect(front, host).await.unwrap().get(path, more).await.unwrap()
}
