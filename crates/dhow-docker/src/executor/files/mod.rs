//! Files at a place, by nothing but a shell and coreutils.

mod here;
mod pack;
mod send;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use dhow_core::port::{Command, ExecutorError, Output};

pub(crate) use pack::Pack;
pub(crate) use send::{send, send_folder};

use super::request::Input;
use super::shell::{Shell, Transport};
use super::trouble;

const READ: &str = include_str!("read.sh");
const WRITE: &str = include_str!("write.sh");
const LIST: &str = include_str!("list.sh");
const SOCKET: &str = include_str!("socket.sh");
/// How a script says that there is nothing, or that what is there is other.
const NONE: i32 = 66;
/// How a script says that the place lacks a program.
const LACKS: i32 = 69;

/// Runs one of the scripts. `None`: there is nothing.
async fn script<T: Transport>(
    shell: &Shell<T>,
    what: &str,
    text: &str,
    args: &[&str],
    stdin: Option<Bytes>,
) -> Result<Option<Output>, ExecutorError> {
    let mut command = command(text, args, stdin.as_ref().map_or(0, Bytes::len) as u64);
    command.stdin = stdin;
    let output = shell.perform(&command, Input::Stream, None, &()).await?;
    judged(shell, what, output)
}

/// A script that is to take so many bytes.
fn command(text: &str, args: &[&str], size: u64) -> Command {
    let mut command = Command::new(["sh", "-c", text, "dhow"].iter().chain(args).copied());
    // A slow line has 100 KB a second.
    command.limit = Duration::from_secs((60 + size / 100_000).min(3600));
    command.folder = Some("/".into());
    command
}

/// What a script's end means.
fn judged<T: Transport>(
    shell: &Shell<T>,
    what: &str,
    output: Output,
) -> Result<Option<Output>, ExecutorError> {
    let label = shell.transport.label();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.code {
        Some(0) => Ok(Some(output)),
        Some(NONE) => Ok(None),
        Some(LACKS) => {
            let tools = said.trim();
            Err(ExecutorError::Refused(format!("{label} lacks {tools}: install it there, then try again")))
        }
        _ => Err(trouble::of_text(what, label, &said)),
    }
}

/// Paths of a place are absolute and have no way up.
fn checked(path: &str) -> Result<&str, ExecutorError> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let parts = || path.split('/').skip(1);
    let legal = path.starts_with('/')
        && parts().all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains('\0');
    if legal {
        Ok(path)
    } else {
        Err(ExecutorError::Refused(format!("{path:?} is no absolute path of a place")))
    }
}

pub(crate) async fn read<T: Transport>(
    shell: &Shell<T>,
    path: &str,
) -> Result<Option<Vec<u8>>, ExecutorError> {
    let path = checked(path)?;
    if shell.transport.is_here() {
        let (what, path) = (format!("{path} cannot be read"), PathBuf::from(path));
        return here::here(what, shell.transport.label(), move || here::read(&path)).await;
    }
    let output = script(shell, &format!("{path} cannot be read"), READ, &[path], None).await?;
    Ok(output.map(|output| output.stdout))
}

pub(crate) async fn write<T: Transport>(
    shell: &Shell<T>,
    path: &str,
    content: &[u8],
    mode: u32,
) -> Result<(), ExecutorError> {
    let path = checked(path)?;
    if shell.transport.is_here() {
        let (what, path) = (format!("{path} cannot be written"), PathBuf::from(path));
        let content = content.to_vec();
        return here::here(what, shell.transport.label(), move || here::write(&path, &content, mode)).await;
    }
    let (mode, size) = (format!("{mode:o}"), content.len().to_string());
    let what = format!("{path} cannot be written");
    let stdin = Some(Bytes::copy_from_slice(content));
    script(shell, &what, WRITE, &[path, &mode, &size], stdin).await.map(|_| ())
}

pub(crate) async fn list<T: Transport>(shell: &Shell<T>, folder: &str) -> Result<Vec<String>, ExecutorError> {
    let folder = checked(folder)?;
    if shell.transport.is_here() {
        let (what, folder) = (format!("{folder} cannot be listed"), PathBuf::from(folder));
        return here::here(what, shell.transport.label(), move || here::list(&folder)).await;
    }
    let output = script(shell, &format!("{folder} cannot be listed"), LIST, &[folder], None).await?;
    let bytes = output.map(|output| output.stdout).unwrap_or_default();
    let names = bytes.split(|b| *b == 0).filter(|name| !name.is_empty());
    let mut names: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    names.sort();
    Ok(names)
}

pub(crate) async fn remove<T: Transport>(shell: &Shell<T>, path: &str) -> Result<(), ExecutorError> {
    let path = checked(path)?;
    if path.matches('/').count() < 2 {
        return Err(ExecutorError::Refused(format!("{path} is not removed: it is too near the root")));
    }
    let what = format!("{path} cannot be removed");
    script(shell, &what, r#"exec rm -rf -- "$1""#, &[path], None).await.map(|_| ())
}

/// There is a socket, and the user may use it.
pub(crate) async fn socket<T: Transport>(shell: &Shell<T>, path: &str) -> Result<(), ExecutorError> {
    let path = checked(path)?;
    let label = shell.transport.label();
    let refused = |text: String| Err(ExecutorError::Refused(text));
    let what = format!("{path} cannot be used");
    let usable = if shell.transport.is_here() {
        let path = PathBuf::from(path);
        here::here(what, label, move || here::socket(&path)).await?
    } else {
        script(shell, &what, SOCKET, &[path], None).await?.map(|output| output.stdout != b"denied")
    };
    match usable {
        Some(false) => refused(format!(
            "the user that Dhow has on {label} may not use {path}: add it to the socket's group there, \
             `usermod -aG docker USER`, and log in again"
        )),
        Some(true) => Ok(()),
        None => refused(format!(
            "there is no socket {path} on {label}: install Docker there, or start it with `systemctl start docker`"
        )),
    }
}

pub(crate) async fn home<T: Transport>(shell: &Shell<T>) -> Result<String, ExecutorError> {
    let text = r#"printf %s "${HOME%/}/.dhow""#;
    let output = script(shell, "the user's home cannot be found", text, &[], None).await?;
    Ok(output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default())
}
