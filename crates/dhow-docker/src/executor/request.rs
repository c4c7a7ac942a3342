//! One command as the line that [`super::quote::BOOT`] reads.

use std::fmt::Write as _;
use std::time::Duration;

use dhow_core::port::{Command, PlaceLock};

use super::files::Pack;
use super::quote;

const SUPERVISE: &str = include_str!("supervise.sh");
const CHILD: &str = include_str!("child.sh");
/// Most bytes of arguments and environment together; what is longer is sent as a file.
const MOST: usize = 1 << 20;
/// Most bytes of one argument: what Linux takes.
const MOST_WORD: usize = (128 << 10) - 1;

/// How the command gets its input.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// It starts when all of it has arrived: half an input is never acted upon.
    Whole,
    /// It comes as it is read; the command finds out by itself whether all came.
    Stream,
    /// The same, of an archive that is made as it is read.
    Pack(&'a Pack),
}

/// Under what a command runs.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// The lock.
    pub(crate) lock: PlaceLock,
    /// The executor that asks: what it asked for earlier under this lock, it has given up.
    pub(crate) owner: String,
    /// Rises with each command of the owner.
    pub(crate) seq: u64,
}

/// One command, with all that the place must know of it.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Carried by all that the command starts, and by each line that is ours; nobody can guess it.
    pub(crate) mark: String,
    pub(crate) command: &'a Command,
    pub(crate) input: Input<'a>,
    pub(crate) held: Option<Held>,
    /// Folder of Dhow's own things; none: `.dhow` in the user's home.
    pub(crate) home: Option<&'a str>,
}

impl Request<'_> {
    /// Time until the command is ended, in whole seconds.
    pub(crate) fn seconds(limit: Duration) -> u64 {
        limit.as_secs() + u64::from(limit.subsec_nanos() > 0)
    }

    /// The line, with its end. An error says what is wrong with the command.
    pub(crate) fn line(&self) -> Result<Vec<u8>, String> {
        self.check()?;
        let word =
            |text: &str| quote::word(text).map_err(|error| format!("an argument cannot be sent: {error}"));
        let (mode, length) = match (&self.command.stdin, self.input) {
            (_, Input::Pack(pack)) => ("stream", pack.len()),
            (None, _) => ("none", 0),
            (Some(bytes), Input::Whole) => ("whole", bytes.len() as u64),
            (Some(bytes), Input::Stream) => ("stream", bytes.len() as u64),
        };
        let seconds = Self::seconds(self.command.limit).max(1);
        let fifo = if mode == "stream" { "yes" } else { "" };
        let mut line =
            format!("M={} MODE={mode} LEN={length} LIMIT={seconds} WAIT={seconds} FIFO={fifo}", self.mark);
        let lock = match &self.held {
            None => String::new(),
            Some(held) => {
                let PlaceLock { name, rollout, epoch } = &held.lock;
                let _ =
                    write!(line, " EPOCH={epoch} ROLLOUT={rollout} OWNER={} SEQ={}", held.owner, held.seq);
                file_name(name)
            }
        };
        for (name, value) in [
            ("LOCK", lock.as_str()),
            ("HOME_DIR", self.home.unwrap_or_default()),
            ("DIR", self.command.folder.as_deref().unwrap_or_default()),
            ("CHILD", CHILD),
            ("VARS", &self.variables()?),
        ] {
            let _ = write!(line, " {name}={}", word(value)?);
        }
        line.push_str("; set --");
        for (name, value) in self.command.env.iter().filter(|(name, _)| is_the_shells(name)) {
            let _ = write!(line, " {}", word(&format!("{name}={value}"))?);
        }
        for text in &self.command.argv {
            let _ = write!(line, " {}", word(text)?);
        }
        let _ = writeln!(line, "; eval {}", word(SUPERVISE)?);
        Ok(line.into_bytes())
    }

    /// Lines that set the variables. They never are arguments, which everybody at the place can read.
    fn variables(&self) -> Result<String, String> {
        let mut lines = String::new();
        for (name, value) in self.command.env.iter().filter(|(name, _)| !is_the_shells(name)) {
            let value = quote::text(value).map_err(|error| format!("{name} cannot be sent: {error}"))?;
            let _ = writeln!(lines, "export {name}={value}");
        }
        Ok(lines)
    }

    fn check(&self) -> Result<(), String> {
        let Some(program) = self.command.argv.first() else {
            return Err("a command without a program was asked for".into());
        };
        if program.is_empty() || program.starts_with('-') || program.contains('=') {
            return Err(format!("{program:?} cannot be the name of a program"));
        }
        let name = |name: &String| {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(legal)
        };
        if let Some(odd) = self.command.env.keys().find(|key| !name(key)) {
            return Err(format!("{odd:?} cannot be the name of a variable"));
        }
        let env = self.command.env.iter().map(|(name, value)| name.len() + value.len() + 1);
        let words = || self.command.argv.iter().map(String::len).chain(env.clone());
        if words().any(|size| size > MOST_WORD) || words().sum::<usize>() > MOST {
            let advice = "one may have 128 KiB, all together 1 MiB: send it as a file, or as input";
            return Err(format!("an argument of `{program}` is too long; {advice}"));
        }
        Ok(())
    }
}

/// Some shell has this variable for its own, and takes no other value for it, or not as it is. These hold no secrets.
fn is_the_shells(name: &str) -> bool {
    const OWN: [&str; 22] = [
        "PATH",
        "IFS",
        "UID",
        "EUID",
        "PPID",
        "GROUPS",
        "SHELLOPTS",
        "RANDOM",
        "SRANDOM",
        "SECONDS",
        "LINENO",
        "OPTIND",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "DIRSTACK",
        "FUNCNAME",
        "HISTCMD",
        "EPOCHSECONDS",
        "EPOCHREALTIME",
        "HOSTNAME",
    ];
    OWN.contains(&name) || name.starts_with("BASH")
}

/// A lock's name as the name of its file.
fn file_name(name: &str) -> String {
    let mut file = String::new();
    for byte in name.bytes().take(80) {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            file.push(char::from(byte));
        } else {
            let _ = write!(file, "%{byte:02x}");
        }
    }
    if name.len() > 80 {
        use sha2::Digest as _;
        file.push('-');
        file.push_str(&hex::encode(&sha2::Sha256::digest(name.as_bytes())[..16]));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &Command) -> Result<Vec<u8>, String> {
        Request { mark: "dhow-1".into(), command, input: Input::Whole, held: None, home: None }.line()
    }

    #[test]
    fn a_request_is_one_line() {
        let line = line(&Command::new(["echo", "a\nb"])).unwrap();
        assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
    }

    #[test]
    fn no_value_of_a_variable_is_an_argument() {
        let mut command = Command::new(["echo", "an argument"]);
        command.env =
            [("TOKEN".to_owned(), "it's secret".to_owned()), ("UID".to_owned(), "1000".to_owned())].into();
        let line = String::from_utf8(line(&command).unwrap()).unwrap();
        let (before, arguments) = line.split_once("; set --").unwrap();
        assert!(before.contains("secret") && !arguments.contains("secret"), "{arguments}");
        assert!(arguments.starts_with(" 'UID=1000' 'echo' 'an argument'"), "{arguments}");
    }

    #[test]
    fn what_could_be_read_in_another_way_is_refused() {
        let empty: [&str; 0] = [];
        assert!(line(&Command::new(empty)).is_err());
        for program in ["", "-x", "A=b", "a\0"] {
            assert!(line(&Command::new([program])).is_err(), "{program:?}");
        }
        let mut odd = Command::new(["env"]);
        odd.env.insert("A B".into(), "1".into());
        assert!(line(&odd).unwrap_err().contains("name of a variable"));
        assert!(line(&Command::new(["echo".into(), "x".repeat(200_000)])).unwrap_err().contains("too long"));
    }

    #[test]
    fn two_locks_never_share_a_file() {
        assert_eq!(file_name("compose/stage_shop"), "compose%2fstage_shop");
        assert_eq!(file_name("../x"), "%2e%2e%2fx");
        let long = "x".repeat(100);
        assert_ne!(file_name(&long), file_name(&format!("{long}y")));
    }
}
