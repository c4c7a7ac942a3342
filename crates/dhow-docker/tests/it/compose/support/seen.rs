use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a body, and says why it was not confirmed.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Result<(), String> {
    let sent = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let head = "Host: x\r\nConnection: close\r\nContent-Type: text/plain";
        let request = format!("POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = sent.await.map_err(|error: std::io::Error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 2") { Ok(()) } else { Err(answer) }
}

/// What a visitor gets; `None` where nobody listens. A container that has just started is asked again.
pub async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..100 {
        pause.tick().await;
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let asked = stream.write_all(request.as_bytes()).await;
        if asked.is_ok()
            && stream.read_to_string(&mut answer).await.is_ok()
            && answer.starts_with("HTTP/1.1 200")
        {
            return answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
        }
    }
    None
}
