//! The other side: what a health check, or one site that tries to reach another, runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server in the same container; anything but a 200 is a failure.
pub async fn check(settings: &Settings, path: &str) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, answer).await.context("no answer in 3 s")??;
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => bail!("{path} answered {}", answer.lines().next().unwrap_or("nothing")),
    }
}

/// Connects to `NAME:PORT` or `IP:PORT`, and says whether it could.
pub async fn connect(address: &str) -> anyhow::Result<()> {
    let (name, port) = address.rsplit_once(':').context("say NAME:PORT")?;
    let port: u16 = port.parse().context("say NAME:PORT")?;
    let ip = match name.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => IpAddr::V4(resolve(name).await?),
    };
    timeout(PATIENCE, TcpStream::connect((ip, port)))
        .await
        .context("no connection in 3 s")?
        .context("no connection")?;
    println!("connected to {name} at {ip}");
    Ok(())
}

/// Asks the container's own name server: a static glibc cannot.
async fn resolve(name: &str) -> anyhow::Result<Ipv4Addr> {
    let conf = std::fs::read_to_string("/etc/resolv.conf").context("no /etc/resolv.conf")?;
    let server = conf.lines().find_map(|line| line.strip_prefix("nameserver ")).context("no name server")?;
    let server: IpAddr = server.trim().parse().context("the name server is no address")?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.send_to(&question(name), (server, 53)).await?;
    let mut answer = [0_u8; 512];
    let length =
        timeout(PATIENCE, socket.recv(&mut answer)).await.context("the name server does not answer")??;
    address(&answer[..length]).with_context(|| format!("{name} has no address"))
}

/// A DNS question for the IPv4 address of a name.
fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![0x64, 0x68, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        packet.push(label.len() as u8);
        packet.extend_from_slice(label);
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    packet
}

/// The first IPv4 address of an answer: behind type A, class IN, time to live and a length of 4.
fn address(answer: &[u8]) -> Option<Ipv4Addr> {
    let has_answers = answer.get(3)? & 0x0f == 0 && answer.get(7)? > &0;
    let record = answer.windows(14).find(|record| record[..4] == [0, 1, 0, 1] && record[8..10] == [0, 4]);
    let record = record.filter(|_| has_answers)?;
    Some(Ipv4Addr::new(record[10], record[11], record[12], record[13]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gives_its_address_and_a_refusal_none() {
        let mut answer = question("db");
        answer[2] = 0x81;
        answer[7] = 1;
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 10, 1, 2, 3]);
        assert_eq!(address(&answer), Some(Ipv4Addr::new(10, 1, 2, 3)));
        answer[3] = 3;
        assert_eq!(address(&answer), None);
    }
}
