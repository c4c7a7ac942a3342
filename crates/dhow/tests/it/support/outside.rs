//! A registry outside of Dhow, and a door before it that misbehaves.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dhow_registry::server::{NothingInUse, Open, Registry, Settings, Silent, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::process::{Said, dhow, run};

/// What is asked of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Tags,
    Manifest,
    Blob,
}

/// How the door answers in place of the registry.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection ends before a byte of the answer.
    NoAnswer,
    /// The connection ends after half of the content.
    Half,
    /// The connection ends after so many bytes of the content; what is shorter comes whole.
    Cut(usize),
    /// Each answer comes so late.
    Late(Duration),
    /// The content comes byte by byte, so far apart.
    Drip(Duration),
    /// The content is as long as it should be, and another.
    WrongContent,
    /// An answer of its own: status line and headers, and the body.
    Answer(&'static str, &'static str),
}

/// A good registry, reached through a door that does what it is told.
pub struct Outside {
    /// The registry as the fleet names it: `127.0.0.1:PORT`.
    pub address: String,
    /// The registry itself, without the door: where builds push to.
    pub good: String,
    fault: Arc<Mutex<Option<(Part, Fault)>>>,
    seen: Arc<Mutex<Vec<String>>>,
    _disk: tempfile::TempDir,
}

impl Outside {
    pub async fn open() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let registry = Registry::open(
            Settings::new(disk.path()),
            Arc::new(Open),
            Arc::new(NothingInUse),
            Arc::new(Silent),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap().to_string();
        let app = router(registry.unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = door.local_addr().unwrap().to_string();
        let (fault, seen): (Arc<Mutex<_>>, Arc<Mutex<_>>) = Default::default();
        let (told, noted, behind) = (Arc::clone(&fault), Arc::clone(&seen), good.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = door.accept().await {
                let (told, noted, behind) = (Arc::clone(&told), Arc::clone(&noted), behind.clone());
                // Whoever goes away in the middle is nobody's trouble here.
                tokio::spawn(async move { drop(pass(stream, &behind, &told, &noted).await) });
            }
        });
        Self { address, good, fault, seen, _disk: disk }
    }

    /// From now on what is asked of this part goes wrong.
    pub fn breaks(&self, part: Part, fault: Fault) {
        *self.fault.lock().unwrap() = Some((part, fault));
    }

    /// All is well again.
    pub fn heals(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// How many requests for this part came.
    pub fn asked(&self, part: Part) -> usize {
        self.seen.lock().unwrap().iter().filter(|head| part_of(head) == Some(part)).count()
    }

    /// A build pushes these files as `shop/web:<tag>`, past the door.
    pub async fn publish(&self, home: &Path, files: &[(&str, String)], tag: &str) -> Said {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut command = dhow(home);
        command.arg("publish").arg(folder.path()).args(["--to", &format!("{}/shop/web:{tag}", self.good)]);
        run(command).await
    }
}

fn part_of(head: &str) -> Option<Part> {
    let path = head.split(' ').nth(1)?;
    [("/tags/list", Part::Tags), ("/manifests/", Part::Manifest), ("/blobs/", Part::Blob)]
        .into_iter()
        .find_map(|(piece, part)| path.contains(piece).then_some(part))
}

/// One request, one answer, and the connection ends.
async fn pass(
    mut client: TcpStream,
    good: &str,
    told: &Mutex<Option<(Part, Fault)>>,
    noted: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    noted.lock().unwrap().push(head.clone());
    let fault = told.lock().unwrap().clone();
    let fault = fault.filter(|(part, _)| part_of(&head) == Some(*part)).map(|(_, fault)| fault);
    match fault {
        Some(Fault::NoAnswer) => return Ok(()),
        Some(Fault::Answer(status, body)) => {
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Some(Fault::Late(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let mut registry = TcpStream::connect(good).await?;
    registry.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes()).await?;
    let mut answer = Vec::new();
    registry.read_to_end(&mut answer).await?;
    let start = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let half = start + (answer.len() - start) / 2;
    match fault {
        Some(Fault::Half) => client.write_all(&answer[..half]).await,
        Some(Fault::Cut(bytes)) => client.write_all(&answer[..answer.len().min(start + bytes)]).await,
        Some(Fault::Drip(pause)) => {
            client.write_all(&answer[..start]).await?;
            for byte in &answer[start..] {
                client.write_all(&[*byte]).await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        Some(Fault::WrongContent) => {
            answer[half..].iter_mut().for_each(|byte| *byte ^= 1);
            client.write_all(&answer).await
        }
        _ => client.write_all(&answer).await,
    }
}
