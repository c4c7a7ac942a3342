//! Images for tests, built `FROM scratch` on an engine.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::{Docker, Parts};

/// An image to be built.
#[derive(Clone, Debug)]
pub struct Image {
    files: Vec<(PathBuf, String)>,
    lines: String,
}

impl Image {
    /// Nothing but the test server, `/server`, which says that it is this version.
    #[must_use]
    pub fn server(parts: &Parts, version: &str) -> Self {
        let image = Self { files: Vec::new(), lines: String::new() }.file(&parts.program, "/server");
        image.env("VERSION", version).line("ENTRYPOINT [\"/server\"]")
    }

    /// Adds busybox as `/bin/busybox`: `docker exec NAME /bin/busybox sh`.
    #[must_use]
    pub fn busybox(self, parts: &Parts) -> Self {
        self.file(&parts.busybox, "/bin/busybox")
    }

    /// Adds a program or another file.
    #[must_use]
    pub fn file(mut self, from: impl Into<PathBuf>, to: &str) -> Self {
        let line = format!("COPY file{} {to}", self.files.len());
        self.files.push((from.into(), to.to_owned()));
        self.line(&line)
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.line(&format!("ENV {name}={value:?}"))
    }

    /// Adds a line of the Dockerfile, such as a label or a health check.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        // Writing to a string does not fail.
        let _ = writeln!(self.lines, "{line}");
        self
    }

    /// Builds it on an engine under this name, and returns its id, `sha256:...`.
    ///
    /// # Panics
    ///
    /// Where it cannot be built: the test cannot go on.
    #[must_use]
    pub fn build(&self, docker: &Docker, name: &str) -> String {
        let context = tempfile::tempdir().expect("a temporary folder");
        for (number, (from, _)) in self.files.iter().enumerate() {
            fs::copy(from, context.path().join(format!("file{number}")))
                .expect("a file of the image can be read");
        }
        fs::write(context.path().join("Dockerfile"), self.dockerfile())
            .expect("the Dockerfile can be written");
        // The builder that is part of the engine: BuildKit is a plugin more.
        let run = |more: &[&str]| {
            let mut build = docker.command();
            build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", name]).args(more);
            build.arg(context.path()).output().expect("docker runs")
        };
        let mut output = run(&[]);
        if !output.status.success() {
            // A step kept from another test's image goes with that image, at any moment.
            output = run(&["--no-cache"]);
        }
        assert!(
            output.status.success(),
            "{name} cannot be built: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn dockerfile(&self) -> String {
        format!("FROM scratch\n{}", self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_made_of_what_it_was_told() {
        let parts = Parts { program: "/p".into(), busybox: "/b".into() };
        let image = Image::server(&parts, "1 \"x\"").busybox(&parts).line("LABEL a=b");
        let lines = [
            "FROM scratch",
            "COPY file0 /server",
            "ENV VERSION=\"1 \\\"x\\\"\"",
            "ENTRYPOINT [\"/server\"]",
            "COPY file1 /bin/busybox",
            "LABEL a=b",
        ];
        assert_eq!(image.dockerfile().lines().collect::<Vec<_>>(), lines);
    }
}
