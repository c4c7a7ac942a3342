//! `dhow exec`: a command inside of what runs.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use dhow_core::noun::{ServerName, TargetType};
use dhow_core::port::{ContainerName, Stream};
use dhow_web::shape::{ExecEntry, ExecRequest};

use crate::client::{Connection, Scope};
use crate::terminal::{Output, one_line, print};

/// Most bytes that a command is given to read.
const MAX_INPUT: u64 = 32 << 10;

/// Run a command inside of what runs; its exit code is this command's
///
/// There is no terminal. The command is stored in the history with who ran it, without its arguments. It needs a token
/// with the role admin: a command goes past every gate, and can read the secrets of what runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// In the deployment of this type, as in compose
    #[arg(long = "type", value_name = "TYPE")]
    target: Option<TargetType>,
    /// On this server
    #[arg(long, value_name = "NAME")]
    server: Option<ServerName>,
    /// In this service of the Compose file, or this container; not needed where there is only one
    #[arg(long, visible_alias = "compose-service", value_name = "NAME")]
    container: Option<ContainerName>,
    /// Give the command what this one reads, 32 KiB at most
    #[arg(long, short = 'i')]
    stdin: bool,
    /// How many seconds it is listened to; what takes longer goes on in the container
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    /// How to print it; json is one document a line
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Program and arguments; no shell reads them
    #[arg(last = true, required = true, value_name = "ARGV")]
    argv: Vec<String>,
}

/// Prints what the command writes, on the same streams, as it comes.
///
/// # Errors
/// It is not allowed, it cannot be started, or it did not end in its time.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let request = ExecRequest {
        argv: args.argv,
        stdin: if args.stdin { Some(input()?) } else { None },
        container: args.container,
        target: args.target,
        server: args.server,
        seconds: Some(args.timeout),
    };
    let path = ["exec", args.scope.service.as_str(), args.scope.environment.as_str()];
    let mut lines = args.connection.client()?.post_lines(&path, &request).await?;
    while let Some(entry) = lines.next::<ExecEntry>().await? {
        if args.output == Output::Json {
            print(&format!("{}\n", serde_json::to_string(&entry)?))?;
        } else if let Some((stream, bytes)) = entry.bytes() {
            write(stream, &bytes)?;
        }
        match entry {
            ExecEntry::Ended { code } => return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
            ExecEntry::Problem { message } => bail!("{}", one_line(&message)),
            ExecEntry::Began { .. } | ExecEntry::Wrote { .. } => {}
        }
    }
    bail!("dhow stopped listening to the command: it may go on in the container")
}

fn input() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes).context("cannot read stdin")?;
    let kib = MAX_INPUT >> 10;
    ensure!(bytes.len() as u64 <= MAX_INPUT, "stdin has more than {kib} KiB: send it as part of a release");
    Ok(ExecRequest::encoded(&bytes))
}

fn write(stream: Stream, bytes: &[u8]) -> anyhow::Result<()> {
    let written = match stream {
        Stream::Out => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        Stream::Err => std::io::stderr().lock().write_all(bytes),
    };
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write what the command wrote")
        }
        _ => Ok(()),
    }
}
