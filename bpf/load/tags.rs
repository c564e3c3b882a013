//! The words of an object's author, as BTF decl tags on functions, variables and struct members. A
//! variable with a tag `program=X` is about program X, which may be declared in any way.

use std::collections::HashMap;

use libbpf_rs::btf::types::DeclTag;
use libbpf_rs::btf::{Btf, BtfKind, TypeId};

use crate::bpf::abi;

/// Every tag of the authoring header starts with this.
const PREFIX: &str = "cgview:";

/// The variable of the authoring header with the version of the header.
const ABI_VARIABLE: &str = "cgview_abi";

/// What an object without that variable was built with.
const FIRST_ABI: &str = "1";

/// The `cgview:` tags of an object.
#[derive(Default)]
pub(super) struct Tags {
    of_functions: HashMap<String, Vec<String>>,
    of_variables: HashMap<String, Vec<String>>,
    of_members: HashMap<(TypeId, u32), Vec<String>>,
}

impl Tags {
    /// All tags in the BTF.
    ///
    /// # Errors
    /// If they were written by another version of the authoring header.
    pub(super) fn collect(btf: &Btf<'_>) -> Result<Tags, String> {
        let mut tags = Tags::default();
        for tag in btf.type_by_kind::<DeclTag<'_>>() {
            let text = tag.name().map(|name| name.to_string_lossy().into_owned());
            let Some(text) = text.as_deref().and_then(|text| text.strip_prefix(PREFIX)) else {
                continue;
            };
            let Some(target) = tag.next_type() else {
                continue;
            };
            let name = || target.name().unwrap_or_default().to_string_lossy();
            let of = match (target.kind(), tag.component_index()) {
                (BtfKind::Func, None) => tags.of_functions.entry(name().into_owned()).or_default(),
                (BtfKind::Var, None) => tags.of_variables.entry(name().into_owned()).or_default(),
                (BtfKind::Struct, Some(member)) => {
                    let member = (target.type_id(), member);
                    tags.of_members.entry(member).or_default()
                }
                _ => continue,
            };
            of.push(text.to_owned());
        }
        tags.check_abi()?;
        tags.give_to_programs();
        Ok(tags)
    }

    fn check_abi(&self) -> Result<(), String> {
        let Tags {
            of_functions,
            of_variables,
            of_members,
        } = self;
        if of_functions.is_empty() && of_variables.is_empty() && of_members.is_empty() {
            return Ok(());
        }
        let known = abi::ABI_VERSION.to_string();
        let variable = of_variables.get(ABI_VARIABLE);
        let found = variable.and_then(|tags| value(tags, "abi"));
        let found = found.unwrap_or(FIRST_ABI);
        if found == known {
            return Ok(());
        }
        Err(format!(
            "built with cgview ABI {found}, this cgview knows {known}: compile it again with the \
             headers of this cgview"
        ))
    }

    /// Passes the tags of variables that are about a program on to the program.
    fn give_to_programs(&mut self) {
        for tags in self.of_variables.values() {
            let Some(program) = value(tags, "program") else {
                continue;
            };
            let of = self.of_functions.entry(program.to_owned()).or_default();
            of.extend(tags.iter().cloned());
        }
    }

    /// The value of `cgview:<key>=<value>` on a program, or on a variable that is about it.
    pub(super) fn function(&self, function: &str, key: &str) -> Option<&str> {
        value(self.of_functions.get(function)?, key)
    }

    /// Whether `cgview:<word>` is on a variable, for instance a map.
    pub(super) fn is_variable(&self, variable: &str, word: &str) -> bool {
        let tags = self.of_variables.get(variable);
        tags.is_some_and(|tags| has(tags, word))
    }

    /// The tags on one member of a struct.
    pub(super) fn member(&self, of: TypeId, index: u32) -> &[String] {
        let tags = self.of_members.get(&(of, index));
        tags.map_or(&[], Vec::as_slice)
    }
}

/// The value of `<key>=<value>` among these tags.
pub(super) fn value<'a>(tags: &'a [String], key: &str) -> Option<&'a str> {
    tags.iter()
        .find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
}

/// Whether `word` is among these tags.
pub(super) fn has(tags: &[String], word: &str) -> bool {
    tags.iter().any(|tag| tag == word)
}
