//! Commands: arguments, environment, output, limits, and their end.

use std::time::Duration;

use dhow_core::port::{Command, Executor, ExecutorError};

use super::{Told, gone, good, sh};

/// An argument, a variable and the input arrive byte for byte, whatever they hold.
///
/// # Panics
///
/// Where one does not.
pub async fn everything_arrives_byte_for_byte(executor: &dyn Executor) {
    let odd = [
        "",
        "'",
        "\"",
        "$(reboot)",
        "`reboot`",
        "a\nb\n",
        "\\n",
        "\\",
        "*",
        "~",
        "-n",
        "!1",
        "; x",
        "# ü 船\t\r",
        "$N",
        "a=b",
    ];
    let all = odd.join("|");
    let mut command = Command::new(["printf", r"%s\000"].into_iter().chain(odd));
    let output = good(executor, &command).await;
    let expected: Vec<u8> = odd.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    assert_eq!(output.stdout, expected);
    command = sh(r#"printf %s "$ODD"; cat; printf "no end" >&2"#, &[]);
    command.env.insert("ODD".into(), all.clone());
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    command.stdin = Some(input.clone().into());
    let output = good(executor, &command).await;
    assert!(output.stdout == [all.as_bytes(), &input].concat(), "{} bytes", output.stdout.len());
    assert_eq!(output.stderr, b"no end");
}

/// Values of variables arrive as they are, also of those that shells have for their own; and are never an argument of a
/// process, which everybody at the place can read.
///
/// # Panics
///
/// Where it is not so.
pub async fn variables_are_not_arguments(executor: &dyn Executor) {
    let secret = format!("it's \"s3cret\"\n$(reboot) {}", "x".repeat(70_000));
    let given =
        [("TOKEN", secret.as_str()), ("UID", "77"), ("RANDOM", "x"), ("M", "1"), ("L", "2"), ("VARS", "3")];
    let mut command = Command::new(["env", "-0"]);
    command.env = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let look = sh("n=0; while [ $n -lt 30 ]; do n=$((n+1)); cat /proc/[0-9]*/cmdline; done 2>/dev/null", &[]);
    let run = async {
        let mut outputs = Vec::new();
        for _ in 0..12 {
            outputs.push(good(executor, &command).await);
        }
        outputs
    };
    let (outputs, looked) = tokio::join!(run, executor.run(&look, &()));
    for output in outputs {
        let text = String::from_utf8(output.stdout).expect("text");
        for (name, value) in given {
            assert!(text.split('\0').any(|one| one == format!("{name}={value}")), "{name} did not arrive");
        }
    }
    let looked = looked.expect("processes are listed").stdout;
    assert!(!looked.is_empty() && !String::from_utf8_lossy(&looked).contains("s3cret"), "it was an argument");
}

/// A command has no variable that it was not given, but `PATH`, `HOME` and those that begin with `DHOW_`.
///
/// # Panics
///
/// Where it has.
pub async fn the_environment_is_empty(executor: &dyn Executor) {
    let mut command = Command::new(["env"]);
    command.env.insert("GIVEN".into(), "1".into());
    let output = good(executor, &command).await;
    let text = String::from_utf8(output.stdout).expect("text");
    let names = text.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name));
    let mut names: Vec<&str> = names.filter(|name| !name.starts_with("DHOW_")).collect();
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "HOME", "PATH"]);
}

/// An exit code is no error; what was written on the two streams is told apart.
///
/// # Panics
///
/// Where it is not so.
pub async fn an_end_is_told_as_it_is(executor: &dyn Executor) {
    for code in [1, 3, 125, 127, 255] {
        let text = format!("echo out; echo err >&2; exit {code}");
        let output = executor.run(&sh(&text, &[]), &()).await.expect("it runs");
        assert_eq!(
            (output.code, &output.stdout[..], &output.stderr[..]),
            (Some(code), &b"out\n"[..], &b"err\n"[..])
        );
    }
    let mut command = Command::new(["pwd"]);
    command.folder = Some("/usr".into());
    assert_eq!(good(executor, &command).await.stdout, b"/usr\n");
}

/// A line is told when it comes, not when the command has ended.
///
/// # Panics
///
/// Where it is not.
pub async fn lines_are_told_as_they_come(executor: &dyn Executor, scratch: &str) {
    let (told, mut heard) = Told::new();
    let text = r#"echo first; n=0; until [ -e "$1" ]; do n=$((n+1)); [ $n -lt 250 ] || exit 9; sleep 0.1; done; echo second"#;
    let flag = format!("{scratch}/flag");
    let command = sh(text, &[&flag]);
    let answer = async {
        assert_eq!(heard.recv().await.as_deref(), Some("first"));
        executor.write(&flag, b"", 0o644).await.expect("the flag is set");
        heard.recv().await
    };
    let (output, second) = tokio::join!(executor.run(&command, &told), answer);
    assert!(output.expect("it runs").ok());
    assert_eq!(second.as_deref(), Some("second"));
}

/// At its limit a command is ended, with what it started; also what took a session of its own.
///
/// # Panics
///
/// Where something goes on.
pub async fn a_limit_ends_all_that_was_started(executor: &dyn Executor) {
    let (told, mut heard) = Told::new();
    let mut command =
        sh("trap '' HUP; echo $$; sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait", &[]);
    command.limit = Duration::from_secs(1);
    let error = executor.run(&command, &told).await.expect_err("its time is used up");
    assert!(matches!(error, ExecutorError::TimedOut { .. }), "{error}");
    for _ in 0..3 {
        gone(executor, &heard.recv().await.expect("a process")).await;
    }
}

/// A future that is dropped ends the command, also one that takes no hint.
///
/// # Panics
///
/// Where it goes on.
pub async fn a_dropped_command_is_ended(executor: &dyn Executor) {
    let (told, mut heard) = Told::new();
    let command = sh("trap '' TERM INT HUP; sleep 1000 & echo $!; echo $$; wait; sleep 1000", &[]);
    let (child, leader) = tokio::select! {
        ended = executor.run(&command, &told) => panic!("it ended: {ended:?}"),
        pids = async { (heard.recv().await, heard.recv().await) } => pids,
    };
    gone(executor, &child.expect("a process")).await;
    gone(executor, &leader.expect("a process")).await;
}

/// Output beyond 16 MiB, a program and a folder that are not there, and what cannot be an argument are refused by name.
///
/// # Panics
///
/// Where they are not.
pub async fn what_cannot_be_is_refused(executor: &dyn Executor) {
    let mut nowhere = Command::new(["pwd"]);
    nowhere.folder = Some("/no/such/folder".into());
    for (command, text) in [
        (sh("head -c 17000000 /dev/zero", &[]), "16 MiB"),
        (Command::new(["no-such-program", "x"]), "`no-such-program` is not installed"),
        (nowhere, "/no/such/folder"),
        (Command::new(["echo", "a\0b"]), "NUL"),
        (Command::new(["-c"]), "name of a program"),
    ] {
        match executor.run(&command, &()).await {
            Err(ExecutorError::Refused(message)) => assert!(message.contains(text), "{message}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
