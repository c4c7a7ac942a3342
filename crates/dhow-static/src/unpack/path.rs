use super::Refusal;

const MAX_NAME: usize = 255;

/// The one form of a path: relative, no `.` and no empty parts. What could leave the folder, or what no request
/// could ask for, is refused. Gives an empty path for the folder itself.
pub(super) fn clean_folder(name: &str, limit: usize) -> Result<String, Refusal> {
    if name.starts_with('/') {
        return Err(Refusal::AbsolutePath);
    }
    if name.len() > limit {
        return Err(Refusal::PathTooLong { limit });
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || *c == '\\') {
        return Err(Refusal::Character(bad));
    }
    let mut path = String::with_capacity(name.len());
    for part in name.split('/') {
        match part {
            "" | "." => continue,
            ".." => return Err(Refusal::ParentFolder),
            long if long.len() > MAX_NAME => return Err(Refusal::NameTooLong),
            part => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(part);
            }
        }
    }
    Ok(path)
}

/// As [`clean_folder`], and it must name something.
pub(super) fn clean(name: &str, limit: usize) -> Result<String, Refusal> {
    let path = clean_folder(name, limit)?;
    if path.is_empty() { Err(Refusal::NoName) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for same in ["a/b", "./a/b", "a//b", "a/./b"] {
            assert_eq!(clean(same, 100).unwrap(), "a/b");
        }
    }

    #[test]
    fn what_leaves_the_folder_or_cannot_be_asked_for_is_refused() {
        for bad in ["/etc/passwd", "../a", "a/../../b", "a/..", "..", "a\\b", "a\0b", "a\nb", "", ".", "./"] {
            assert!(clean(bad, 100).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(clean(&"a/".repeat(60), 100), Err(Refusal::PathTooLong { limit: 100 }));
        assert_eq!(clean(&"a".repeat(256), 1024), Err(Refusal::NameTooLong));
    }

    #[test]
    fn dots_within_names_are_fine() {
        for good in ["a..b", "...", ".well-known/x", "a.b/c..d"] {
            assert_eq!(clean(good, 100).unwrap(), good);
        }
    }
}
