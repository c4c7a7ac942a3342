//! Variables in paths that Compose files name, as far as `.env` beside them sets them.

use std::collections::BTreeMap;

/// What `.env` sets.
#[derive(Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads `NAME=value` lines.
    pub(crate) fn of(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            (!name.starts_with('#')).then(|| (name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
        });
        Self(lines.collect())
    }

    /// What is set, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Puts values in place of `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}`. What is not known stays.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            filled.push_str(before);
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (inner, next) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some((inner, next)) => (inner, next),
                None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
            };
            let (name, default) = inner.split_at(inner.find(|c| !is_name(c)).unwrap_or(inner.len()));
            let default = default.strip_prefix(":-").or_else(|| default.strip_prefix('-'));
            match self.0.get(name).map(String::as_str).filter(|value| !value.is_empty()).or(default) {
                Some(value) => filled.push_str(value),
                None => {
                    filled.push('$');
                    rest = after;
                    continue;
                }
            }
            rest = next;
        }
        filled.push_str(rest);
        filled
    }
}

/// Compose writes `$` as `$$`, so that it can read its own output.
pub(crate) fn unescaped(text: &str) -> String {
    text.replace("$$", "$")
}

/// The other way.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_and_defaults_are_filled_in_and_others_stay() {
        let variables = Variables::of("# no\nCONF=./conf\nexport D=\"data\"\n");
        assert_eq!(variables.fill("${CONF}/x"), "./conf/x");
        assert_eq!(variables.fill("./$D:/d"), "./data:/d");
        assert_eq!(variables.fill("${E:-./e}"), "./e");
        assert_eq!(variables.fill("${E}/x"), "${E}/x");
    }
}
