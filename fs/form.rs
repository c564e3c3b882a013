//! The forms in which a view can be read. The suffix of a file's name is its form.

/// How a view is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `<view>`: the program's text, or the record as keys and values.
    Plain,
    /// `<view>.json`
    Json,
    /// `<view>.prom`: Prometheus text.
    Prom,
    /// `<view>.bin`: the record's bytes.
    Bin,
    /// `<view>.tree`: the whole subtree as a table.
    Tree,
    /// `<view>.tree.json`: the whole subtree, one JSON object a line.
    TreeJson,
}

impl Form {
    pub(super) const ALL: [Form; 6] = [
        Form::Plain,
        Form::Json,
        Form::Prom,
        Form::Bin,
        Form::Tree,
        Form::TreeJson,
    ];

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Form> {
        Form::ALL.get(usize::from(number)).copied()
    }

    /// Whether it shows the cgroups below too.
    pub(super) fn is_subtree(self) -> bool {
        matches!(self, Form::Tree | Form::TreeJson)
    }

    /// The suffix that follows the view's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Form::Plain => "",
            Form::Json => ".json",
            Form::Prom => ".prom",
            Form::Bin => ".bin",
            Form::Tree => ".tree",
            Form::TreeJson => ".tree.json",
        }
    }

    /// All ways to split a file's name into a view's name and a form.
    pub(super) fn split(file: &str) -> impl Iterator<Item = (&str, Form)> {
        Form::ALL
            .into_iter()
            .filter_map(move |form| Some((file.strip_suffix(form.suffix())?, form)))
            .filter(|(view, _)| !view.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_in_every_way() {
        let ways: Vec<_> = Form::split("a.tree.json").collect();
        assert_eq!(
            ways,
            [
                ("a.tree.json", Form::Plain),
                ("a.tree", Form::Json),
                ("a", Form::TreeJson)
            ]
        );
        assert_eq!(
            Form::split(".json").collect::<Vec<_>>(),
            [(".json", Form::Plain)]
        );
    }

    #[test]
    fn a_forms_number_is_its_index_in_the_list() {
        for form in Form::ALL {
            assert_eq!(Form::of_number(form.number()), Some(form));
        }
        assert_eq!(Form::of_number(15), None);
    }
}
