//! A random stream of inputs, made of seeds. The same seed number gives the same stream.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::Target;

/// Longest input that is made, in bytes.
const MOST: usize = 64 << 10;

/// What the formats hold, and what often breaks their readers.
const WORDS: [&str; 48] = [
    "\n",
    "\r\n",
    "\t",
    " ",
    ": ",
    "- ",
    "#",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "|",
    ">-",
    "<<: ",
    "---\n",
    "...\n",
    "? ",
    "!!str ",
    "%",
    "%2F",
    "../",
    "/",
    "@sha256:",
    ":",
    "\u{feff}",
    "é",
    "✓",
    "\0",
    "${",
    "$",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "null",
    "true",
    "=",
    "bytes=0-",
    "\n=====\n",
    "image: nginx:1",
    " # {\"$imagepolicy\": \"ns:web\"}",
    "sha256:",
    "999999999999999999999999999999",
];

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// Inputs that were tried.
    pub inputs: u64,
    /// How long it took.
    pub took: Duration,
}

/// An input that broke a promise.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Which input of the stream; 0 where it was a seed itself.
    pub number: u64,
    /// The seed's name, where it was one.
    pub seed: Option<String>,
    /// The input.
    pub input: Vec<u8>,
}

/// Feeds a target its seeds, and then the stream of this number for this long. Ends at the first input that breaks a
/// promise; its panic was printed.
///
/// # Errors
/// That input.
pub fn run(target: Target, seeds: &[(String, Vec<u8>)], number: u64, limit: Duration) -> Result<Ran, Broken> {
    let began = Instant::now();
    let holds = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.body)(input))).is_ok();
    for (name, input) in seeds {
        if !holds(input) {
            return Err(Broken { number: 0, seed: Some(name.clone()), input: input.clone() });
        }
    }
    let mut random = StdRng::seed_from_u64(number);
    let mut inputs = 0;
    while began.elapsed() < limit {
        inputs += 1;
        let input = next(&mut random, seeds);
        if !holds(&input) {
            return Err(Broken { number: inputs, seed: None, input });
        }
    }
    Ok(Ran { inputs, took: began.elapsed() })
}

/// The next input: a seed with a few changes, now and then something without a seed.
fn next(random: &mut StdRng, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut input = match seeds {
        [] => Vec::new(),
        _ if random.random_ratio(1, 50) => Vec::new(),
        _ => seeds[random.random_range(0..seeds.len())].1.clone(),
    };
    // One change mostly, many now and then.
    let most = if random.random_ratio(1, 4) { 16 } else { 3 };
    for _ in 0..random.random_range(1..=most) {
        change(random, &mut input, seeds);
    }
    input.truncate(MOST);
    input
}

fn change(random: &mut StdRng, input: &mut Vec<u8>, seeds: &[(String, Vec<u8>)]) {
    let at = random.random_range(0..=input.len());
    let end = (at + random.random_range(0..=16.min(input.len() - at))).min(input.len());
    match random.random_range(0..9) {
        0 if at < input.len() => input[at] = random.random(),
        1 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        2 => drop(input.splice(at..end, [])),
        3 => {
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        4 => {
            let far = random.random_range(at..=input.len());
            let moved: Vec<u8> = input.splice(at..far, []).collect();
            let to = random.random_range(0..=input.len());
            input.splice(to..to, moved);
        }
        5 if !seeds.is_empty() => {
            let other = &seeds[random.random_range(0..seeds.len())].1;
            let from = random.random_range(0..=other.len());
            let to = random.random_range(from..=other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        6 => {
            let bytes: Vec<u8> = (0..random.random_range(1..8)).map(|_| random.random()).collect();
            input.splice(at..at, bytes);
        }
        _ => {
            let word = WORDS[random.random_range(0..WORDS.len())];
            let to = if random.random() { at } else { end };
            input.splice(at..to, word.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static SUM: AtomicU64 = AtomicU64::new(0);

    #[test]
    fn a_number_gives_its_stream_again() {
        let seeds = [("a".to_owned(), b"image: nginx:1\n".to_vec())];
        let stream = |number| {
            let mut random = StdRng::seed_from_u64(number);
            (0..50).map(|_| next(&mut random, &seeds)).collect::<Vec<_>>()
        };
        assert_eq!(stream(7), stream(7));
        assert_ne!(stream(7), stream(8));
    }

    #[test]
    fn an_input_that_breaks_a_promise_ends_the_run_and_is_given_back() {
        fn body(input: &[u8]) {
            SUM.fetch_add(1, Ordering::Relaxed);
            assert!(input.len() < 20, "too long");
        }
        let target = Target { name: "x", about: "", body };
        let seeds = [("a".to_owned(), vec![b'x'; 18])];
        let broken = run(target, &seeds, 1, Duration::from_secs(60)).unwrap_err();
        assert!(broken.input.len() >= 20 && broken.seed.is_none());
        assert_eq!(broken.number + 1, SUM.load(Ordering::Relaxed));
    }
}
