//! The source of a first view, from which an author starts.

const SOURCE: &str = include_str!("skeleton.bpf.c");

/// Stands for the view's name in the source.
const PLACEHOLDER: &str = "MYVIEW";

/// Names in the source are the view's with a suffix, and a BPF program's has at most 15 characters.
const MAX_NAME_BYTES: usize = 15;

/// Whether a view's program can have this name.
///
/// # Errors
/// What a name has to be.
pub fn accepts(name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && name.len() <= MAX_NAME_BYTES && name.chars().all(is_word) {
        return Ok(());
    }
    Err(format!(
        "a name is at most {MAX_NAME_BYTES} letters, digits and underscores, with no digit first; \
         CGVIEW_NAME() in the source gives the view any other name"
    ))
}

/// The source of a view called `name`.
pub fn of(name: &str) -> String {
    SOURCE.replace(PLACEHOLDER, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_identifier_of_c() {
        for name in ["wait", "_x9", "a23456789012345"] {
            assert_eq!(accepts(name), Ok(()));
        }
        for name in [
            "",
            "9x",
            "a-b",
            "a b",
            "a234567890123456",
            "a/../b",
            "\u{e9}",
        ] {
            assert!(accepts(name).is_err(), "{name}");
        }
    }
}
