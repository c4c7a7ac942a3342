//! `dhow update`: writes versions into the YAML files of a folder, offline.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use dhow_core::edit::{self, FindRequest, MARKER, MAX_TEXT, Problem, ProblemKind, Site, SiteKey};
use dhow_core::noun::{ImageReference, Repository};

/// Write versions into the YAML files of a folder
///
/// Looks at *.yaml, *.yml and Kustomization, changes nothing but the versions, and prints the files that changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, or one file; subfolders are looked at too, links in it are not followed
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Give the values marked {"$imagepolicy": "NS:NAME"} this version; or, with a repository instead of NS:NAME,
    /// every image, bundle and kustomize entry of that repository that has no marker
    #[arg(long = "set", value_name = "NS:NAME=REPO:TAG[@DIGEST]", required = true)]
    sets: Vec<Setting>,

    /// Change nothing; print a unified diff of what would change
    #[arg(long)]
    dry_run: bool,
}

/// One `--set`: what to update, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    key: SiteKey,
    reference: ImageReference,
}

impl FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (key, reference) =
            text.split_once('=').ok_or("write it as NS:NAME=REPO:TAG, or NS:NAME=REPO:TAG@DIGEST")?;
        let reference: ImageReference = reference.parse().map_err(|error| format!("{error}"))?;
        if reference.tag.is_none() {
            return Err(format!("{reference} has no tag; write it as REPO:TAG, or REPO:TAG@DIGEST"));
        }
        let key = match key.split_once(':') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                SiteKey::Marker { namespace: namespace.to_owned(), name: name.to_owned() }
            }
            _ => SiteKey::Repository(
                key.parse::<Repository>()
                    .map_err(|error| format!("{error}; write a policy as NS:NAME, or a repository"))?,
            ),
        };
        match &key {
            SiteKey::Repository(repository) if *repository != reference.repository => Err(format!(
                "{repository} cannot get a version of {}; use the same repository on both sides",
                reference.repository
            )),
            _ => Ok(Self { key, reference }),
        }
    }
}

/// A Kubernetes name: what a marker's namespace and policy are called.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// What became of one file.
enum Outcome {
    Unchanged,
    /// Its text and what it becomes.
    Changed {
        old: String,
        new: String,
    },
}

/// Exit status of a command that was typed wrong.
const USAGE: u8 = 2;

/// What to do, and what was seen of it so far.
struct Update<'a> {
    settings: BTreeMap<&'a SiteKey, &'a ImageReference>,
    request: FindRequest,
    matched: BTreeSet<&'a SiteKey>,
    failed: bool,
    /// Where messages go.
    err: &'a mut dyn Write,
}

/// Runs the command. Each file is replaced as a whole: a crash leaves it old or new, never in between, and may leave
/// other files undone; running it again does these. Exits 1 if a `--set` matched nothing, or if a file that it is
/// about could not be read, understood or written; all other files are done then.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (mut out, mut err) = (anstream::stdout().lock(), anstream::stderr().lock());
    if let Some(key) = contradiction(&args.sets) {
        writeln!(err, "error: --set names {key} twice, with different versions; keep one")?;
        return Ok(ExitCode::from(USAGE));
    }
    let failed = update(&args, &mut out, &mut err)?;
    out.flush()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is to become two versions at once.
fn contradiction(sets: &[Setting]) -> Option<&SiteKey> {
    let other = |set: &Setting| sets.iter().any(|s| s.key == set.key && s.reference != set.reference);
    sets.iter().find(|set| other(set)).map(|set| &set.key)
}

/// Updates all files; data goes to `out`. Gives whether something failed.
fn update(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<bool> {
    let mut update = Update::new(&args.sets, err);
    for file in update.files(&args.dir)? {
        let shown = shown(&args.dir, &file);
        let done = update.file(&file, &shown).and_then(|outcome| {
            let Outcome::Changed { old, new } = outcome else { return Ok(()) };
            if args.dry_run {
                write!(out, "{}", diff(&relative(&args.dir, &file), &old, &new))?;
            } else {
                replace(&file, &new)?;
                writeln!(out, "{shown}")?;
            }
            Ok(())
        });
        if let Err(error) = done {
            update.fail(&format!("{shown}: {error:#}"));
        }
    }
    update.report_unmatched(&args.dir);
    Ok(update.failed)
}

impl<'a> Update<'a> {
    fn new(sets: &'a [Setting], err: &'a mut dyn Write) -> Self {
        let repositories = sets.iter().filter_map(|set| match &set.key {
            SiteKey::Repository(repository) => Some(repository.clone()),
            _ => None,
        });
        let request = FindRequest { repositories: Some(repositories.collect()), ..FindRequest::default() };
        let settings = sets.iter().map(|set| (&set.key, &set.reference)).collect();
        Self { settings, request, matched: BTreeSet::new(), failed: false, err }
    }

    fn fail(&mut self, message: &str) {
        self.failed = true;
        self.say("error", message);
    }

    /// A message that cannot be written is lost; the exit status still tells.
    fn say(&mut self, kind: &str, message: &str) {
        let _ = writeln!(self.err, "{kind}: {message}");
    }

    /// The files to look at, sorted. Links are not followed and `.git` is left out. A folder that cannot be listed is
    /// told and passed over; only the first one must be there.
    fn files(&mut self, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let top = fs::metadata(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
        if top.is_file() {
            return Ok(vec![dir.to_path_buf()]);
        }
        let mut found = Vec::new();
        let mut open = vec![dir.to_path_buf()];
        while let Some(folder) = open.pop() {
            if let Err(error) = list(&folder, &mut open, &mut found) {
                self.fail(&format!("{}: the folder cannot be listed: {error}", folder.display()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// What one file becomes. `shown` is its name in messages.
    fn file(&mut self, file: &Path, shown: &str) -> anyhow::Result<Outcome> {
        let old = match read(file)? {
            Text::Read(old) => old,
            Text::Other(bytes) => {
                if self.is_named(&String::from_utf8_lossy(&bytes)) {
                    self.say("warning", &format!("{shown}: the file is not UTF-8; it was left alone"));
                }
                return Ok(Outcome::Unchanged);
            }
        };
        let found = edit::find(shown, &old, &self.request);
        for problem in &found.problems {
            if problem.kind == ProblemKind::Parse && self.is_named(&old) {
                self.say("warning", &format!("{problem}; it was left alone"));
            }
            self.problem(problem);
        }
        let edits: Vec<(Site, ImageReference)> = found
            .sites
            .into_iter()
            .filter_map(|site| {
                let (key, reference) = self.settings.get_key_value(&site.key)?;
                self.matched.insert(key);
                Some((site, (*reference).clone()))
            })
            .collect();
        match edit::write(&old, &edits) {
            Ok(new) if new == old => Ok(Outcome::Unchanged),
            Ok(new) => Ok(Outcome::Changed { old, new }),
            // The message names the file itself.
            Err(error) => {
                self.fail(&format!("{error}; the file was left alone"));
                Ok(Outcome::Unchanged)
            }
        }
    }

    /// Fails where a `--set` is concerned, or may be; what else is odd in the folder is no business of this command.
    fn problem(&mut self, problem: &Problem) {
        let about_a_set = problem.key.as_ref().and_then(|key| self.settings.get_key_value(key));
        if let Some((key, _)) = about_a_set {
            self.matched.insert(key);
            self.fail(&problem.to_string());
        } else {
            match problem.kind {
                ProblemKind::ParseWithMarker => self.fail(&problem.to_string()),
                ProblemKind::StrayMarker | ProblemKind::TooLarge => self.say("warning", &problem.to_string()),
                ProblemKind::Parse | ProblemKind::NotEditable => {}
            }
        }
    }

    /// Whether a text that cannot be understood names what is to be set: it may be a template, or broken.
    fn is_named(&self, text: &str) -> bool {
        let repositories = self.request.repositories.iter().flatten();
        repositories.into_iter().any(|repository| {
            let path = repository.path();
            text.contains(path.strip_prefix("library/").unwrap_or(path))
        })
    }

    fn report_unmatched(&mut self, dir: &Path) {
        let unmatched: Vec<&SiteKey> =
            self.settings.keys().copied().filter(|key| !self.matched.contains(key)).collect();
        for key in unmatched {
            let what = match key {
                SiteKey::Marker { .. } => format!("no value is marked {{\"{MARKER}\": \"{key}\"}}"),
                _ => format!("no image, bundle or kustomize entry without a marker holds {key}"),
            };
            self.fail(&format!(
                "--set {key} matched nothing: {what} under {}; check its spelling",
                dir.display()
            ));
        }
    }
}

/// Sorts a folder's entries into folders to look into and files to look at.
fn list(folder: &Path, open: &mut Vec<PathBuf>, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() && name != ".git" {
            open.push(entry.path());
        } else if kind.is_file() && name.to_str().is_some_and(edit::is_looked_at) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// What is in a file.
enum Text {
    Read(String),
    /// No text, and no marker in it asks to be edited.
    Other(Vec<u8>),
}

/// A file's text. Never reads much more than the limit: a longer text comes back cut, and is refused by its length.
fn read(file: &Path) -> anyhow::Result<Text> {
    let mut bytes = Vec::new();
    let limit = MAX_TEXT as u64 + 1;
    fs::File::open(file)
        .and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
        .context("the file cannot be read")?;
    if bytes.len() > MAX_TEXT {
        // The cut may be in the middle of a character.
        return Ok(Text::Read(String::from_utf8_lossy(&bytes).into_owned()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Text::Read(text)),
        Err(error) if error.as_bytes().windows(MARKER.len()).any(|window| window == MARKER.as_bytes()) => {
            bail!("the file is not UTF-8 and has {MARKER} markers; convert it, it was left alone")
        }
        Err(error) => Ok(Text::Other(error.into_bytes())),
    }
}

/// Puts a new text in a file's place at once, with the file's mode.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = fs::metadata(file).context("its mode cannot be read")?.permissions();
    let mut temporary = tempfile::Builder::new()
        .prefix(".dhow-")
        .tempfile_in(folder)
        .context("no file can be written in its folder")?;
    temporary.write_all(text.as_bytes()).context("the new text cannot be written")?;
    temporary.as_file().set_permissions(permissions).context("its mode cannot be kept")?;
    temporary.as_file().sync_all().context("the new text cannot be written")?;
    temporary.persist(file).context("the file cannot be replaced")?;
    Ok(())
}

fn diff(name: &str, old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{name}"), &format!("b/{name}"))
        .to_string()
}

/// A file's name as the user would type it.
fn shown(dir: &Path, file: &Path) -> String {
    if dir == Path::new(".") { relative(dir, file) } else { file.display().to_string() }
}

fn relative(dir: &Path, file: &Path) -> String {
    file.strip_prefix(dir).unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    const MARKED: &str = "a: nginx:1 # {\"$imagepolicy\": \"flux:web\"}\r\nb: x # \t";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    /// Whether it failed, what it printed (the folder's own path cut out), and its messages.
    fn run_in(dir: &tempfile::TempDir, arguments: &[&str]) -> (bool, String, String) {
        let mut all = vec!["update".to_owned(), dir.path().display().to_string()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let args = Cli::try_parse_from(all).unwrap().args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let failed = update(&args, &mut out, &mut err).unwrap();
        let folder = format!("{}/", dir.path().display());
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&folder, "");
        (failed, text(out), text(err))
    }

    fn text(dir: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(dir.path().join(file)).unwrap()
    }

    #[test]
    fn changed_files_are_printed_and_differ_in_the_version_only() {
        let other = "image: nginx:1\n";
        let dir =
            folder(&[("b/x.yml", MARKED), ("a.yaml", MARKED), ("other.yaml", other), ("c.txt", MARKED)]);
        let result = run_in(&dir, &["--set", "flux:web=nginx:2"]);
        assert_eq!(result, (false, "a.yaml\nb/x.yml\n".into(), String::new()));
        assert_eq!(text(&dir, "b/x.yml"), MARKED.replace(":1 #", ":2 #"));
        assert_eq!((text(&dir, "other.yaml"), text(&dir, "c.txt")), (other.to_owned(), MARKED.to_owned()));
        let again = run_in(&dir, &["--set", "flux:web=nginx:2"]);
        assert_eq!(again, (false, String::new(), String::new()));
    }

    #[test]
    fn a_repository_updates_what_has_no_marker() {
        let kustomization = "images: [{name: nginx, newTag: \"1\"}]\n";
        let dir =
            folder(&[("a.yaml", MARKED), ("b.yaml", "image: nginx:1\n"), ("Kustomization", kustomization)]);
        let (failed, out, err) = run_in(&dir, &["--set", "nginx=nginx:2"]);
        assert_eq!((failed, out.as_str(), err.as_str()), (false, "Kustomization\nb.yaml\n", ""));
        assert_eq!(text(&dir, "b.yaml"), "image: nginx:2\n");
        assert_eq!(text(&dir, "Kustomization"), kustomization.replace('1', "2"));
    }

    #[test]
    fn a_dry_run_prints_a_diff_and_changes_nothing() {
        let dir = folder(&[("a.yaml", MARKED)]);
        let (failed, out, _) = run_in(&dir, &["--set", "flux:web=nginx:2", "--dry-run"]);
        assert!(!failed);
        assert!(out.starts_with("--- a/a.yaml\n+++ b/a.yaml\n@@ -1,2 +1,2 @@\n-a: nginx:1 #"), "{out}");
        assert!(out.contains("\n+a: nginx:2 #"), "{out}");
        assert_eq!(text(&dir, "a.yaml"), MARKED);
    }

    #[test]
    fn a_broken_file_with_a_marker_fails_the_command_after_the_others_were_done() {
        let broken = format!("x: {{{{ .Values.x }}}}: y\n{MARKED}");
        let dir = folder(&[("a.yaml", &broken), ("b.yaml", MARKED), ("c.yaml", "x: {{ y }}: z\n")]);
        let (failed, out, err) = run_in(&dir, &["--set", "flux:web=nginx:2"]);
        assert_eq!((failed, out.as_str()), (true, "b.yaml\n"));
        assert!(err.starts_with("error: a.yaml:1:") && err.lines().count() == 1, "{err}");
        assert_eq!(text(&dir, "a.yaml"), broken);
    }

    #[test]
    fn a_set_that_matches_nothing_fails_and_says_so() {
        let dir = folder(&[("a.yaml", MARKED)]);
        let (failed, out, err) = run_in(&dir, &["--set", "flux:web=nginx:2", "--set", "flux:api=nginx:2"]);
        assert_eq!((failed, out.as_str()), (true, "a.yaml\n"));
        assert!(err.contains("--set flux:api matched nothing"), "{err}");
    }

    #[test]
    fn a_digest_that_is_needed_and_missing_leaves_the_file_alone() {
        let marked = format!("{MARKED}\r\nd: sha256:0 # {{\"$imagepolicy\": \"flux:web:digest\"}}");
        let dir = folder(&[("a.yaml", &marked)]);
        let (failed, out, err) = run_in(&dir, &["--set", "flux:web=nginx:2"]);
        assert_eq!((failed, out.as_str()), (true, ""));
        assert!(err.contains("a.yaml:3: a digest stands there"), "{err}");
        assert_eq!(text(&dir, "a.yaml"), marked);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_git_are_left_out_and_the_mode_is_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let outside = folder(&[("x.yaml", MARKED)]);
        let dir = folder(&[(".git/a.yaml", MARKED), ("b.yaml", MARKED)]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("x.yaml"), dir.path().join("c.yaml")).unwrap();
        let file = dir.path().join("b.yaml");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let (failed, out, err) = run_in(&dir, &["--set", "flux:web=nginx:2"]);
        assert_eq!((failed, out.as_str(), err.as_str()), (false, "b.yaml\n", ""));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!((text(&outside, "x.yaml"), text(&dir, ".git/a.yaml")), (MARKED.into(), MARKED.into()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "a temporary file was left");
    }

    #[test]
    fn a_file_that_is_no_utf8_is_told_only_where_it_has_a_marker() {
        let dir = folder(&[("a.yaml", MARKED)]);
        fs::write(dir.path().join("b.yaml"), b"\xff").unwrap();
        fs::write(dir.path().join("c.yaml"), [b"\xff", MARKED.as_bytes()].concat()).unwrap();
        let (failed, out, err) = run_in(&dir, &["--set", "flux:web=nginx:2"]);
        assert_eq!((failed, out.as_str()), (true, "a.yaml\n"));
        assert!(err.starts_with("error: c.yaml: ") && err.lines().count() == 1, "{err}");
    }

    #[test]
    fn a_set_that_is_none_is_refused_with_the_form_it_should_have() {
        for bad in
            ["x", "a:b", "a:b=", "a:b=nginx", "a:b=nginx:1@x", "redis=nginx:1", "=nginx:1", "a b:c=nginx:1"]
        {
            assert!(bad.parse::<Setting>().is_err(), "{bad} was accepted");
        }
        let set = |text: &str| text.parse::<Setting>().unwrap();
        assert!(matches!(set("ns:web=nginx:1").key, SiteKey::Marker { .. }));
        assert!(matches!(set("localhost:5000/a=localhost:5000/a:1").key, SiteKey::Repository(_)));
        assert!(contradiction(&[set("a:b=nginx:1"), set("a:b=nginx:2")]).is_some());
        assert!(contradiction(&[set("a:b=nginx:1"), set("a:c=nginx:2")]).is_none());
    }

    #[test]
    fn a_file_that_names_what_is_set_and_cannot_be_understood_is_told_and_left_alone() {
        let dir = folder(&[
            ("ok.yaml", "image: ghcr.io/a/b:1\n"),
            ("broken.yaml", "image: ghcr.io/a/b:1\n  - x: [\n"),
            ("template.yaml", "image: ghcr.io/other:{{ tag }}\n{{- end }}\n"),
        ]);
        std::fs::write(dir.path().join("latin.yaml"), b"# caf\xe9\nimage: ghcr.io/a/b:1\n").unwrap();
        let (failed, printed, said) = run_in(&dir, &["--set", "ghcr.io/a/b=ghcr.io/a/b:2"]);
        assert!(!failed && printed.contains("ok.yaml"), "{printed} {said}");
        let told = |name: &str| said.lines().any(|l| l.starts_with("warning") && l.contains(name));
        assert!(told("broken.yaml") && told("latin.yaml") && !told("template.yaml"), "{said}");
    }
}
