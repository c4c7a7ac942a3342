//! A short run of every target: its seeds, and a random stream with a fixed number.

use std::time::Duration;

use dhow_fuzz::{all, named, seeds, stream};

/// The stream's number; `DHOW_FUZZ_SEED` names another.
const SEED: u64 = 2026;

fn short(name: &str) {
    let target = named(name).expect("a target of this name");
    let seed = std::env::var("DHOW_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let seeds = seeds::read(name).expect("seeds can be read");
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    match stream::run(target, &seeds, seed, Duration::from_secs(1)) {
        Ok(ran) => println!("{name}: {} inputs of stream {seed}", ran.inputs),
        Err(broken) => {
            let kept = std::env::temp_dir().join(format!("dhow-fuzz-{name}-{seed}"));
            std::fs::write(&kept, &broken.input).expect("the input can be kept");
            panic!(
                "{name}: {} of stream {seed} broke a promise; it is kept in {}. Again: DHOW_FUZZ_SEED={seed} cargo \
                 test -p dhow-fuzz {name}",
                broken.seed.unwrap_or_else(|| format!("input {}", broken.number)),
                kept.display()
            );
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { short(stringify!($name)); })*

        #[test]
        fn every_target_has_its_short_run_and_its_program() {
            let short = [$(stringify!($name)),*];
            assert_eq!(all().map(|target| target.name), short);
            for name in short {
                let program = format!("../../fuzz/fuzz_targets/{name}.rs");
                let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(program);
                assert!(file.is_file(), "{} is missing", file.display());
            }
        }
    };
}

targets!(edits fleet policies references bundles registry api sites answers);
