//! The hash of each service's configuration, as Compose writes it on containers: asked only where it matters.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::noun::Digest;
use dhow_core::port::TargetError;
use serde_json::Value;

use super::ComposeTarget;
use super::body::{Body, Stack};
use super::cache::Cache;
use super::model::Model;
use super::site::Site;

impl ComposeTarget {
    /// The hashes of the services of a model. One that was asked before is known; the others are asked where one of
    /// `needed` is among them, and are missing in the answer where not: a container of another image is replaced, whatever
    /// its hash.
    pub(super) async fn hashes(
        &self,
        site: &Site,
        body: &Body,
        (base, directory): (&str, &str),
        model: &Model,
        needed: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, TargetError> {
        let keys = keys(site, model);
        let known = |key: &Digest| self.answers.get(key).and_then(|hash| String::from_utf8(hash).ok());
        let found: BTreeMap<String, String> =
            keys.iter().filter_map(|(name, key)| Some((name.clone(), known(key)?))).collect();
        if needed.iter().all(|name| found.contains_key(name)) {
            return Ok(found);
        }
        let stack = Stack { directory: directory.to_owned(), files: vec!["-".to_owned()] };
        let mut command = site.compose(&body.project, Some(&stack), ["config", "--hash", "*"]);
        command.stdin = Some(model.0.to_string().into_bytes().into());
        let answer = self.ask(site, body, base, command).await?;
        let text = String::from_utf8_lossy(&answer);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let hashes: BTreeMap<String, String> =
            pairs.map(|(name, hash)| (name.to_owned(), hash.trim().to_owned())).collect();
        for (name, hash) in &hashes {
            if let Some(key) = keys.get(name) {
                self.answers.put(*key, hash.clone().into_bytes());
            }
        }
        Ok(hashes)
    }
}

/// What a service's hash depends on: itself, and what is declared beside the services.
fn keys(site: &Site, model: &Model) -> BTreeMap<String, Digest> {
    let mut around = model.0.clone();
    if let Some(all) = around.as_object_mut() {
        all.remove("services");
    }
    let around = around.to_string();
    let key = |name: &String, service: &Value| {
        let question = [format!("{:?}", site.place()), "hash".to_owned(), name.clone(), around.clone()];
        Cache::key(&question, service.to_string().as_bytes())
    };
    model.services().map(|(name, service)| (name.clone(), key(name, service))).collect()
}
